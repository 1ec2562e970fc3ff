"""Damage inside JPEG pictures (ISO/IEC 10918-1): too many or too few data, as where one picture runs into the next.

A decoder stops after the last block and ignores what follows; if data are missing, it makes them up. So of a picture
with too many data, other bits at the end of the scan change nothing, and of one with too few, more bits change it.
Cameras may pad every scan; a picture is damaged if those before it were not padded.
"""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from dfccodec.media.input.elementary.jpeg_scan import JpegScan, read_scan

_CHANGED = 8
"""Number of bytes at the end of an interval that are changed."""
_MIN_INTACT = 2
"""Number of intact pictures that must be exceeded before the first one that is judged."""


class JpegChecker:
    """Tells which pictures of a raw MJPEG stream are damaged."""

    def __init__(self) -> None:
        self._decoder = av.CodecContext.create("mjpeg", "r")
        self._intact = self._damaged = self._bytes = 0

    def check(self, data: bytes, frame: VideoFrame) -> int | None:
        """Check a picture; return None if it is intact, else the estimated number of pictures that are lost in it.

        Args:
            data: the packet of one picture.
            frame: the picture decoded from it.
        """
        scan = read_scan(data)
        ends_well = self._ends_well(data, scan, frame) if scan else False
        if ends_well:
            self._intact, self._bytes = self._intact + 1, self._bytes + len(data)
        elif ends_well is not None:
            self._damaged += 1
            if self._intact > max(_MIN_INTACT, self._damaged):
                return max(0, round(len(data) * self._intact / self._bytes) - 1)
        return None

    def _ends_well(self, data: bytes, scan: JpegScan, frame: VideoFrame) -> bool | None:
        """Return whether every interval ends with its last block: other bits before matter, bits after do not.

        None if that is not known, since the other bits do not decode.
        """
        ends = scan.find_ends(data)
        if len(ends) != scan.intervals or ends[0] < scan.begin + _CHANGED:
            return None if len(ends) == scan.intervals else False
        other, more = bytearray(), bytearray()
        for begin, end in zip((0, *ends), ends, strict=False):
            tail = bytes(0x55 if b ^ 0xFF in (0, 0xFF) else b ^ 0xFF for b in data[end - _CHANGED : end])
            other += data[begin : end - _CHANGED] + tail
            more += data[begin:end] + tail
        changed, same = (self._decode(bytes(copy) + data[ends[-1] :]) for copy in (other, more))
        if same is None or not _are_equal(frame, same):
            return False
        return None if changed is None else all(_differ(frame, changed, *place) for place in scan.last_units())

    def _decode(self, data: bytes) -> VideoFrame | None:
        try:
            made = self._decoder.decode(av.Packet(data))
        except av.error.FFmpegError:
            return None
        return made[0] if len(made) == 1 else None


def _are_equal(a: VideoFrame, b: VideoFrame) -> bool:
    return a.format.name == b.format.name and all(
        np.array_equal(_samples(p), _samples(q)) for p, q in zip(a.planes, b.planes, strict=True)
    )


def _differ(a: VideoFrame, b: VideoFrame, rows: slice, columns: slice) -> bool:
    """Return whether two pictures differ in a part of the picture."""
    for p, q in zip(a.planes, b.planes, strict=True):
        x, y = -(-a.width // p.width), -(-a.height // p.height)
        part = slice(rows.start // y, -(-rows.stop // y)), slice(columns.start // x, -(-columns.stop // x))
        if not np.array_equal(_samples(p)[part], _samples(q)[part]):
            return True
    return False


def _samples(plane: VideoPlane) -> np.ndarray:
    """Return the samples of a plane without the padding of its lines; MJPEG has one byte per sample."""
    size = plane.height, plane.line_size
    lines: np.ndarray = np.frombuffer(cast(Any, plane), np.uint8)[: size[0] * size[1]].reshape(size)
    return lines[:, : plane.width]
