"""GIF89a: a chain of blocks, each a chain of sub-blocks."""

from __future__ import annotations

import re

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner

SIGNATURES = (b"GIF87a", b"GIF89a")

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_HEADER, _IMAGE_HEADER = 13, 11
_MAX_CODE_SIZE = 11


class GifScanner(ChainScanner):
    """Scanner of GIF. The chain continues with the next control extension, which animations have before every image."""

    PATTERN = re.compile(rb"\x21\xf9\x04[\s\S]{4}\x00[\x2c\x21]")
    PATTERN_SIZE = 9
    CONFIRM = 6

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._has_header, self._in_block = place > 0, False

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        if not self._has_header:
            if len(data) - at < _HEADER:
                return NEED_MORE
            self._has_header = True
            return _HEADER + _color_table_size(data[at + 10])
        kind = data[at]
        if self._in_block and not self._searching:
            self._in_block = kind > 0
            return 1 + kind
        if kind == _TRAILER:
            self.ended = True
            return 1
        if kind == _EXTENSION:
            self._in_block = True
            return 2
        if kind == _IMAGE:
            return self._measure_image(data, at)
        return INVALID if kind else 1  # some programs write a zero too many

    def _measure_image(self, data: bytes, at: int) -> int:
        if len(data) - at < _IMAGE_HEADER:
            return NEED_MORE
        size = 10 + _color_table_size(data[at + 9])
        if len(data) <= at + size:
            return NEED_MORE
        if not 1 < data[at + size] <= _MAX_CODE_SIZE:
            return INVALID
        self._in_block = True
        return size + 1


def _color_table_size(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
