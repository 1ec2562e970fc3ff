"""A small patch discriminator: does a place of a picture look real, given what the linear code says of it?

Relativistic and paired (Jolicoeur-Martineau 2018, "The relativistic discriminator", section 4): a decoded place is
compared with the same place of its source. Spectral norm (Miyato et al. 2018) in place of batch norm, which would tie
the pictures of a step together. Decoded pictures of earlier steps are shown again (Shrivastava et al. 2017, "Learning
from Simulated and Unsupervised Images", section 2.3), so that what was unlearned once stays unlearned.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

WIDTHS = (32, 64, 128)
REMEMBERED = 48
"""Pictures of earlier steps."""

AGAIN = 3
"""How many of them are shown in a step."""


class Discriminator(nn.Module):
    """Scores of places, 8 pixels apart: (N, 3, H, W) and what it was made from (N, 3, H, W) -> (N, 1, H/8, W/8).

    Args:
        side: H and W of the pictures it remembers.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 6
        for width in WIDTHS:
            layers += [spectral_norm(nn.Conv2d(before, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            before = width
        layers += [spectral_norm(nn.Conv2d(before, before, 3, padding=1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 1, 1))
        self.register_buffer("past", torch.zeros(REMEMBERED, 9, side, side, dtype=torch.float16))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, picture: Tensor, base: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.layers(torch.cat([picture, base], dim=1) * 2 - 1)
        return out

    def losses(self, made: Tensor, truth: Tensor, base: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """What the decoder is to lose and what the discriminator is, each with gradients for itself alone.

        Args:
            made, truth, base: (N, 3, side, side) in [0, 1]: decoded, source, linear code.
            rng: for the choice of earlier pictures.

        Returns:
            (N,) of the decoder; a scalar of the discriminator.
        """
        self.requires_grad_(False)
        with torch.no_grad():
            wanted = self(truth, base)
        fooled = F.softplus(wanted - self(made, base)).mean(dim=(1, 2, 3))
        self.requires_grad_(True)
        now = torch.cat([made.detach(), truth, base], dim=1)
        shown = torch.cat([now, self._earlier(now, rng)])
        fake, real, given = torch.split(shown, 3, dim=1)
        return fooled, F.softplus(self(fake, given) - self(real, given)).mean()

    @torch.no_grad()
    def _earlier(self, now: Tensor, rng: np.random.Generator) -> Tensor:
        """Some of the pictures remembered (n, 9, side, side); those of now take the place of others."""
        past, count = self.get_buffer("past"), self.get_buffer("count")
        filled = min(int(count), REMEMBERED)
        earlier = past[torch.from_numpy(rng.permutation(filled)[:AGAIN]).to(past.device)].to(now.dtype)
        for picture in now:
            place = int(count) if int(count) < REMEMBERED else int(rng.integers(REMEMBERED))
            past[place] = picture.to(past.dtype)
            count += 1
        return earlier
