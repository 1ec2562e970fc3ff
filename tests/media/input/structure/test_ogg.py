"""Ogg: checksums and page numbers."""

from __future__ import annotations

import struct

from dfccodec.media.input.structure.chain import Break
from dfccodec.media.input.structure.ogg import OggScanner, page_checksum

SIZE = 27 + 1 + 10


def slow_checksum(page: bytes) -> int:
    """RFC 3533, appendix: polynomial 0x04c11db7, most significant bit first."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 1 << 31 else 0)) & 0xFFFFFFFF
    return value


def make_page(number: int, serial: int = 1, flags: int = 0) -> bytes:
    """Return a page of 10 bytes."""
    head = struct.pack("<4sBBqII", b"OggS", 0, flags, 0, serial, number)
    body = b"\x01\x0a" + bytes(range(10))
    return head + struct.pack("<I", page_checksum(head + bytes(4) + body)) + body


def scan(data: bytes) -> list[Break]:
    """Return the breaks."""
    scanner = OggScanner()
    scanner.feed(0, data)
    scanner.finish()
    return scanner.breaks


def test_checksum() -> None:
    for data in (b"", b"a", bytes(range(256))):
        assert page_checksum(data) == slow_checksum(data)


def test_pages_of_two_streams() -> None:
    assert scan(b"".join(make_page(n, serial) for n in range(9) for serial in (1, 2))) == []


def test_missing_page() -> None:
    pages = [make_page(n) for n in (0, 1, 2, 4, 5)]
    assert scan(b"".join(pages)) == [Break(3 * SIZE, 3 * SIZE)]


def test_numbers_start_again_with_another_stream() -> None:
    assert scan(make_page(0, flags=2) + make_page(1) + make_page(2) + make_page(0, flags=2) + make_page(1)) == []


def test_wrong_byte() -> None:
    data = bytearray(b"".join(make_page(n) for n in range(9)))
    data[3 * SIZE + 30] ^= 1
    assert scan(bytes(data)) == [Break(3 * SIZE, 4 * SIZE)]
