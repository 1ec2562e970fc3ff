"""Where a picture has texture: there the eye cannot tell error from detail, and everywhere else it can.

LPIPS by itself pays for faint lines in smooth areas, which its first layer takes for texture (docs/training.md). So it
sees a decoder's error where there is texture alone, and what is smooth has its squared error beside it, undiluted.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 9
"""Pixels a side over which texture is judged."""

FINE = 5
"""Pixels a side of the mean that texture stands out from: slopes and blurred edges do not."""

HALF = (4 / 255) ** 2
"""Of what stands out, the mean square at which a pixel counts half as texture: grain lies below, grass above."""

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def activity(pictures: Tensor) -> Tensor:
    """Mean square of what stands out around each pixel of pictures (N, 3, H, W) in [0, 1]: (N, 1, H, W)."""
    luma = (pictures * pictures.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    return _mean((luma - _mean(luma, FINE)).square(), WINDOW)


def texture(pictures: Tensor) -> Tensor:
    """How much each pixel of pictures (N, 3, H, W) in [0, 1] belongs to texture: (N, 1, H, W), 0 to 1."""
    energy = activity(pictures)
    # Pixels beside an edge share its window without being textured: the least of the neighbourhood tells them apart.
    calmest = -F.max_pool2d(F.pad(-energy, (WINDOW // 2,) * 4, "replicate"), WINDOW, 1)
    return calmest / (calmest + HALF)


def detail(pictures: Tensor) -> Tensor:
    """As :func:`texture`, and edges with what lies beside them count as well: all that is not smooth."""
    energy = activity(pictures)
    return energy / (energy + HALF)


def _mean(x: Tensor, side: int) -> Tensor:
    """Over squares of `side` pixels, the edges repeated."""
    return F.avg_pool2d(F.pad(x, (side // 2,) * 4, "replicate"), side, 1)


def split(made: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """What is wrong with pictures `made`, apart for texture and for what is smooth.

    Args:
        made, truth: (N, 3, H, W) in [0, 1].

    Returns:
        the truth with the error of textured pixels alone (N, 3, H, W); squared error of the others, summed (N,).
    """
    with torch.no_grad():
        share = texture(truth)
    error = made - truth
    return truth + share * error, ((1 - share) * error.square()).sum(dim=(1, 2, 3))
