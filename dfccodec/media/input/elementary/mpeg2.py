"""Picture numbers of MPEG-1 and MPEG-2 video (ISO/IEC 13818-2, sections 6.3.8 and 6.3.9)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dfccodec.media.input.elementary.picture_order import PictureNumber

_HEADER = re.compile(rb"\x00\x00\x01([\x00\xb8])([\s\S]{2})")
_GROUP = b"\xb8"
_MODULUS = 1024


class Mpeg2Numbers:
    """Reads the temporal reference of each picture from packets in decoding order. It restarts in every group."""

    def __init__(self) -> None:
        self._restarts, self._groups, self._last = False, 0, -1

    def read(self, data: bytes) -> Iterator[PictureNumber]:
        """Yield the numbers of the pictures of a packet."""
        for match in _HEADER.finditer(data):
            if match[1] == _GROUP:
                self._restarts = True
                self._groups += 1
                continue
            value = int.from_bytes(match[2], "big") >> 6
            if value != self._last or self._restarts:  # the second field of a frame has the same number
                # A group that was cut out of a recording may start without its first pictures; the first one often is.
                yield PictureNumber(value, _MODULUS, self._restarts, 0 if self._groups > 1 else None)
            self._restarts, self._last = False, value
