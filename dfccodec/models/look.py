"""Look, a filter of decoded pictures: `mini-sharp` adds the detail that a viewer expects and the file does not hold.

It runs after the decoder, on each picture alone, so a file of any latent coding and fill policy can be shown with it,
and the pictures that predict others stay what the encoder knew. Its output is the picture plus a residual, which
a viewer can take by any part (`--look 0.5`). The convolutions run at a quarter of the size (pixel unshuffle, Shi et al.
2016), conditioned on the quantizer index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from dfccodec.models.config import JsonConfig
from dfccodec.models.mini_layers import (
    Conv2d,
    ResidualStack,
    channels_last,
    qp_features,
    unshuffle_pixels,
    zero_init,
)

UNSHUFFLE = 4
"""Side in pixels of the squares that become channels."""


@dataclass(frozen=True)
class LookConfig(JsonConfig):
    """Sizes of `Look`.

    Args:
        width: channels of the residual blocks.
        depth: number of residual blocks, two convolutions each.
    """

    family: ClassVar[str] = "mini-look"

    width: int = 64
    depth: int = 8

    def __post_init__(self) -> None:
        self.require_sizes()


class Look(nn.Module):
    """A residual network over decoded pictures."""

    def __init__(self, config: LookConfig) -> None:
        super().__init__()
        self.config = config
        pixels = 3 * UNSHUFFLE**2
        self.stem = Conv2d(pixels, config.width, 3, padding=1)
        self.stack = ResidualStack(config.width, config.depth)
        self.head = Conv2d(config.width, pixels, 3, padding=1)
        zero_init(self.head)

    @property
    def config_json(self) -> str:
        """The configuration as it is stored in weight files."""
        return self.config.to_json()

    @property
    def receptive_rows(self) -> int:
        """Rows above and below a pixel on which its result can depend: each convolution sees one square further."""
        return UNSHUFFLE * (2 * self.config.depth + 2)

    def forward(self, pictures: Tensor, qp: Tensor) -> Tensor:
        """The residual of pictures.

        Args:
            pictures: (B, 3, H, W) in 0…1, of any size.
            qp: (B,) quantizer index.

        Returns:
            (B, 3, H, W) float32, to be added.
        """
        height, width = pictures.shape[2:]
        padding = (0, -width % UNSHUFFLE, 0, -height % UNSHUFFLE)
        padded = F.pad(pictures, padding, "replicate") if any(padding) else pictures
        x = self.stem(channels_last(unshuffle_pixels(2 * padded - 1, UNSHUFFLE)))
        x = self.stack(x, qp_features(qp))
        residual = F.pixel_shuffle(self.head(x).float(), UNSHUFFLE)
        return residual[..., :height, :width]
