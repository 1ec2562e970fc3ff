"""PNG and APNG: a chain of chunks."""

from __future__ import annotations

import re

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_NAME = re.compile(rb"[A-Za-z]{4}")
_MAX_CHUNK = (1 << 31) - 1


class PngScanner(ChainScanner):
    """Scanner of PNG. The chain continues with the next frame of an APNG."""

    PATTERN = re.compile(rb"\0\0\0\x1afcTL")
    PATTERN_SIZE = 8

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        if len(data) - at < 8:
            return NEED_MORE
        if data.startswith(SIGNATURE, at):
            return 8
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size > _MAX_CHUNK or not _NAME.fullmatch(name):
            return INVALID
        self.ended = name == b"IEND"
        return 12 + size
