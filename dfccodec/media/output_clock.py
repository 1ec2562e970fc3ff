"""Times of an output: where its clock begins, and whole ticks where a container has a constant rate.

Broadcasts and screen recorders start their clock anywhere: eleven hours in is usual. A .dfc file keeps that clock.
Containers that play the time before the first picture, or that have no start time at all, begin at 0 instead, with
sound and pictures as far apart as they were.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from dfccodec.container.records import Packet, StreamInfo
from dfccodec.media.cut import NO_TIME

FROM_ZERO = frozenset({"mp4", "mov", "webm", "avi", "gif", "yuv4mpegpipe", "image2"})
"""ffmpeg's names of the containers that begin at 0; Matroska, MPEG-TS and NUT keep the clock."""

_SOUND = 0
"""Kind of a stream (SPEC.md 5.6)."""
_SLACK = 1
"""Ticks by which rounding alone may move a frame."""


def start_of(
    container: str, first: Fraction, packets: Iterable[tuple[StreamInfo, Packet]], tick: Fraction = Fraction(0)
) -> Fraction:
    """Seconds of the source's clock that are 0 in the output.

    Args:
        container: ffmpeg's name of it.
        first: time of the first picture, in seconds.
        packets: those that are known so far, each with its stream.
        tick: seconds of a frame, where the container places pictures by whole frames.

    Returns:
        the earliest of picture and sound. Sound that begins before 0 is the start-up of a decoder, which containers
        have a way to hide: it does not count. A picture before 0 does.
    """
    if container not in FROM_ZERO:
        return Fraction(0)
    earliest = first
    for info, packet in packets:
        stamp = packet.dts if packet.pts == NO_TIME else packet.pts
        if info.kind == _SOUND and stamp != NO_TIME:
            earliest = min(earliest, Fraction(stamp * info.time_base.num, info.time_base.den))
    if first <= 0 or first - earliest < tick:
        return first
    return max(earliest, Fraction(0))


class ConstantRate:
    """Whole ticks of frames, for a container that has one rate and no timestamps.

    Args:
        rate: frames per second.
        gaps: whether the container can leave frames out (AVI).

    Attributes:
        uneven: whether frames came at times that such a container cannot show.
    """

    def __init__(self, rate: Fraction, gaps: bool) -> None:
        self.rate, self._gaps = rate, gaps
        self.tick, self.uneven = -1, False

    def place(self, seconds: Fraction) -> int:
        """The tick of the next frame, which begins at `seconds`."""
        wanted = round(seconds * self.rate)
        self.tick = max(self.tick + 1, wanted if self._gaps else 0)
        self.uneven |= abs(wanted - self.tick) > _SLACK and not self._gaps
        return self.tick

    def missing(self, end: Fraction) -> int:
        """Ticks between the end of the last frame and `end` seconds."""
        return max(0, round(end * self.rate) - self.tick - 1)
