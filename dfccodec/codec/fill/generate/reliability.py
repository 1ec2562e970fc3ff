"""Where the motion of a kept frame makes its warped picture more like the source than the picture itself.

Flow that is wrong looks worse than a still picture. So cells in which warping does not help have no motion. The measure
is the structural similarity (Wang et al. 2004, "Image quality assessment", equation 13), at two scales: squared error
would prefer what is blurred.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from dfccodec.codec.fill.generate.fit import padded_pictures
from dfccodec.models.regen import CELL, TIME_UNIT, warp_picture, wave_basis

WINDOW = 7
STABILIZER = 0.0009
"""C₂ of the paper, (0.03 · range)². The means are not compared."""

SCALES = (1, 2)
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def without_harmful(
    frames: npt.NDArray[np.uint8], kept: int, span: tuple[int, int], latent: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], float]:
    """Set the motion of cells to 0 where the warped picture is less like the source than the picture itself.

    Args:
        frames: (T, H, W, 3) source frames.
        kept: number of the kept frame.
        span: first frame, and end, of the frames that it is a reference of.
        latent: (4 · waves, gh, gw) amplitudes in pixels, not yet quantized.

    Returns:
        the latent; and the sum over the other frames of the span of the dissimilarity, 0 to about 2, of what is shown
        for them.
    """
    numbers = [number for number in range(*span) if number != kept]
    if not numbers:
        return latent, 0.0
    reference = padded_pictures(frames[kept][None])
    flows = torch.from_numpy(latent.reshape(-1, 2, *latent.shape[1:]))
    basis = wave_basis((torch.tensor(numbers, dtype=torch.float32) - kept) / TIME_UNIT, len(latent) // 4)
    moved = still = torch.zeros(latent.shape[1:])
    with torch.inference_mode():
        for number, weights in zip(numbers, basis, strict=True):
            source = padded_pictures(frames[number][None])
            warped = warp_picture(reference, torch.einsum("f,fcyx->cyx", weights, flows)[None])
            moved, still = moved + _dissimilarity(warped, source), still + _dissimilarity(reference, source)
        helps = moved < still
        shown = torch.where(helps, moved, still).mean()
    return latent * helps.numpy(), float(shown)


def _dissimilarity(a: Tensor, b: Tensor) -> Tensor:
    """Mean of 1 − contrast and structure of pictures (1, 3, H, W) over each cell, (gh, gw), and over the scales."""
    weights = torch.tensor(_LUMA).view(1, 3, 1, 1)
    a, b = ((picture * weights).sum(dim=1, keepdim=True) for picture in (a, b))
    cells = (a.shape[2] // CELL, a.shape[3] // CELL)
    total = torch.zeros(cells)
    for scale in SCALES:
        x, y = (F.avg_pool2d(picture, scale) for picture in (a, b))
        mean_x, mean_y = _local_mean(x), _local_mean(y)
        energy = _local_mean(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
        shared = 2 * (_local_mean(x * y) - mean_x * mean_y)
        total += F.adaptive_avg_pool2d(1 - (shared + STABILIZER) / (energy + STABILIZER), cells)[0, 0] / len(SCALES)
    return total


def _local_mean(x: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(x, (WINDOW // 2,) * 4, "replicate"), WINDOW, 1)
