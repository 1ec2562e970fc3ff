"""MXF (SMPTE ST 377): a chain of keys, lengths and values."""

from __future__ import annotations

import re

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner

SIGNATURE = b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02"

_KEY_SIZE, _PREFIX = 16, b"\x06\x0e\x2b\x34"
_MAX_LENGTH_BYTES = 8


class MxfScanner(ChainScanner):
    """Scanner of MXF."""

    PATTERN = re.compile(re.escape(_PREFIX))
    PATTERN_SIZE = 4

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        head = data[at : at + _KEY_SIZE + 1 + _MAX_LENGTH_BYTES]
        if not _PREFIX.startswith(head[:4]):
            return INVALID
        if len(head) < _KEY_SIZE + 1 + _MAX_LENGTH_BYTES:
            return NEED_MORE
        length = head[_KEY_SIZE]
        if length < 0x80:
            return _KEY_SIZE + 1 + length
        count = length & 0x7F
        if not 0 < count <= _MAX_LENGTH_BYTES:
            return INVALID
        return _KEY_SIZE + 1 + count + int.from_bytes(head[_KEY_SIZE + 1 : _KEY_SIZE + 1 + count], "big")
