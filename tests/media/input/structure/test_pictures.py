"""GIF, PNG and MXF: blocks, chunks and keys."""

from __future__ import annotations

import zlib

from dfccodec.media.input.structure.chain import Break, ChainScanner
from dfccodec.media.input.structure.gif import GifScanner
from dfccodec.media.input.structure.mxf import MxfScanner
from dfccodec.media.input.structure.png import SIGNATURE, PngScanner

IMAGE = (
    b"\x21\xf9\x04\0\x05\0\0\0" + b"\x2c" + bytes(8) + b"\0" + b"\x08" + (b"\xff" + b"\x55" * 255) * 2 + b"\x03abc\0"
)
GIF = b"GIF89a\x10\0\x10\0\x81\0\0" + bytes(12) + b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
KEY = b"\x06\x0e\x2b\x34\x02\x05\x01\x01" + bytes(8)


def scan(kind: type[ChainScanner], data: bytes) -> list[Break]:
    """Return the breaks."""
    scanner = kind()
    scanner.feed(0, data)
    scanner.finish()
    return scanner.breaks


def make_chunk(name: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def test_gif() -> None:
    assert scan(GifScanner, GIF + IMAGE * 4 + b"\0" + IMAGE + b";" + b"after the end") == []
    place = len(GIF) + len(IMAGE)
    data = GIF + IMAGE + IMAGE[:100] + IMAGE[200:] + IMAGE * 3 + b";"
    (found,) = scan(GifScanner, data)
    assert place + 100 < found.start < found.end == place + 2 * len(IMAGE) - 100


def test_png() -> None:
    frame = make_chunk(b"fcTL", bytes(26)) + make_chunk(b"fdAT", bytes(300))
    start = SIGNATURE + make_chunk(b"IHDR", bytes(13))
    assert scan(PngScanner, start + frame * 5 + make_chunk(b"IEND", b"") + bytes(900) + frame * 5) == []
    place = len(start) + len(frame)
    data = start + frame + frame[:100] + frame[150:] + frame * 4
    assert scan(PngScanner, data) == [Break(place + len(frame), place + 2 * len(frame) - 50)]


def test_mxf() -> None:
    pieces = KEY + b"\x83\0\0\x64" + bytes(100)
    assert scan(MxfScanner, pieces * 9 + KEY + b"\x05hello" + pieces) == []
    place = 4 * len(pieces)
    data = pieces * 3 + pieces[:50] + pieces[70:] + pieces * 5
    assert scan(MxfScanner, data) == [Break(place, place + len(pieces) - 20)]
