"""MPEG transport stream (ISO/IEC 13818-1): packets of a fixed size; packets of each stream have numbers."""

from __future__ import annotations

import re

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner

_SYNC = b"G"
_SIZES = (188, 192, 204)
"""Sizes of a packet: plain, with a time (.m2ts), with error correction data."""
_NULL_PACKET, _DISCONTINUITY = 0x1FFF, 0x80


def find_packets(data: bytes) -> tuple[int, int] | None:
    """Return position of the first packet and size of the packets; None if the data are no transport stream."""
    for size in _SIZES:
        for start in range(size):
            if data[start : start + 4 * size + 1 : size] == _SYNC * 5:
                return start, size
    return None


class MpegTsScanner(ChainScanner):
    """Scanner of a transport stream. A break of a counter is uncertain; ffmpeg reports those of the video."""

    PATTERN_SIZE = 2 * max(_SIZES) + 1
    CONFIRM = 1  # the pattern is three packets
    READ_SIZE = 1 << 16

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._size = 0
        self._counters: dict[int, int] = {}

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        if not self._size:
            if len(data) - at < 5 * max(_SIZES):
                return NEED_MORE
            start, self._size = find_packets(data[at:]) or (0, 0)
            self.PATTERN = re.compile(b"(?=G[\\s\\S]{%d}G[\\s\\S]{%d}G)" % ((self._size - 1,) * 2))
            self.ended = not self._size
            if start or self.ended:
                return start or INVALID
        marks = data[at :: self._size]
        count = min(len(marks) - len(marks.lstrip(_SYNC)), (len(data) - at) // self._size)
        if not count:
            return INVALID if marks[:1] != _SYNC else NEED_MORE
        self._check_counters(data, at, count)
        return count * self._size

    def _check_counters(self, data: bytes, at: int, count: int) -> None:
        size, counters = self._size, self._counters
        end = at + count * size
        columns = (data[at + n : end : size] for n in range(1, 4))
        for number, (high, low, flags) in enumerate(zip(*columns, strict=True)):
            stream = (high & 0x1F) << 8 | low
            if not flags & 0x10 or stream == _NULL_PACKET:  # no payload, so the counter does not count
                continue
            start, counter = at + number * size, flags & 0x0F
            last = counters.get(stream, counter)
            if (counter - last) % 16 > 1 and self._broken is None:
                restarts = flags & 0x20 and data[start + 4] and data[start + 5] & _DISCONTINUITY
                if not restarts:
                    place = self._buffer_place + start
                    self._record(place, place, certain=False)
            counters[stream] = counter
