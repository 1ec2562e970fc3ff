"""Segments of a JPEG picture (ISO/IEC 10918-1, annex B): where its scan lies and how it is divided."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE, _START_OF_SCAN, _END, _RESTART_INTERVAL = (0xC2, 0xC6, 0xCA, 0xCE), 0xDA, 0xD9, 0xDD
_TABLES = (0xC4, 0xDB)
_RESERVED = {0x01, *range(0x02, 0xC0), *range(0xF0, 0xFE)}
_MAX_SCANS = 1000
_BLOCK = 8


@dataclass
class JpegScan:
    """Geometry of a picture and of its last scan.

    Attributes:
        begin: position of the first byte of the scan.
        end: position after its last byte.
        width: width of the picture in pixels.
        height: its height.
        unit_width: width of a coded unit (MCU) in pixels.
        unit_height: its height.
        interval: number of units between restart markers; 0 without them.
        sequential: whether the picture is not progressive.
    """

    begin: int = 0
    end: int = 0
    width: int = 0
    height: int = 0
    unit_width: int = _BLOCK
    unit_height: int = _BLOCK
    interval: int = 0
    sequential: bool = True

    @property
    def _units(self) -> tuple[int, int]:
        return -(-self.width // self.unit_width), -(-self.height // self.unit_height)

    @property
    def intervals(self) -> int:
        """Number of intervals between restart markers."""
        across, down = self._units
        return -(-across * down // self.interval) if self.interval and self.sequential else 1

    def find_ends(self, data: bytes) -> list[int]:
        """Return the position after the last byte of each interval."""
        if self.intervals == 1:
            return [self.end]
        return [*(m.start() for m in _RESTART.finditer(data, self.begin, self.end)), self.end]

    def last_units(self) -> Iterator[tuple[slice, slice]]:
        """Yield rows and columns of the last unit of each interval, in pixels."""
        across, down = self._units
        for number in range(self.intervals):
            last = min((number + 1) * (self.interval or across * down), across * down) - 1
            y, x = last // across * self.unit_height, last % across * self.unit_width
            yield slice(y, y + self.unit_height), slice(x, x + self.unit_width)


def read_scan(data: bytes) -> JpegScan | None:
    """Return the last scan; None if the segments cannot be those of one picture."""
    scan = JpegScan()
    at, frames, components, most = 2, 0, 0, 0
    tables: set[bytes] = set()
    while match := _MARKER.search(data, at):
        kind, at = match[1][0], match.end()
        scan.end = match.start()
        if kind == _END:
            break
        if kind in _RESERVED:
            return None
        segment = data[at : at + int.from_bytes(data[at : at + 2], "big")]
        if kind in _FRAMES and len(segment) > 8:
            frames += 1
            scan.sequential = kind not in _PROGRESSIVE
            most = segment[7] if scan.sequential else _MAX_SCANS
            scan.height, scan.width = int.from_bytes(segment[3:5], "big"), int.from_bytes(segment[5:7], "big")
            factors = segment[9::3] if segment[7] > 1 else b"\x11"
            scan.unit_width = _BLOCK * max(1, *(f >> 4 for f in factors))
            scan.unit_height = _BLOCK * max(1, *(f & 15 for f in factors))
        elif kind in _TABLES:
            name = match[1] + segment[2:3]
            if name in tables and scan.sequential:
                return None
            tables.add(name)
        elif kind == _RESTART_INTERVAL:
            scan.interval = int.from_bytes(segment[2:4], "big")
        elif kind == _START_OF_SCAN:  # a sequential picture has each component in one scan
            components += segment[2] if len(segment) > 2 else 0
            scan.begin = at + len(segment)
        at += len(segment)
        scan.end = len(data)
    return scan if frames == 1 and 0 < components <= most and 0 < scan.begin <= scan.end else None
