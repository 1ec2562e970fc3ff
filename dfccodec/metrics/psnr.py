"""Mean squared error and peak signal-to-noise ratio over RGB."""

from __future__ import annotations

import math

import numpy as np

from dfccodec.metrics.inputs import Video, check_pair, to_float01


def mse(reference: Video, distorted: Video) -> float:
    """Return the mean squared error over all pixels, channels and frames, on the scale [0, 1].

    Args:
        reference, distorted: (T, H, W, 3), uint8 or floats in [0, 1].

    Returns:
        0 (identical) to 1.

    Raises:
        UsageError: see :func:`dfccodec.metrics.inputs.check_pair`.
    """
    check_pair(reference, distorted)
    total = 0.0
    for a, b in zip(reference, distorted, strict=True):  # float64 sums, frame by frame to save memory
        total += float(np.sum((to_float01(a) - to_float01(b)) ** 2, dtype=np.float64))
    return total / reference.size


def psnr(reference: Video, distorted: Video) -> float:
    """Return the PSNR of a video in dB, -10 log10(MSE), with one MSE over all frames.

    The mean of per-frame PSNR, which some tools print, is never lower. Do not compare the two.

    Args:
        reference, distorted: (T, H, W, 3), uint8 or floats in [0, 1].

    Returns:
        dB, higher is better; infinity for identical videos.

    Raises:
        UsageError: see :func:`dfccodec.metrics.inputs.check_pair`.
    """
    error = mse(reference, distorted)
    return -10 * math.log10(error) if error else math.inf
