"""MP4 and QuickTime (ISO/IEC 14496-12): a chain of boxes; fragments have numbers."""

from __future__ import annotations

import re

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, REST, ChainScanner

FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip")

_HEADER = 24
_KNOWN = (
    *FIRST_BOXES, b"moof", b"mfra", b"sidx", b"ssix", b"emsg", b"prft", b"uuid", b"meta", b"pdin", b"udta", b"pnot",
    b"meco", b"PICT", b"imda",
)  # fmt: skip
_NAME = re.compile(rb"[\x20-\x7e\xa9]{4}")
_MAX_UNKNOWN = 1 << 24
"""Maximum number of bytes of a box that is not known."""


class Mp4Scanner(ChainScanner):
    """Scanner of MP4. A missing fragment number is uncertain: writers of DASH count in several ways."""

    PATTERN = re.compile(rb"[\s\S]{4}(?:moof|mdat|styp|sidx|emsg)")
    PATTERN_SIZE = 8
    CONFIRM = 2

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._number: int | None = None  # number of the last fragment

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        head = data[at : at + _HEADER]
        if len(head) < _HEADER:
            return NEED_MORE
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        width = 16 if size == 1 else 8
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size == 0 and name == b"mdat":  # up to the end of the file
            self.open_ended = True
            return REST
        self.unknown = name not in _KNOWN
        if size < width or (self.unknown and (size > _MAX_UNKNOWN or not _NAME.fullmatch(name))):
            return INVALID
        if name == b"moof" and head[12:16] == b"mfhd":
            return self._check_number(data, at, size)
        return size

    def _check_number(self, data: bytes, at: int, size: int) -> int:
        if len(data) < at + 24:
            return NEED_MORE
        number, last = int.from_bytes(data[at + 20 : at + 24], "big"), self._number
        place = self._buffer_place + at
        if last is not None and number > last + 1:
            self._record(place, place, certain=False)
        self._number = number
        return size
