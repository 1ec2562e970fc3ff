"""Parsing of frame sizes, and scaling of frames."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np

from dfccodec.errors import UsageError
from dfccodec.limits import MAX_PIXELS, MAX_SIDE

_ASPECT_TOLERANCE = Fraction(1, 100)
"""Relative change of the pixel aspect ratio that results from rounding the size and is ignored."""


Size = str | int | tuple[int, int]
"""A size: `480` or 480, `640x360` or (640, 360)."""


def parse_size(size: Size) -> tuple[int, int]:
    """Parse a size: `480` (short side) to (480, 0); `640x360` (upright width and height) to (640, 360).

    Raises:
        UsageError: it is not a size, or a side is out of range.
    """
    text = "x".join(map(str, size)) if isinstance(size, tuple | list) else str(size)
    match = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text, re.ASCII)
    sides = (int(match[1]), int(match[2] or 0)) if match else (0, 0)
    if not match or not 0 < sides[0] <= MAX_SIDE or (match[2] and not 0 < sides[1] <= MAX_SIDE):
        raise UsageError(f"size {text!r} is not understood: give the short side as 480, or 640x360")
    return sides


def centre_crop(size: tuple[int, int], wanted: Size, rotation: int = 0) -> tuple[slice, slice]:
    """Return rows and columns of the centre of a coded picture.

    Args:
        size: (width, height) of the coded picture.
        wanted: upright width and height, as in :func:`parse_size`; one number is a square.
        rotation: clockwise rotation of the picture in steps of 90°.

    Raises:
        UsageError: it is not a size, or larger than the picture.
    """
    width, height = parse_size(wanted)
    upright = (width, height or width)
    crop = upright if rotation % 2 == 0 else upright[::-1]
    if crop[0] > size[0] or crop[1] > size[1]:
        whole = size if rotation % 2 == 0 else size[::-1]
        raise UsageError(
            f"crop {upright[0]}x{upright[1]} is larger than the picture of {whole[0]}×{whole[1]}: give a smaller one, "
            "or a larger --size, which is applied first"
        )
    x, y = (size[0] - crop[0]) // 2, (size[1] - crop[1]) // 2
    return slice(y, y + crop[1]), slice(x, x + crop[0])


def fit_size(size: tuple[int, int], wanted: tuple[int, int], rotation: int = 0) -> tuple[int, int]:
    """Return (width, height) to which a coded picture of `size` is scaled.

    If only the short side is given, the aspect ratio is kept, and the long side is rounded to an even number.

    Args:
        size: (width, height) of the coded picture.
        wanted: result of :func:`parse_size`.
        rotation: clockwise rotation of the picture in steps of 90°.

    Raises:
        UsageError: the result exceeds the limits of a picture.
    """
    found = _fit_size(size, wanted, rotation)
    if max(found) > MAX_SIDE or found[0] * found[1] > MAX_PIXELS:
        raise UsageError(
            f"size {found[0]}×{found[1]} is over {MAX_PIXELS} pixels, or {MAX_SIDE} a side: give a smaller one"
        )
    return found


def _fit_size(size: tuple[int, int], wanted: tuple[int, int], rotation: int) -> tuple[int, int]:
    if wanted[1]:
        return wanted if rotation % 2 == 0 else (wanted[1], wanted[0])
    scale = Fraction(wanted[0], min(size))
    long = max(2 * round(max(size) * scale / 2), 1) if scale != 1 else max(size)
    long = max(long, wanted[0])
    return (long, wanted[0]) if size[0] > size[1] else (wanted[0], long)


def scaled_pixel_aspect(aspect: Fraction, old: tuple[int, int], new: tuple[int, int]) -> Fraction:
    """Return the pixel aspect ratio that keeps the look of a picture scaled from size `old` to `new`."""
    exact = aspect * Fraction(old[0] * new[1], old[1] * new[0])
    return aspect if abs(exact / aspect - 1) < _ASPECT_TOLERANCE else exact


def scale_rgb(rgb: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale (H, W, 3) uint8 to (size[1], size[0], 3) uint8 with Lanczos."""
    from av.video.frame import VideoFrame  # sizes are parsed, and arrays encoded, without PyAV

    from dfccodec.media.colour import SCALE

    frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return frame.reformat(*size, interpolation=SCALE).to_ndarray()
