"""RealMedia (.rm, .rmvb): chunks with a name and a size, and packets with a size in the chunk DATA."""

from __future__ import annotations

import re

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner

SIGNATURE = b".RMF"

_HEADER, _DATA_HEADER, _MIN_PACKET = 12, 18, 12
_MAX_STREAM = 255
_CHUNK_NAME = re.compile(rb"[.A-Z][A-Z]{2}[A-Z0-9]")
_MAX_CHUNK = 1 << 28


class RealMediaScanner(ChainScanner):
    """Scanner of RealMedia. A packet starts with its version, size and stream."""

    PATTERN = re.compile(rb"\0[\0\1][\s\S]{2}\0[\s\S]")
    PATTERN_SIZE = 6

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._streams: set[int] = set()
        self._packets = self._stated_packets = 0

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        head = data[at : at + _HEADER]
        if len(head) < _HEADER:
            return NEED_MORE
        if _CHUNK_NAME.match(head):
            return self._measure_chunk(data[at : at + _DATA_HEADER])
        size, stream = int.from_bytes(head[2:4], "big"), int.from_bytes(head[4:6], "big")
        version = int.from_bytes(head[:2], "big")
        if version > 1 or size < _MIN_PACKET + version or stream > _MAX_STREAM:
            return INVALID
        self.unknown = stream not in self._streams
        self._packets += 1
        return size

    @property
    def ends_early(self) -> bool:
        """See :meth:`ChainScanner.ends_early`."""
        return self._packets < self._stated_packets and not self.breaks

    def _measure_chunk(self, head: bytes) -> int:
        name, size = head[:4], int.from_bytes(head[4:8], "big")
        if name == b"DATA":
            if len(head) < _DATA_HEADER:
                return NEED_MORE
            self._stated_packets += int.from_bytes(head[10:14], "big")
            return _DATA_HEADER
        if name == b"MDPR":
            self._streams.add(int.from_bytes(head[10:12], "big"))
        return size if _HEADER <= size <= _MAX_CHUNK else INVALID
