"""Squared error of two videos, exactly."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def sse(a: Iterable[np.ndarray], b: Iterable[np.ndarray]) -> float:
    """Of two videos (T, H, W, 3) uint8: squared differences of samples in 0…1, added up."""
    total = 0
    for one, other in zip(a, b, strict=True):  # frame by frame: exact sums without wide copies of a clip
        difference = one.astype(np.int32) - other
        total += int(np.einsum("hwc,hwc->", difference, difference, dtype=np.int64))
    return total / 255**2
