"""Sizes as people ask for them, and pictures scaled to them."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
from av.video.frame import VideoFrame

from dfccodec.errors import UsageError
from dfccodec.limits import MAX_PIXELS, MAX_SIDE
from dfccodec.media.colour import SCALE

_SLACK = Fraction(1, 100)
"""Change of the pixel aspect that rounding to whole pixels makes, and that is not worth writing down."""


def parse_size(text: str) -> tuple[int, int]:
    """`480`, the short side, -> (480, 0); `640x360`, width and height upright, -> (640, 360).

    Raises:
        UsageError: it is neither, or a side is out of range.
    """
    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text, re.ASCII)
    sides = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
    if not match or not 0 < sides[0] <= MAX_SIDE or (match[2] and not 0 < sides[1] <= MAX_SIDE):
        raise UsageError(f"size {text!r} is not understood: give the short side as 480, or 640x360")
    return sides


def fitted(size: tuple[int, int], wanted: tuple[int, int], rotation: int = 0) -> tuple[int, int]:
    """The size that a coded picture of `size` gets, (width, height), for what :func:`parse_size` gave.

    With the short side alone the other keeps the shape, to an even number of pixels; `rotation` in quarter turns.

    Raises:
        UsageError: that is more than a picture may have.
    """
    found = _fitted(size, wanted, rotation)
    if max(found) > MAX_SIDE or found[0] * found[1] > MAX_PIXELS:
        raise UsageError(
            f"size {found[0]}×{found[1]} is over {MAX_PIXELS} pixels, or {MAX_SIDE} a side: give a smaller one"
        )
    return found


def _fitted(size: tuple[int, int], wanted: tuple[int, int], rotation: int) -> tuple[int, int]:
    if wanted[1]:
        return wanted if rotation % 2 == 0 else (wanted[1], wanted[0])
    scale = Fraction(wanted[0], min(size))
    long = max(2 * round(max(size) * scale / 2), 1) if scale != 1 else max(size)
    long = max(long, wanted[0])
    return (long, wanted[0]) if size[0] > size[1] else (wanted[0], long)


def aspect_after(aspect: Fraction, old: tuple[int, int], new: tuple[int, int]) -> Fraction:
    """Width over height of a pixel once a picture went from one size to another, so that it looks the same."""
    exact = aspect * Fraction(old[0] * new[1], old[1] * new[0])
    return aspect if abs(exact / aspect - 1) < _SLACK else exact


def scaled(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 -> (size[1], size[0], 3) uint8 with Lanczos."""
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return frame.reformat(*size, interpolation=SCALE).to_ndarray()
