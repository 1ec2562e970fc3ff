"""A small patch discriminator. It tells shown from source patches, given the decoded ones.

It is relativistic and paired (Jolicoeur-Martineau 2018, "The relativistic discriminator", section 4): a decoded patch
is compared with the same patch of its source. Spectral norm (Miyato et al. 2018) replaces batch norm, which would
couple the pictures of a step. Decoded pictures of earlier steps are used again (Shrivastava et al. 2017, "Learning from
Simulated and Unsupervised Images", section 2.3), so that the decoder does not return to old artifacts.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

WIDTHS = (32, 64, 128)
DISCRIMINATOR_SIDE = 96
"""Side in pixels of the crops that it gets."""

STORED_PICTURES = 48
"""Number of pictures of earlier steps that are stored."""

REPLAYED_PICTURES = 3
"""Number of stored pictures used in a step."""


class Discriminator(nn.Module):
    """Scores patches 8 pixels apart: picture (N, 3, H, W) and decoded picture (N, 3, H, W) to (N, 1, H/8, W/8).

    Args:
        side: H and W of the crops that the losses see, and of the stored pictures.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        layers: list[nn.Module] = []
        before = 6
        for width in WIDTHS:
            layers += [spectral_norm(nn.Conv2d(before, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            before = width
        layers += [spectral_norm(nn.Conv2d(before, before, 3, padding=1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(before, 1, 1))
        self.register_buffer("past", torch.zeros(STORED_PICTURES, 9, side, side, dtype=torch.float16))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def forward(self, picture: Tensor, base: Tensor) -> Tensor:
        """Compute the scores; see the class."""
        out: Tensor = self.layers(torch.cat([picture, base], dim=1) * 2 - 1)
        return out

    def losses(self, decoded: Tensor, truth: Tensor, base: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Compute the losses of decoder and discriminator; each has gradients for its own parameters only.

        Args:
            decoded, truth, base: (N, 3, H, W) in [0, 1], at least side × side: what was made, source, and what it was
                made from. One crop at a random position of all counts.
            rng: chooses the crop and the stored pictures.

        Returns:
            decoder loss (N,), discriminator loss (scalar).
        """
        y, x = (int(rng.integers(length - self.side + 1)) for length in truth.shape[2:])
        at = (..., slice(y, y + self.side), slice(x, x + self.side))
        decoded, truth, base = decoded[at], truth[at], base[at]
        self.requires_grad_(False)
        with torch.no_grad():
            real_scores = self(truth, base)
        decoder_loss = F.softplus(real_scores - self(decoded, base)).mean(dim=(1, 2, 3))
        self.requires_grad_(True)
        current = torch.cat([decoded.detach(), truth, base], dim=1)
        batch = torch.cat([current, self._swap_stored(current, rng)])
        fake, real, given = torch.split(batch, 3, dim=1)
        return decoder_loss, F.softplus(self(fake, given) - self(real, given)).mean()

    @torch.no_grad()
    def _swap_stored(self, current: Tensor, rng: np.random.Generator) -> Tensor:
        """Return stored pictures (n, 9, side, side), then replace some stored pictures by the current ones."""
        past, count = self.get_buffer("past"), self.get_buffer("count")
        filled = min(int(count), STORED_PICTURES)
        earlier = past[torch.from_numpy(rng.permutation(filled)[:REPLAYED_PICTURES]).to(past.device)].to(current.dtype)
        for picture in current:
            place = int(count) if int(count) < STORED_PICTURES else int(rng.integers(STORED_PICTURES))
            past[place] = picture.to(past.dtype)
            count += 1
        return earlier
