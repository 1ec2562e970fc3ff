"""AVI (RIFF and OpenDML): a chain of chunks."""

from __future__ import annotations

import re

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner

SIGNATURE = b"RIFF"

_HEADER = 12
_MAX_UNKNOWN = 1 << 24
"""Maximum number of bytes of a chunk that is not known."""
_KNOWN = re.compile(rb"[0-9a-fA-F]{2}(?:d[bc]|wb|tx|pc|iv|sb|AB)|ix[0-9a-fA-F]{2}|idx1|JUNK|LIST|RIFF")
_NAME = re.compile(rb"[\x20-\x7e]{4}")


class RiffScanner(ChainScanner):
    """Scanner of AVI. Chunks are padded to an even size, but some programs forget it."""

    PATTERN = re.compile(_KNOWN.pattern)
    PATTERN_SIZE = 4

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._odd = False  # whether the last chunk has an odd size

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        if len(data) - at < _HEADER + 1:
            return NEED_MORE
        odd, self._odd = self._odd and not self._searching, False
        padding = int(odd and bool(_KNOWN.match(data, at + 1)))
        at += padding
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"RIFF" or (name == b"LIST" and data[at + 8 : at + 12] in (b"movi", b"rec ")):
            return padding + 12
        if not _KNOWN.match(name):
            if not _NAME.fullmatch(name) or size > _MAX_UNKNOWN:
                return INVALID
            self.unknown = True
        self._odd = bool(size & 1)
        return padding + 8 + size
