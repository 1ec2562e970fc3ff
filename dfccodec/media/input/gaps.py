"""Detects frames that a damaged source lacks, from gaps between the timestamps of its packets.

A gap alone is not damage: screen recordings have many. A gap counts if the demuxer or decoder reports damage to a
packet or frame near it, or if the structure of the container is broken between the adjacent packets. A broken structure
without a gap, as after the loss of audio packets, is noted by its position.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.packet import Packet as AvPacket

from dfccodec.media.decode_errors import DecodeErrorCounter
from dfccodec.media.input.structure.chain import Break
from dfccodec.media.input.structure.monitor import StructureMonitor

_HISTORY, _MIN_HISTORY = 8, 4
"""Number of recent packet intervals that are kept, and the minimum number needed to judge the next one."""
_GAP_FACTOR = Fraction(3, 2)
"""Factor on the longest interval above which an interval is a gap; also the ratio that a constant rate tolerates."""
_MAX_DISTANCE = 8
"""Maximum distance in packets between a gap and the damage that explains it: decoders report damage late."""


@dataclass(frozen=True)
class _Gap:
    """A gap between timestamps: its packet, time, number of frames, and the bytes from recent packets up to its packet.

    If intervals are regular, damage nearby explains it; otherwise only a broken structure does.
    """

    packet: int
    second: Fraction
    frames: int
    start: int
    end: int
    regular: bool


class GapDetector:
    """Detector of gaps in one video stream.

    Args:
        errors: counts the missing frames of every gap that damage explains.
        start: first timestamp of the video in time-base units; None if unknown.
        structure: finds the breaks of the container's structure.
    """

    def __init__(self, errors: DecodeErrorCounter, start: int | None, structure: StructureMonitor) -> None:
        self._errors, self._start, self._structure = errors, start, structure
        self._explained: set[Break] = set()  # breaks at which missing frames are counted
        self._intervals: deque[int] = deque(maxlen=_HISTORY)
        self._positions: deque[int] = deque(maxlen=_MAX_DISTANCE)  # byte positions of recent packets
        self._last_dts: int | None = None
        self._delay = 0  # PTS minus DTS of the first packet
        self._consecutive = 0  # number of consecutive gaps
        self._count, self._last_damaged = 0, -_MAX_DISTANCE  # number of packets, and of the last damaged one
        self._unexplained: list[_Gap] = []  # recent gaps that no damage explains yet

    def add(self, packet: AvPacket[Any]) -> None:
        """Process the next packet, before it is decoded."""
        self._count += 1
        if packet.dts is not None:
            if self._last_dts is None:
                self._delay = 0 if packet.pts is None else packet.pts - packet.dts
            else:
                self._add_interval(packet, packet.dts - self._last_dts)
            self._last_dts = packet.dts
        if packet.pos is not None and packet.pos >= 0:
            self._positions.append(packet.pos)
            self._structure.scan(packet.pos)
        self._explain_gaps()

    def add_damage(self) -> None:
        """Report that the last packet, or a frame decoded after it, is damaged."""
        self._last_damaged = self._count
        self._explain_gaps()

    def finish(self, end: bool) -> None:
        """Note the breaks at which no missing frames are counted.

        Args:
            end: whether the source was read to its end, and not only to the last packet.
        """
        self._explain_gaps()
        last = max(self._positions, default=0)
        found = self._structure.scan(None if end else last, exactly=True)
        left = [b for b in found if b.certain and b not in self._explained and (end or b.start <= last)]
        if left:
            at_end = 0 < last < left[0].start and not left[0].within
            self._errors.set_broken_places([b.start for b in left], at_end, all(b.within for b in left))

    def _add_interval(self, packet: AvPacket[Any], step: int) -> None:
        steps = self._intervals
        if len(steps) >= _MIN_HISTORY and step > _GAP_FACTOR * max(steps):
            self._add_gap(packet, step)
            self._consecutive += 1
        else:
            steps.append(step)
            self._consecutive = 0
        if step <= 0 or self._consecutive == _MIN_HISTORY:  # the timestamps restart, or the frame rate has changed
            steps.clear()

    def _add_gap(self, packet: AvPacket[Any], step: int) -> None:
        steps = self._intervals
        frames = max(1, round(Fraction(step * len(steps), sum(steps))) - 1)
        start = 0 if self._start is None else self._start - self._delay
        second = ((self._last_dts or 0) - start) * Fraction(packet.time_base)
        places = (*self._positions, packet.pos or 0)
        regular = max(steps) <= _GAP_FACTOR * min(steps)
        self._unexplained.append(_Gap(self._count, second, frames, min(places), max(places), regular))

    def _explain_gaps(self) -> None:
        """Count the frames of the gaps that damage explains."""
        waiting = []
        for gap in self._unexplained:
            found = self._structure.scan(gap.end, exactly=True)
            broken = [b for b in found if gap.start <= b.end and b.start <= gap.end and not b.within]
            self._explained.update(broken)
            if broken or (gap.regular and abs(gap.packet - self._last_damaged) <= _MAX_DISTANCE):
                self._errors.add_missing_frames(gap.second, gap.frames)
            elif self._count - gap.packet <= _MAX_DISTANCE:
                waiting.append(gap)
        self._unexplained = waiting
