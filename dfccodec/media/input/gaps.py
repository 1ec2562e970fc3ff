"""Frames that a damaged source lacks, where nothing that comes is damaged: gaps in the times of its packets.

A gap alone is no damage: screen recordings have many. It is counted if a packet or frame next to it is damaged, by the
demuxer's or decoder's account, or if the bytes of a Matroska file do not lead from the packets before to the one after.
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

_STEPS, _FEWEST = 8, 4
"""Steps from packet to packet that are remembered, and how many of them say what is usual."""
_MORE = Fraction(3, 2)
"""Times the longest of them that make a gap, and times the shortest one within which a rate is constant."""
_NEAR = 8
"""Maximum number of packets between a gap and damage that explains it: decoders report it late."""

_SIMPLE_BLOCK, _BLOCK, _BLOCK_GROUP, _CLUSTER, _SEGMENT = 0xA3, 0xA1, 0xA0, 0x1F43B675, 0x18538067
_OTHERS = {
    0xE7, 0xA7, 0xAB, 0xBF, 0xEC, 0x5854, 0x9B, 0xFB, 0xFD, 0xFA, 0xA4, 0x75A1, 0x75A2, 0x8E, 0xC8,
    0x1C53BB6B, 0x1254C367, 0x114D9B74, 0x1043A770, 0x1941A469, 0x1549A966, 0x1A45DFA3, 0x1654AE6B,
}  # fmt: skip
"""Elements of Matroska (RFC 9559) that may stand between two blocks, and in groups beside them."""
_ELEMENTS = 100_000
"""Maximum number of elements between two packets of pictures that are looked at."""


class Gaps:
    """Look for gaps.

    Args:
        broken: told of every gap that damage explains.
        start: ticks at which the video begins; None if unknown.
        reread: gives the bytes of a Matroska file; None for other files and pipes.
    """

    def __init__(
        self,
        broken: DecodeErrorCounter,
        start: int | None,
        reread: Callable[[], AbstractContextManager[BinaryIO | None]] | None,
    ) -> None:
        self._broken, self._start, self._reread = broken, start, reread
        self._steps: deque[int] = deque(maxlen=_STEPS)
        self._places: deque[int] = deque(maxlen=_NEAR)  # of the packets before; of some, times come late
        self._last: int | None = None
        self._delay = 0  # ticks from decoding to showing
        self._row = 0  # gaps without a usual step between them
        self._count, self._damaged = 0, -_NEAR  # packets so far, and the last one that is damaged
        self._waiting: list[tuple[int, Fraction, int]] = []  # packet, second and frames of gaps without a reason yet

    def add(self, packet: AvPacket[Any]) -> None:
        """The next packet, before it is decoded."""
        self._count += 1
        if packet.dts is not None:
            if self._last is None:
                self._delay = 0 if packet.pts is None else packet.pts - packet.dts
            else:
                self._step(packet, packet.dts - self._last)
            self._last = packet.dts
        if packet.pos is not None:
            self._places.append(packet.pos)

    def damage(self) -> None:
        """The last packet, or a frame that came out of the decoder after it, is damaged."""
        self._damaged = self._count
        for count, second, frames in self._waiting:
            if self._count - count <= _NEAR:
                self._broken.missing(second, frames)
        self._waiting = []

    def _step(self, packet: AvPacket[Any], step: int) -> None:
        steps = self._steps
        if len(steps) >= _FEWEST and step > _MORE * max(steps):
            self._gap(packet, step)
            self._row += 1
        else:
            steps.append(step)
            self._row = 0
        if step <= 0 or self._row == _FEWEST:  # time begins anew, or the rate is another
            steps.clear()

    def _gap(self, packet: AvPacket[Any], step: int) -> None:
        steps = self._steps
        frames = max(1, round(Fraction(step * len(steps), sum(steps))) - 1)
        start = 0 if self._start is None else self._start - self._delay
        second = ((self._last or 0) - start) * Fraction(packet.time_base)
        near = self._count - self._damaged <= _NEAR and max(steps) <= _MORE * min(steps)
        if near or self._torn(packet.pos):
            self._broken.missing(second, frames)
        elif max(steps) <= _MORE * min(steps):
            self._waiting.append((self._count, second, frames))

    def _torn(self, end: int | None) -> bool:
        """Whether the bytes from the packets before to one that begins at `end` are not what Matroska has there."""
        start = self._places[0] if self._places else 0
        if self._reread is None or end is None or not 0 < start < end:
            return False
        with contextlib.suppress(OSError), self._reread() as stream:
            places = _ends(stream, start) if stream else []
            return bool(places) and not any(end in _contents(stream, place, end) for place in places if stream)
        return False


def _ends(stream: BinaryIO, place: int) -> list[int]:
    """Where a block may end whose content begins at a place: its size stands before it, in one to eight bytes."""
    stream.seek(max(0, place - 9))
    head = stream.read(min(place, 9))
    found = []
    for width in range(1, len(head)):
        data = head[-width:]
        if head[-width - 1] in (_SIMPLE_BLOCK, _BLOCK) and data[0] and 9 - data[0].bit_length() == width:
            found.append(place + (int.from_bytes(data, "big") & (1 << 7 * width) - 1))
    return found


def _contents(stream: BinaryIO, place: int, end: int) -> Iterator[int]:
    """Where the contents of blocks begin before `end`, as long as elements are those of Matroska."""
    for _ in range(_ELEMENTS):
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
        if ident in (_SEGMENT, _CLUSTER, _BLOCK_GROUP):  # what is in them comes next
            continue
        if ident not in _OTHERS and ident not in (_SIMPLE_BLOCK, _BLOCK):
            return
        place += value
    yield end  # there are too many to look at them all: nothing is known to be wrong
