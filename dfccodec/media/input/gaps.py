"""Detects frames that a damaged source lacks, from gaps between the timestamps of its packets.

A gap alone is not damage: screen recordings have many. A gap counts if the demuxer or decoder reports damage to a
packet or frame near it, or if the Matroska elements between the adjacent packets are not intact.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from typing import Any, BinaryIO

from av.packet import Packet as AvPacket

from dfccodec.media.decode_errors import DecodeErrorCounter

_HISTORY, _MIN_HISTORY = 8, 4
"""Number of recent packet intervals that are kept, and the minimum number needed to judge the next one."""
_GAP_FACTOR = Fraction(3, 2)
"""Factor on the longest interval above which an interval is a gap; also the ratio that a constant rate tolerates."""
_MAX_DISTANCE = 8
"""Maximum distance in packets between a gap and the damage that explains it: decoders report damage late."""

_SIMPLE_BLOCK, _BLOCK, _BLOCK_GROUP, _CLUSTER, _SEGMENT = 0xA3, 0xA1, 0xA0, 0x1F43B675, 0x18538067
_KNOWN_ELEMENTS = {
    0xE7, 0xA7, 0xAB, 0xBF, 0xEC, 0x5854, 0x9B, 0xFB, 0xFD, 0xFA, 0xA4, 0x75A1, 0x75A2, 0x8E, 0xC8,
    0x1C53BB6B, 0x1254C367, 0x114D9B74, 0x1043A770, 0x1941A469, 0x1549A966, 0x1A45DFA3, 0x1654AE6B,
}  # fmt: skip
"""Matroska elements (RFC 9559) that may occur between two blocks, or next to a block in its group."""
_MAX_ELEMENTS = 100_000
"""Maximum number of elements that are read between two video packets."""


class GapDetector:
    """Detector of gaps in one video stream.

    Args:
        errors: counts the missing frames of every gap that damage explains.
        start: first timestamp of the video in time-base units; None if unknown.
        reopen: opens the bytes of a Matroska file; None for other formats and for pipes.
    """

    def __init__(
        self,
        errors: DecodeErrorCounter,
        start: int | None,
        reopen: Callable[[], AbstractContextManager[BinaryIO | None]] | None,
    ) -> None:
        self._errors, self._start, self._reopen = errors, start, reopen
        self._intervals: deque[int] = deque(maxlen=_HISTORY)
        self._positions: deque[int] = deque(maxlen=_MAX_DISTANCE)  # byte positions of recent packets
        self._last_dts: int | None = None
        self._delay = 0  # PTS minus DTS of the first packet
        self._consecutive = 0  # number of consecutive gaps
        self._count, self._last_damaged = 0, -_MAX_DISTANCE  # number of packets, and of the last damaged one
        self._unexplained: list[tuple[int, Fraction, int]] = []  # packet, second, frames of gaps not explained yet

    def add(self, packet: AvPacket[Any]) -> None:
        """Process the next packet, before it is decoded."""
        self._count += 1
        if packet.dts is not None:
            if self._last_dts is None:
                self._delay = 0 if packet.pts is None else packet.pts - packet.dts
            else:
                self._add_interval(packet, packet.dts - self._last_dts)
            self._last_dts = packet.dts
        if packet.pos is not None:
            self._positions.append(packet.pos)

    def add_damage(self) -> None:
        """Report that the last packet, or a frame decoded after it, is damaged."""
        self._last_damaged = self._count
        for count, second, frames in self._unexplained:
            if self._count - count <= _MAX_DISTANCE:
                self._errors.add_missing_frames(second, frames)
        self._unexplained = []

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
        near = self._count - self._last_damaged <= _MAX_DISTANCE and max(steps) <= _GAP_FACTOR * min(steps)
        if near or self._is_chain_broken(packet.pos):
            self._errors.add_missing_frames(second, frames)
        elif max(steps) <= _GAP_FACTOR * min(steps):
            self._unexplained.append((self._count, second, frames))

    def _is_chain_broken(self, end: int | None) -> bool:
        """Return whether the Matroska elements from recent packets up to the one at `end` are not intact."""
        start = self._positions[0] if self._positions else 0
        if self._reopen is None or end is None or not 0 < start < end:
            return False
        with contextlib.suppress(OSError), self._reopen() as stream:
            places = _possible_block_ends(stream, start) if stream else []
            return bool(places) and not any(
                end in _iter_block_payloads(stream, place, end) for place in places if stream
            )
        return False


def _possible_block_ends(stream: BinaryIO, place: int) -> list[int]:
    """Return the possible ends of a block whose payload starts at `place`; its size, 1 to 8 bytes, precedes it."""
    stream.seek(max(0, place - 9))
    head = stream.read(min(place, 9))
    found = []
    for width in range(1, len(head)):
        data = head[-width:]
        if head[-width - 1] in (_SIMPLE_BLOCK, _BLOCK) and data[0] and 9 - data[0].bit_length() == width:
            found.append(place + (int.from_bytes(data, "big") & (1 << 7 * width) - 1))
    return found


def _iter_block_payloads(stream: BinaryIO, place: int, end: int) -> Iterator[int]:
    """Yield the start of every block payload before `end`; stop at the first element that Matroska does not allow."""
    for _ in range(_MAX_ELEMENTS):
        stream.seek(place)
        head = stream.read(12)
        if place >= end or not head or not head[0]:
            return
        width = 9 - head[0].bit_length()
        ident = int.from_bytes(head[:width], "big")
        size = head[width : width + 1]
        if not size or not size[0]:
            return
        length = 9 - size[0].bit_length()
        value = int.from_bytes(head[width : width + length], "big") & (1 << 7 * length) - 1
        place += width + length
        if ident in (_SIMPLE_BLOCK, _BLOCK):
            yield place
        if ident in (_SEGMENT, _CLUSTER, _BLOCK_GROUP):  # continue with its children
            continue
        if ident not in _KNOWN_ELEMENTS and ident not in (_SIMPLE_BLOCK, _BLOCK):
            return
        place += value
    yield end  # too many elements to read all: assume that they are intact
