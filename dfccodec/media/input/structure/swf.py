"""SWF without compression (SWF File Format Specification 19): a chain of tags."""

from __future__ import annotations

import re

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner

SIGNATURE = b"FWS"

_HEADER = 8
_LONG = 0x3F
"""Size in the header of a tag whose size has 4 more bytes."""
_MAX_TAG = 1 << 26
_SHOW_FRAME, _VIDEO_FRAME, _VIDEO_FRAME_HEADER = 1, 61, 4
_CODES = frozenset(range(1, 95)) - {16, 27, 29, 30, 31, 38, 42, 44, 47, 51, 52, 53, 54, 55, 79, 80, 81, 85, 92}
"""Codes of the known tags. Programs that protect or make films add others."""
_END = 0
"""Code of the last tag; a hole filled with zeros has it too."""


class SwfScanner(ChainScanner):
    """Scanner of SWF. A missing number of a video frame is uncertain: a film may leave numbers out."""

    PATTERN = re.compile(rb"\x40\0")  # a tag that ends each frame of the film
    PATTERN_SIZE = 2
    CONFIRM = 5  # a tag has few bytes by which it is recognized

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._numbers: dict[bytes, int] = {}  # number of the last frame of each video

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        head = data[at : at + 6 + _VIDEO_FRAME_HEADER]
        if self._buffer_place + at == 0:
            return _HEADER + (12 + 4 * (data[8] >> 3)) // 8 + 4 if len(data) > _HEADER else NEED_MORE
        if len(head) < 2:
            return NEED_MORE
        code, size = divmod(int.from_bytes(head[:2], "little"), 64)
        width = 2
        if size == _LONG:
            if len(head) < 6:
                return NEED_MORE
            size, width = int.from_bytes(head[2:6], "little"), 6
        if code == _END or size > _MAX_TAG or (code == _SHOW_FRAME and size):
            return INVALID
        self.unknown = code not in _CODES
        if code == _VIDEO_FRAME and size >= _VIDEO_FRAME_HEADER:
            if len(head) < width + _VIDEO_FRAME_HEADER:
                return NEED_MORE
            self._check_number(head[width:], self._buffer_place + at)
        return width + size

    def _check_number(self, head: bytes, place: int) -> None:
        video, number = head[:2], int.from_bytes(head[2:4], "little")
        last, self._numbers[video] = self._numbers.get(video), number
        if last is not None and self._broken is None and not self._searching and (number - last) % (1 << 16) > 1:
            self._record(place, place, certain=False)
