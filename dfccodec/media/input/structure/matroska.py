"""Matroska and WebM (RFC 9559): a chain of EBML elements."""

from __future__ import annotations

import re

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner

SIGNATURE = b"\x1a\x45\xdf\xa3"

_VOID, _SEGMENT, _CLUSTER, _BLOCK_GROUP, _SIMPLE_BLOCK, _BLOCK = (
    0xEC, 0x18538067, 0x1F43B675, 0xA0, 0xA3, 0xA1,
)  # fmt: skip
_NUMBER, _ANY = 8, 1 << 40
_MAX_SIZES = {
    0xE7: _NUMBER, 0xA7: _NUMBER, 0xAB: _NUMBER, 0x9B: _NUMBER, 0xFB: _NUMBER, 0xFD: _NUMBER, 0xFA: _NUMBER,
    0x75A2: _NUMBER, 0xBF: 4, 0x5854: 1 << 10, 0xC8: 1 << 10, 0x8E: 1 << 16, 0xA4: 1 << 24, 0xA2: 1 << 24,
    0xAF: 1 << 28, 0x75A1: 1 << 28, _VOID: 1 << 24, 0x1C53BB6B: _ANY, 0x1254C367: _ANY, 0x114D9B74: _ANY,
    0x1043A770: _ANY, 0x1941A469: _ANY, 0x1549A966: _ANY, 0x1A45DFA3: _ANY, 0x1654AE6B: _ANY,
}  # fmt: skip
"""Largest plausible size of the other elements of a file, a segment, a cluster or a block group."""
_MAX_BLOCK, _MAX_UNKNOWN = 1 << 28, 1 << 12
"""Largest plausible size of a block, and of an element that is not known."""
_HEADER = 16
"""Number of bytes that are needed: 4 of the identifier, 8 of the size, 4 of the block."""


class MatroskaScanner(ChainScanner):
    """Scanner of Matroska. As in ffmpeg, the chain continues with the next cluster; at the end, with cues or tags."""

    PATTERN = re.compile(rb"\x1f\x43\xb6\x75|\x1c\x53\xbb\x6b|\x12\x54\xc3\x67")
    PATTERN_SIZE = 4

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._void: int | None = None  # position of the last element, if it is empty space

    def finish(self) -> None:
        """See :meth:`ChainScanner.finish`. Empty space beyond the end of the file is garbage that looks like it."""
        end = self._buffer_place + len(self._buffer)
        if self._void is not None and self._place > end > self._void and self._broken is None:
            self._record(self._void, end)
        super().finish()

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        head = data[at : at + _HEADER]
        if head[0] < 0x10:  # an identifier has 4 bytes at most
            return INVALID
        if len(head) < _HEADER:
            return NEED_MORE
        width = 9 - head[0].bit_length()
        ident = int.from_bytes(head[:width], "big")
        if not head[width]:
            return INVALID
        length = 9 - head[width].bit_length()
        unlimited = (1 << 7 * length) - 1
        size = int.from_bytes(head[width : width + length], "big") & unlimited
        width += length
        self._void = None
        if ident in (_SEGMENT, _CLUSTER, _BLOCK_GROUP):
            return width
        if size == unlimited:
            return INVALID
        if ident in (_SIMPLE_BLOCK, _BLOCK):
            return width + size if 4 <= size <= _MAX_BLOCK and head[width] >= 0x40 else INVALID
        self._void = self._buffer_place + at if ident == _VOID else None
        self.unknown = ident not in _MAX_SIZES
        return width + size if size <= _MAX_SIZES.get(ident, _MAX_UNKNOWN) else INVALID
