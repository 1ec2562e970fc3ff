"""Times of an output: where its clock begins, and whole ticks where a container has a constant rate.

Broadcasts and screen recorders start their clock anywhere: eleven hours in is usual. A .dfc file keeps that clock.
Containers that play the time before the first picture, or that have no start time at all, begin at 0 instead, with
sound and pictures as far apart as they were.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from dfccodec.container.records import Packet, StreamInfo
from dfccodec.media.packet_trim import NO_TIME

FROM_ZERO = frozenset({"mp4", "mov", "webm", "avi", "gif", "yuv4mpegpipe", "image2"})
"""ffmpeg's names of the containers that begin at 0; Matroska, MPEG-TS and NUT keep the clock."""

_SOUND = 0
"""Kind of a stream (SPEC.md 5.6)."""
_MOST_TICKS = 65_535
_SLACK = 1
"""Ticks by which rounding alone may move a frame."""


def avi_rate(rate: Fraction) -> Fraction:
    """The nearest rate that its encoders take: MPEG-4 counts time in at most 65535 ticks a second."""
    return rate if rate.numerator <= _MOST_TICKS else 1 / (1 / rate).limit_denominator(_MOST_TICKS)


def usual_rate(rate: Fraction) -> Fraction:
    """A rate to suggest where the average of a video is that of a slide show or a clock."""
    return rate if 1 <= rate <= 240 else Fraction(25)


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
        dropped: frames that were left out, since they came too soon after the one before.
    """

    def __init__(self, rate: Fraction, gaps: bool) -> None:
        self.rate, self._gaps = rate, gaps
        self.tick, self.uneven, self.dropped = -1, False, 0

    def place(self, seconds: Fraction) -> int | None:
        """The tick of the next frame, which begins at `seconds`; None for one that is to be left out.

        A frame a tick late is one whose time was rounded. Frames that come faster than the rate would all be late.
        """
        wanted = round(seconds * self.rate)
        if not self._gaps:
            self.tick += 1
            self.uneven |= abs(wanted - self.tick) > _SLACK
            return self.tick
        if self.tick >= wanted + _SLACK:
            self.dropped += 1
            return None
        self.tick = max(self.tick + 1, wanted)
        return self.tick

    def missing(self, end: Fraction) -> int:
        """Ticks between the end of the last frame and `end` seconds."""
        return max(0, round(end * self.rate) - self.tick - 1)
