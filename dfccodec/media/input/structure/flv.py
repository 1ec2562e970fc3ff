"""FLV (Video File Format Specification 10, annex E): a chain of tags."""

from __future__ import annotations

import re
from fractions import Fraction

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner

SIGNATURE = b"FLV\x01"

_HEADER = 15
"""Number of bytes of an element: size of the tag before, and header of the tag."""
_TAG_HEADER = 11
_AUDIO, _VIDEO, _SCRIPT, _FILTER = 8, 9, 18, 0x20


class FlvScanner(ChainScanner):
    """Scanner of FLV. An element is a tag and the size, in 4 bytes before it, of the previous tag.

    Some programs write wrong sizes of previous tags, and some write other types of tags. Neither alone is a break.
    """

    PATTERN = re.compile(rb"[\s\S]{4}[\x08\x09\x12][\s\S]{7}\0\0\0")
    PATTERN_SIZE = _HEADER

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._last_size: int | None = None  # size of the last tag
        self._end = 0  # latest timestamp in milliseconds

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        head = data[at : at + _HEADER]
        if len(head) < _HEADER:
            return NEED_MORE
        for start in (0, 4):  # the header of the file, or of another file appended to it
            if head.startswith(SIGNATURE, start):
                self._last_size = 0
                return start + max(9, int.from_bytes(data[at + start + 5 : at + start + 9], "big") & 0xFFFF)
        expected, self._last_size = self._last_size, _TAG_HEADER + int.from_bytes(head[5:8], "big")
        follows = expected is not None and int.from_bytes(head[:4], "big") == expected
        is_known = head[4] & ~_FILTER in (_AUDIO, _VIDEO, _SCRIPT) and not any(head[12:15])
        if not is_known and not (follows and head[4]):
            self._last_size = None
            return INVALID
        if not self._searching and is_known:
            self._end = max(self._end, int.from_bytes(head[11:12] + head[8:11], "big"))
        return 4 + self._last_size

    def reaches(self, seconds: Fraction) -> bool:
        """See :meth:`ChainScanner.reaches`."""
        return self._end >= seconds * 1000
