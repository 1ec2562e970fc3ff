"""Masks of texture. In texture a viewer cannot tell error from detail; in smooth areas errors are visible.

LPIPS alone rewards faint lines in smooth areas, which its first layer takes for texture (docs/training.md). Therefore
LPIPS gets the error of textured areas only, and the squared error of smooth areas is a separate term.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

ENERGY_WINDOW = 9
"""Side in pixels of the window over which texture is measured."""

MEAN_WINDOW = 5
"""Side in pixels of the local mean that is subtracted first. It removes gradients and blurred edges."""

HALF_ENERGY = (4 / 255) ** 2
"""Energy at which a pixel counts half as texture. Grain has less energy, grass has more."""

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def local_energy(pictures: Tensor) -> Tensor:
    """Return the local high-frequency energy of pictures (N, 3, H, W) in [0, 1], as (N, 1, H, W)."""
    luma = (pictures * pictures.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    return _local_mean((luma - _local_mean(luma, MEAN_WINDOW)).square(), ENERGY_WINDOW)


def texture_share(pictures: Tensor) -> Tensor:
    """Return the share of texture at each pixel of pictures (N, 3, H, W) in [0, 1], as (N, 1, H, W) in 0 to 1."""
    energy = local_energy(pictures)
    # Pixels next to an edge have energy without texture. The minimum over the neighbourhood excludes them.
    calmest = -F.max_pool2d(F.pad(-energy, (ENERGY_WINDOW // 2,) * 4, "replicate"), ENERGY_WINDOW, 1)
    return calmest / (calmest + HALF_ENERGY)


def detail_share(pictures: Tensor) -> Tensor:
    """Return the share of detail at each pixel, as :func:`texture_share` but including edges and adjacent pixels."""
    energy = local_energy(pictures)
    return energy / (energy + HALF_ENERGY)


def _local_mean(x: Tensor, side: int) -> Tensor:
    """Return the mean over squares of `side` pixels, with the edges replicated."""
    return F.avg_pool2d(F.pad(x, (side // 2,) * 4, "replicate"), side, 1)


def split_error(made: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Separate the error of decoded pictures into texture and smooth areas.

    Args:
        made, truth: (N, 3, H, W) in [0, 1]: decoded pictures and source.

    Returns:
        source plus the error of textured areas (N, 3, H, W); squared error of smooth areas, summed (N,).
    """
    with torch.no_grad():
        share = texture_share(truth)
    error = made - truth
    return truth + share * error, ((1 - share) * error.square()).sum(dim=(1, 2, 3))
