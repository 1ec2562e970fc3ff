"""Squared error and peak signal-to-noise ratio over RGB."""

from __future__ import annotations

import math

import numpy as np

from dfccodec.metrics.inputs import Video, check_pair, to_float01


def mse(reference: Video, distorted: Video) -> float:
    """Mean squared error over all pixels, channels and frames, on [0, 1].

    Args:
        reference, distorted: (T, H, W, 3), uint8 or floats in [0, 1].

    Returns:
        0 (same pixels) … 1.

    Raises:
        UsageError: see :func:`dfccodec.metrics.inputs.check_pair`.
    """
    check_pair(reference, distorted)
    total = 0.0
    for a, b in zip(reference, distorted, strict=True):  # frame by frame: float64 sums without float64 videos
        total += float(np.sum((to_float01(a) - to_float01(b)) ** 2, dtype=np.float64))
    return total / reference.size


def psnr(reference: Video, distorted: Video) -> float:
    """PSNR in dB of the video's mean squared error, -10 log10(MSE): one MSE over all frames, one logarithm.

    The mean of per-frame PSNR, which some tools print, is never lower; do not compare the two.

    Args:
        reference, distorted: (T, H, W, 3), uint8 or floats in [0, 1].

    Returns:
        dB, higher is better; infinity for the same pixels.

    Raises:
        UsageError: see :func:`dfccodec.metrics.inputs.check_pair`.
    """
    error = mse(reference, distorted)
    return -10 * math.log10(error) if error else math.inf
