"""What passes between media and codec: one frame, and what a video says of itself. Imports no PyAV."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Picture:
    """One frame: `rgb` (H, W, 3) uint8, `pts` and `duration` in ticks of the video's time base."""

    rgb: np.ndarray
    pts: int
    duration: int


@dataclass(frozen=True)
class SourceInfo:
    """What a video says of itself; ratios are exact, `frames` and `size` are 0 where unknown.

    `rotation` counts quarter turns clockwise that bring the picture upright. `colour` is (range, primaries,
    transfer, matrix, bits) in H.273 code points. `tags` are the container's metadata. `other_streams` counts
    sound and subtitle streams.
    """

    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    pixel_aspect: Fraction = Fraction(1)
    rotation: int = 0
    colour: tuple[int, int, int, int, int] = (0, 2, 2, 2, 8)
    frames: int = 0
    size: int = 0
    tags: tuple[tuple[str, str], ...] = ()
    other_streams: int = 0
