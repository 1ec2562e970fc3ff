"""How a player turns a picture: quarter turns, which a .dfc file names, and a mirror, which it cannot."""

from __future__ import annotations

import contextlib
import math
import struct
from collections.abc import Iterable
from typing import cast

from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame


def side_data(frame: VideoFrame) -> dict[Type, bytes]:
    """What ffmpeg has beside a frame, by kind; empty where there is a kind, such as EXIF, that PyAV has no name for."""
    with contextlib.suppress(ValueError):
        return {data.type: bytes(data) for data in cast(Iterable[SideData], frame.side_data)}
    return {}


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Quarter turns clockwise, 0…3, and whether the picture is to be mirrored left to right before them.

    The display matrix [a b; c d] takes a pixel (x, y) to (a·x + c·y, b·x + d·y) (ffmpeg, libavutil/display.h). With a
    negative determinant it mirrors; with the signs of a and b changed, what is left is a turn.
    """
    try:
        beside = cast(Iterable[SideData], frame.side_data)
        matrix = next((bytes(data) for data in beside if data.type == Type.DISPLAYMATRIX), b"")
    except ValueError:  # a kind of side data, such as EXIF, that ffmpeg has and this PyAV has no name for
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
