"""NUT (nut.txt of nut-multimedia.org): packets with a start code and a checksum, and frames in between.

A table in the main header gives for each first byte of a frame what its header holds.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner
from dfccodec.media.input.structure.ogg import page_checksum

SIGNATURE = b"nut/multimedia container\0"

_MAIN, _SYNC = bytes.fromhex("4e4d7a561f5f04ad"), bytes.fromhex("4e4be4adeeca4569")
_OTHERS = tuple(bytes.fromhex(c) for c in ("4e5311405bf2f9db", "4e58dd672f23e64e", "4e49ab68b596ba78"))
"""Start codes of stream headers, the index and infos."""
_CODED_PTS, _STREAM_ID, _SIZE_MSB, _CHECKSUM, _RESERVED = 8, 16, 32, 64, 128
_PREFIX, _MATCH_TIME, _CODED, _INVALID = 1024, 2048, 4096, 8192
_CODES, _CHECKSUM_SIZE, _BACK_UNIT, _LAST_VERSION_WITHOUT_MINOR = 256, 4, 16, 3
_MAX_UNCHECKED = 4096
"""Maximum size in bytes of a packet whose header has no checksum, and of a frame that may have a prefix."""
_MAX_CHECKED = 1 << 16
"""Maximum size in bytes of a packet whose checksum is verified."""
_MAX_HEADER = 256
"""Maximum number of bytes of the header of a packet or frame."""
_MAX_NUMBER_SIZE = 10
_NO_SYNC_POINTS = 2
"""Flag of the main header: only the first sync point is written."""
_MAX_FRAME, _MAX_SYNC_POINTS = 1 << 30, 1 << 20


@dataclass(frozen=True)
class _FrameCode:
    """What the header of a frame holds (flags), and defaults; `prefix` is an index of the main header's prefixes."""

    flags: int
    multiplier: int
    size: int
    stream: int
    reserved: int
    prefix: int


