"""AVI: chunks and their padding."""

from __future__ import annotations

import struct

from dfccodec.media.input.structure.chain import Break
from dfccodec.media.input.structure.riff import RiffScanner

START = b"RIFF\0\0\0\0AVI " + b"LIST\4\0\0\0hdrl" + b"LIST\0\0\0\0movi"


def make_chunk(size: int, name: bytes = b"00dc", padded: bool = True) -> bytes:
    """Return a chunk."""
    return name + struct.pack("<I", size) + b"\x55" * size + bytes(size & 1 if padded else 0)


def scan(data: bytes) -> list[Break]:
    """Return the breaks."""
    scanner = RiffScanner()
    scanner.feed(0, data)
    scanner.finish()
    return scanner.breaks


def test_chunks() -> None:
    for padded in (True, False):
        chunks = b"".join(make_chunk(n, padded=padded) for n in (5, 6, 0, 7, 9, 8))
        assert scan(START + chunks + make_chunk(9, b"01wb", padded) + make_chunk(16, b"idx1")) == []


def test_unknown_chunks() -> None:
    assert (
        scan(START + make_chunk(50) * 4 + make_chunk(20, b"_PMX") + make_chunk(9, b"IDIT") + make_chunk(50) * 4) == []
    )


def test_hole() -> None:
    chunks = make_chunk(50) * 9
    place = len(START) + 4 * 58
    assert scan(START + chunks[:200] + chunks[230:]) == [Break(place, place + 28)]
