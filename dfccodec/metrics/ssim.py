"""Structural similarity: SSIM and MS-SSIM with five scales.

Sources: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From Error Visibility to
Structural Similarity", IEEE TIP 13(4), 2004 (SSIM: equation 13; constants and window: section III-B and III-C);
Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multi-Scale Structural Similarity for Image Quality Assessment", Asilomar 2003
(MS-SSIM: equation 7; weights: section 3.2).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dfccodec.errors import UsageError
from dfccodec.metrics.inputs import Video, check_pair, to_float01

WINDOW, SIGMA = 11, 1.5
"""Side of the Gaussian window and its standard deviation, in pixels."""

C1, C2 = 0.01**2, 0.03**2
"""(K L)² for pixels in [0, 1]. They stabilize the quotients in dark and flat windows."""

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales of MS-SSIM, finest first."""

_CHUNK = 8  # frames per batch, limits memory


def ssim(reference: Video, distorted: Video) -> float:
    """Return the mean SSIM over frames, channels and all positions where the window lies inside the picture.

    Args:
        reference, distorted: (T, H, W, 3), uint8 or floats in [0, 1]; sides of at least 11 pixels.

    Returns:
        up to 1 (identical); may be negative.

    Raises:
        UsageError: a side is too short, or see :func:`dfccodec.metrics.inputs.check_pair`.
    """
    return _over_frames(reference, distorted, 1)


def ms_ssim(reference: Video, distorted: Video) -> float:
    """Return the MS-SSIM over five scales with the published weights: the mean over frames and channels.

    Each RGB channel is a separate grey picture, as in the literature on learned codecs. Luma alone gives higher values.
    A negative contrast term counts as 0, because its power would be NaN.

    Args:
        reference, distorted: (T, H, W, 3), uint8 or floats in [0, 1]; sides of at least 176 pixels.

    Returns:
        0 to 1 (identical).

    Raises:
        UsageError: a side is too short, or see :func:`dfccodec.metrics.inputs.check_pair`.
    """
    return _over_frames(reference, distorted, len(WEIGHTS))


def _over_frames(reference: Video, distorted: Video, scales: int) -> float:
    check_pair(reference, distorted)
    smallest = WINDOW << (scales - 1)  # the window must fit at the coarsest scale
    if min(reference.shape[1:3]) < smallest:
        raise UsageError(
            f"pictures of {reference.shape[2]}×{reference.shape[1]}: {'MS-SSIM' if scales > 1 else 'SSIM'} needs sides "
            f"of at least {smallest} pixels"
        )
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(reference), _CHUNK):
            part = slice(start, start + _CHUNK)
            a, b = (torch.from_numpy(to_float01(v[part])).permute(0, 3, 1, 2) for v in (reference, distorted))
            values = ms_ssim_planes(a, b) if scales > 1 else _terms(a, b)[0]
            total += float(values.double().mean(1).sum())
    return total / len(reference)


def ms_ssim_planes(a: Tensor, b: Tensor) -> Tensor:
    """Return the MS-SSIM of every plane; differentiable.

    Args:
        a, b: (N, C, H, W) floats in [0, 1]; sides of at least 176 pixels.

    Returns:
        (N, C).
    """
    out = torch.ones(a.shape[:2], dtype=a.dtype, device=a.device)
    for scale, weight in enumerate(WEIGHTS):
        whole, contrast = _terms(a, b)
        last = scale == len(WEIGHTS) - 1
        out = out * (whole if last else contrast).clamp_min(0) ** weight
        if not last:
            a, b = (F.avg_pool2d(p, 2, ceil_mode=True, count_include_pad=False) for p in (a, b))
    return out


def _terms(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means of SSIM and of its contrast-structure term for each plane, both (N, C); equations 9, 10, 13."""
    mean_a, mean_b, aa, bb, ab = _blur(torch.cat([a, b, a * a, b * b, a * b], 1)).chunk(5, 1)
    contrast = (2 * (ab - mean_a * mean_b) + C2) / (aa - mean_a**2 + bb - mean_b**2 + C2)
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return (luminance * contrast).mean((2, 3)), contrast.mean((2, 3))


def _blur(planes: Tensor) -> Tensor:
    """Filter with the Gaussian window, without padding: (N, C, H, W) to (N, C, H - 10, W - 10)."""
    x = torch.arange(WINDOW, dtype=planes.dtype, device=planes.device) - WINDOW // 2
    window = torch.exp(-(x**2) / (2 * SIGMA**2))
    window = window / window.sum()
    count = planes.shape[1]  # a depthwise convolution is seven times faster than a batch of single planes
    rows = F.conv2d(planes, window.expand(count, 1, 1, -1), groups=count)
    return F.conv2d(rows, window[:, None].expand(count, 1, -1, 1), groups=count)
