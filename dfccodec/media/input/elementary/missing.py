"""Missing and damaged pictures of a stream that has no container."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from av.packet import Packet as AvPacket
from av.video.frame import VideoFrame

from dfccodec.media.decode_errors import DecodeErrorCounter
from dfccodec.media.input.elementary.h264 import H264Numbers
from dfccodec.media.input.elementary.hevc import HevcNumbers
from dfccodec.media.input.elementary.jpeg import JpegChecker
from dfccodec.media.input.elementary.mpeg2 import Mpeg2Numbers
from dfccodec.media.input.elementary.picture_order import PictureOrder

_DEFAULT_RATE = Fraction(25)
_JPEG_FORMATS = ("mjpeg", "jpeg_pipe")
_READERS: dict[str, Callable[[], H264Numbers | HevcNumbers | Mpeg2Numbers]] = {
    "h264": H264Numbers,
    "hevc": HevcNumbers,
    "mpegvideo": Mpeg2Numbers,
}
"""Reader of picture numbers by name of ffmpeg's format."""


class MissingPictures:
    """Finds missing and damaged pictures; does nothing for other formats.

    Args:
        format_: ffmpeg's name of the source's format.
        rate: frames per second, 0 if unknown. Such streams have no timestamps.
        errors: counts what is found.
    """

    def __init__(self, format_: str, rate: Fraction, errors: DecodeErrorCounter) -> None:
        kind = _READERS.get(format_)
        self._numbers = kind() if kind else None
        self._jpegs = JpegChecker() if format_ in _JPEG_FORMATS else None
        self._order, self._errors, self._rate = PictureOrder(), errors, rate or _DEFAULT_RATE
        self._packets = 0
        self._waiting = 0  # pictures read minus frames decoded
        self._has_gaps = False

    def add(self, packet: AvPacket[Any], frames: list[VideoFrame] | None) -> None:
        """Process the next packet and the frames decoded from it, None if it does not decode."""
        lost = self._jpegs.check(bytes(packet), frames[0]) if self._jpegs and frames else None
        if lost is not None:
            self._errors.add_damaged_frame()
            self._count([(self._packets, lost)] if lost else [])
        for number in self._numbers.read(bytes(packet)) if self._numbers else ():
            self._count(self._order.add(number, self._packets))
            self._waiting += frames is not None
        self._waiting -= len(frames or ())
        self._packets += 1

    def finish(self) -> None:
        """Process the end of the stream."""
        self._count(self._order.finish())
        for _ in range(self._waiting if self._has_gaps else 0):
            self._errors.add("a reference frame is missing")

    def _count(self, found: list[tuple[int, int]]) -> None:
        self._has_gaps |= bool(found)
        for packet, frames in found:
            self._errors.add_missing_frames(packet / self._rate, frames)
