"""Ogg (RFC 3533): pages with a checksum, numbered in each logical stream."""

from __future__ import annotations

import re
import zlib

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner

SIGNATURE = b"OggS"

_HEADER = 27
_CONTINUED, _FIRST, _LAST = 1, 2, 4
_MAX_STREAMS = 1024
"""Maximum number of logical streams whose page numbers are checked."""
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def page_checksum(page: bytes) -> int:
    """Return the CRC-32 of a page whose checksum field is zero.

    Ogg's CRC has the polynomial of zlib's, with the bits in the other order and without inversion.
    """
    value = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{value:032b}"[::-1], 2)


class OggScanner(ChainScanner):
    """Scanner of Ogg."""

    PATTERN = re.compile(rb"OggS\0[\0-\7]")
    PATTERN_SIZE = 6
    CONFIRM = 1  # a page with a correct checksum is sure
    READ_SIZE = 1 << 16

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._numbers: dict[bytes, int] = {}  # serial number of each stream: number of its next page

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        head = data[at : at + _HEADER]
        if not SIGNATURE.startswith(head[:4]):
            return INVALID
        if len(head) < _HEADER:
            return NEED_MORE
        if head[4] or head[5] > _CONTINUED | _FIRST | _LAST:
            return INVALID
        body = at + _HEADER + head[26]
        size = _HEADER + head[26] + sum(data[at + _HEADER : body])
        if len(data) < body or len(data) < at + size:
            return NEED_MORE
        page = head[:22] + bytes(4) + data[at + 26 : at + size]
        if page_checksum(page) != int.from_bytes(head[22:26], "little"):
            return INVALID
        self._check_number(head, self._buffer_place + at)
        return size

    def _check_number(self, head: bytes, place: int) -> None:
        serial, number = head[14:18], int.from_bytes(head[18:22], "little")
        expected = self._numbers.get(serial)
        lost = expected is not None and number != expected and not head[5] & _FIRST
        if lost and self._broken is None:
            self._record(place, place)
        if expected is not None or len(self._numbers) < _MAX_STREAMS:
            self._numbers[serial] = (number + 1) & 0xFFFFFFFF
