"""Several clips side by side in one picture or video."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from dfccodec.report.picture_writer import PictureWriter, is_picture

GAP = 4
"""Space between pictures in pixels."""


def tile_pictures(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Arrange pictures (H, W, 3) uint8 of one size in rows, as nearly square as possible, on black.

    Height and width of the result are even, as most video encoders need it.
    """
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    height, width = (side + GAP for side in pictures[0].shape[:2])
    sides = rows * height - GAP, columns * width - GAP
    out = np.zeros((sides[0] + sides[0] % 2, sides[1] + sides[1] % 2, 3), np.uint8)
    for number, picture in enumerate(pictures):
        y, x = number // columns * height, number % columns * width
        out[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return out


def grid_frames(clips: Sequence[np.ndarray], still: bool) -> Iterator[np.ndarray]:
    """Yield the frames of a grid of clips (T, H, W, 3). Shorter clips hold their last frame.

    With `still`, yield one picture, of the middle frame of every clip.
    """
    if still:
        yield tile_pictures([clip[len(clip) // 2] for clip in clips])
        return
    for number in range(max(len(clip) for clip in clips)):
        yield tile_pictures([clip[min(number, len(clip) - 1)] for clip in clips])


def write_grid(clips: Sequence[np.ndarray], target: Path, rate: Fraction) -> None:
    """Write a grid of clips (T, H, W, 3) uint8 as a picture or a video, by the suffix of `target`.

    Raises:
        UsageError: the suffix is that of neither.
    """
    frames = list(grid_frames(clips, is_picture(target)))
    height, width = frames[0].shape[:2]
    with PictureWriter(target, (width, height), rate) as writer:
        for frame in frames:
            writer.write(frame)
