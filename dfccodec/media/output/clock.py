"""Timestamps of an output: its start time, and frame numbers for containers with a constant frame rate.

Broadcasts and screen recordings may start at any time, for example at eleven hours. A .dfc file keeps such timestamps.
Some containers store no start time, or play a pause before the first frame. Their outputs start at 0 instead, and the
offset between audio and video is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from dfccodec.container.records import Packet, StreamInfo
from dfccodec.media.packet_trim import NO_TIMESTAMP

STARTS_AT_ZERO = frozenset({"mp4", "mov", "webm", "avi", "gif", "yuv4mpegpipe", "image2"})
"""ffmpeg's names of the containers that start at 0. Matroska, MPEG-TS and NUT keep the source's timestamps."""

_AUDIO_KIND = 0
"""Kind of audio streams (SPEC.md 5.6)."""
_MAX_TICKS_PER_SECOND = 65_535
_MAX_ROUNDING = 1
"""Maximum shift of a frame, in frames, that rounding alone can cause."""


def avi_rate(rate: Fraction) -> Fraction:
    """Return the nearest rate for AVI: MPEG-4 has at most 65535 time units a second."""
    return rate if rate.numerator <= _MAX_TICKS_PER_SECOND else 1 / (1 / rate).limit_denominator(_MAX_TICKS_PER_SECOND)


def suggested_rate(rate: Fraction) -> Fraction:
    """Return a rate to suggest; 25 if the average rate is implausible, as for slide shows."""
    return rate if 1 <= rate <= 240 else Fraction(25)


def output_start(
    container: str, first: Fraction, packets: Iterable[tuple[StreamInfo, Packet]], tick: Fraction = Fraction(0)
) -> Fraction:
    """Return the time of the source, in seconds, that becomes 0 in the output.

    Args:
        container: ffmpeg's name of the container.
        first: timestamp of the first frame in seconds.
        packets: packets read so far, each with its stream.
        tick: frame duration in seconds if the container places video by frame number, else 0.

    Returns:
        the earlier start of video and audio. Audio before 0 is decoder start-up, which containers can hide, so it does
        not count. Video before 0 does.
    """
    if container not in STARTS_AT_ZERO:
        return Fraction(0)
    earliest = first
    for info, packet in packets:
        stamp = packet.dts if packet.pts == NO_TIMESTAMP else packet.pts
        if info.kind == _AUDIO_KIND and stamp != NO_TIMESTAMP:
            earliest = min(earliest, Fraction(stamp * info.time_base.num, info.time_base.den))
    if first <= 0 or first - earliest < tick:
        return first
    return max(earliest, Fraction(0))


class ConstantRate:
    """Assigns frame numbers, for a container that has a constant rate and no timestamps.

    Args:
        rate: frames per second.
        gaps: whether the container can skip frame numbers (AVI).

    Attributes:
        uneven: whether frames came at times that the container cannot represent.
        discarded: number of frames discarded because they came too soon after the previous one.
    """

    def __init__(self, rate: Fraction, gaps: bool) -> None:
        self.rate, self._can_skip = rate, gaps
        self.tick, self.uneven, self.discarded = -1, False, 0

    def assign(self, seconds: Fraction) -> int | None:
        """Return the number of the next frame, which starts at `seconds`; None if the frame must be discarded.

        Because of rounding, the number may be round(seconds × rate) + 1. If it would be higher than that, frames come
        faster than the frame rate of the output, and this one is discarded.
        """
        wanted = round(seconds * self.rate)
        if not self._can_skip:
            self.tick += 1
            self.uneven |= abs(wanted - self.tick) > _MAX_ROUNDING
            return self.tick
        if self.tick >= wanted + _MAX_ROUNDING:
            self.discarded += 1
            return None
        self.tick = max(self.tick + 1, wanted)
        return self.tick

    def frames_until(self, end: Fraction) -> int:
        """Return the number of frames that fit between the end of the last frame and `end` seconds."""
        return max(0, round(end * self.rate) - self.tick - 1)
