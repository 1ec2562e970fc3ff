"""Orientation of a frame: rotation in steps of 90°, which a .dfc file stores, and mirroring, which it cannot store."""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterable
from typing import cast

from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame


def read_side_data(frame: VideoFrame) -> dict[Type, bytes]:
    """Return a frame's side data by type; empty if PyAV cannot name one of the types, such as EXIF."""
    with contextlib.suppress(ValueError):
        return {data.type: bytes(data) for data in cast(Iterable[SideData], frame.side_data)}
    return {}


def read_orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Return the clockwise rotation in steps of 90°, 0 to 3, and whether to mirror left to right before it.

    The display matrix [a b; c d] maps a pixel (x, y) to (a·x + c·y, b·x + d·y) (ffmpeg, libavutil/display.h). If its
    determinant is negative, it mirrors. Negating a and b then leaves a pure rotation.
    """
    try:
        side_data = cast(Iterable[SideData], frame.side_data)
        matrix = next((bytes(data) for data in side_data if data.type == Type.DISPLAYMATRIX), b"")
    except ValueError:  # PyAV cannot name a type of side data that this ffmpeg has, such as EXIF
        return round(-frame.rotation / 90) % 4, False
    if len(matrix) != 36:
        return 0, False
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    mirrored = a * d < b * c
    if mirrored:
        a, b = -a, -b
    across, down = math.hypot(a, c), math.hypot(b, d)
    if not across or not down:
        return 0, False
    return round(math.atan2(b / down, a / across) / (math.pi / 2)) % 4, mirrored