class _Numbers:
    """Reads numbers of variable length, 7 bits per byte.

    Raises:
        IndexError: the data end before the number does.
        ValueError: the number is too long.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data, self.at = data, at

    def read(self) -> int:
        """Read a number."""
        value = 0
        for _ in range(_MAX_NUMBER_SIZE):
            byte = self._data[self.at]
            self.at += 1
            value = value << 7 | byte & 127
            if byte < 128:
                return value
        raise ValueError

    def read_if(self, wanted: int, default: int = 0) -> int:
        """Read a number if it is wanted; otherwise return the default."""
        return self.read() if wanted else default


class NutScanner(ChainScanner):
    """Scanner of NUT.

    Nearly any bytes look like a frame, so a break begins at the last intact sync point. A sync point points back to an
    earlier one; if there is none at that place, bytes are missing between the two.
    """

    PATTERN = re.compile(b"|".join(map(re.escape, (_MAIN, _SYNC, *_OTHERS))))
    PATTERN_SIZE = 8
    CONFIRM = 1  # a packet with a correct checksum is sure

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._codes: list[_FrameCode] = []
        self._streams = self._max_distance = 0
        self._has_sync_points = True
        self._prefixes = [0]  # sizes of starts of frames that the main header holds
        self._sync_points: list[int] = []  # positions of the sync points since the last break

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        if SIGNATURE.startswith(head := data[at : at + len(SIGNATURE)]):
            if len(head) < len(SIGNATURE):
                return NEED_MORE
            self._sync_points = []  # the file begins, or another one appended to it
            return len(SIGNATURE)
        try:
            return self._measure_packet(data, at) if data[at] == _MAIN[0] else self._measure_frame(data, at)
        except IndexError:
            return NEED_MORE if len(data) - at < _MAX_HEADER else INVALID
        except ValueError:
            return INVALID

    def _record(self, start: int, end: int, certain: bool = True, within: bool = False) -> None:
        before = bisect_right(self._sync_points, start)
        super()._record(self._sync_points[before - 1] if before else start, end, certain, within)
        self._sync_points = [p for p in self._sync_points if p >= end]

    def _measure_packet(self, data: bytes, at: int) -> int:
        head = data[at : at + _MAX_HEADER]
        code, numbers = head[:8], _Numbers(head, 8)
        if len(head) < 8:
            return NEED_MORE
        if code not in (_MAIN, _SYNC, *_OTHERS):
            return INVALID
        size = numbers.read()
        if size > _MAX_UNCHECKED:
            numbers.at += _CHECKSUM_SIZE
            if len(head) < numbers.at:
                return NEED_MORE
            if page_checksum(head[: numbers.at]):  # a checksum follows, so that the whole has the checksum 0
                return INVALID
        end = numbers.at + size
        if size <= _MAX_CHECKED:
            if len(data) < at + end:
                return NEED_MORE
            body = data[at + numbers.at : at + end]
            if size < _CHECKSUM_SIZE or page_checksum(body):
                return INVALID
            if code == _MAIN:
                self._read_main_header(body)
            elif code == _SYNC:
                self._add_sync_point(self._buffer_place + at, body)
        return end

    def _read_main_header(self, body: bytes) -> None:
        """Read the table of frame codes.

        Raises:
            ValueError: the header is not valid.
        """
        numbers = _Numbers(body)
        try:
            extended = numbers.read() > _LAST_VERSION_WITHOUT_MINOR
            numbers.read_if(extended)
            streams, distance = numbers.read(), numbers.read()
            for _ in range(2 * numbers.read()):
                numbers.read()
            codes: list[_FrameCode] = []
            while len(codes) < _CODES:
                codes += _read_codes(numbers, codes[-1] if codes else _FrameCode(0, 1, 0, 0, 0, 0), len(codes))
            prefixes = [0]
            for _ in range(numbers.read()):
                prefixes.append(numbers.read())
                numbers.at += prefixes[-1]
            has_flags = extended and numbers.at < len(body) - _CHECKSUM_SIZE
            self._has_sync_points = not numbers.read_if(has_flags) & _NO_SYNC_POINTS
        except IndexError:
            raise ValueError from None
        self._codes, self._prefixes, self._streams = codes, prefixes, streams
        self._max_distance = distance

    def _measure_frame(self, data: bytes, at: int) -> int:
        head = data[at : at + _MAX_HEADER]
        place = self._buffer_place + at
        last = self._sync_points[-1] if self._sync_points and self._has_sync_points else place
        if not self._codes or place > last + self._max_distance:
            return INVALID
        code, numbers = self._codes[head[0]], _Numbers(head, 1)
        flags = code.flags ^ (numbers.read() if code.flags & _CODED else 0)
        stream = numbers.read_if(flags & _STREAM_ID, code.stream)
        numbers.read_if(flags & _CODED_PTS)
        size = code.size + code.multiplier * numbers.read_if(flags & _SIZE_MSB)
        numbers.read_if(flags & _MATCH_TIME)
        prefix = numbers.read_if(flags & _PREFIX, code.prefix)
        for _ in range(numbers.read_if(flags & _RESERVED, code.reserved)):
            numbers.read()
        if flags & _INVALID or stream >= self._streams or prefix >= len(self._prefixes):
            return INVALID
        size -= self._prefixes[prefix] if size <= _MAX_UNCHECKED else 0
        if flags & _CHECKSUM:
            stated = head[numbers.at : numbers.at + _CHECKSUM_SIZE]
            if len(stated) < _CHECKSUM_SIZE:
                raise IndexError
            found = page_checksum(head[: numbers.at])
            if found not in (int.from_bytes(stated, "big"), int.from_bytes(stated, "little")):  # ffmpeg: little
                return INVALID
            numbers.at += _CHECKSUM_SIZE
        elif size > 2 * self._max_distance and self._has_sync_points:
            return INVALID
        return numbers.at + size if 0 <= size <= _MAX_FRAME else INVALID

    def _add_sync_point(self, place: int, body: bytes) -> None:
        try:
            numbers = _Numbers(body)
            numbers.read()
            target = place - _BACK_UNIT * numbers.read()
        except IndexError:
            raise ValueError from None
        points = self._sync_points
        points.append(place)
        known = bisect_left(points, target - _BACK_UNIT + 1) < bisect_right(points, target)
        if self._broken is None and not known and target > points[0]:
            self._record(points[-2], place, certain=False)
        self.ended |= len(points) >= _MAX_SYNC_POINTS


def _read_codes(numbers: _Numbers, last: _FrameCode, first: int) -> list[_FrameCode]:
    """Return the frame codes of an entry of the table; the entry before gives the defaults."""
    flags, fields = numbers.read(), numbers.read()
    numbers.read_if(fields > 0)  # step of the timestamps
    multiplier = numbers.read_if(fields > 1, last.multiplier)
    stream = numbers.read_if(fields > 2, last.stream)
    size = numbers.read_if(fields > 3)
    reserved = numbers.read_if(fields > 4)
    count = numbers.read_if(fields > 5, multiplier - size)
    numbers.read_if(fields > 6)  # distance of a matching time
    prefix = numbers.read_if(fields > 7, last.prefix)
    for _ in range(fields - 8):
        numbers.read()
    skipped = _MAIN[0] - first  # the first byte of start codes is no frame code
    if not 0 < count <= _CODES - first - (skipped >= 0):
        raise ValueError
    codes = [_FrameCode(flags, multiplier, size + n, stream, reserved, prefix) for n in range(count)]
    if 0 <= skipped < count:
        codes.insert(skipped, _FrameCode(_INVALID, multiplier, 0, stream, 0, prefix))
    return codes
