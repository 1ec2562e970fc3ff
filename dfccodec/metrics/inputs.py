"""Input type and argument checks of all metrics."""

from __future__ import annotations

from typing import Any

import numpy as np

from dfccodec.errors import UsageError

Video = np.ndarray[Any, np.dtype[Any]]
"""(T, H, W, 3) RGB: uint8, or floating point in [0, 1]."""


def check_pair(reference: Video, distorted: Video) -> None:
    """Check that two arrays are videos of equal shape.

    Raises:
        UsageError: a shape is not (T, H, W, 3) with at least one pixel, the two differ, or a type is neither uint8
            nor floating point.
    """
    for video in (reference, distorted):
        if video.ndim != 4 or video.shape[3] != 3 or video.size == 0:
            raise UsageError(f"video of shape {video.shape}: metrics need shape (T, H, W, 3)")
        if video.dtype != np.uint8 and not np.issubdtype(video.dtype, np.floating):
            raise UsageError(f"video of type {video.dtype}: metrics need uint8, or floats in [0, 1]")
    if reference.shape != distorted.shape:
        raise UsageError(f"videos of shapes {reference.shape} and {distorted.shape}: metrics need equal shapes")


def to_float01(video: Video) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Convert a video to float32 in [0, 1].

    Raises:
        UsageError: a float is outside [0, 1] or NaN.
    """
    if video.dtype == np.uint8:
        return video.astype(np.float32) / np.float32(255)
    low, high = float(video.min()), float(video.max())
    if not (low >= 0 and high <= 1):
        raise UsageError(f"pixels from {low:g} to {high:g}: floats must lie in [0, 1]; clip or scale them")
    return video.astype(np.float32)


def to_uint8(video: Video) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Convert a video to contiguous uint8; floats are rounded half up."""
    if video.dtype == np.uint8:
        return np.ascontiguousarray(video)
    return (to_float01(video) * 255 + 0.5).astype(np.uint8)
