"""ASF: packets and object numbers."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from dfccodec.media.input.structure import asf
from dfccodec.media.input.structure.asf import AsfScanner
from dfccodec.media.input.structure.chain import Break

SIZE = 200
PROPERTIES = asf._PROPERTIES + struct.pack("<Q68xIII", 104, SIZE, SIZE, 0)
HEADER = asf.SIGNATURE + struct.pack("<QIBB", 30 + 104, 1, 1, 2) + PROPERTIES
START = HEADER + asf._DATA + bytes(34)


def make_packet(numbers: Sequence[int]) -> bytes:
    """Return a packet with a whole object of stream 1 for each number."""
    head = b"\x82\0\0\x09\x5d" + struct.pack("<BIHB", 0, 0, 0, 0x80 | len(numbers))
    body = b"".join(
        struct.pack("<BBIBII", 1, n % 256, 0, 8, 10, 0) + struct.pack("<H", 10) + bytes(10) for n in numbers
    )
    packet = head + body
    return packet[:5] + bytes([SIZE - len(packet)]) + packet[6:] + bytes(SIZE - len(packet))


def scan(data: bytes) -> list[Break]:
    """Return the breaks."""
    scanner = AsfScanner()
    scanner.feed(0, data)
    scanner.finish()
    return scanner.breaks


def test_packets() -> None:
    assert scan(START + b"".join(make_packet([3 * n, 3 * n + 1, 3 * n + 2]) for n in range(200))) == []
    assert scan(START + make_packet([5]) * 5 + b"\x90\x08\0\x33" + bytes(60)) == []  # an object goes on; an index


def test_missing_object_is_uncertain() -> None:
    data = START + b"".join(make_packet([n]) for n in (254, 255, 0, 1, 3, 4))
    assert scan(data) == [Break(len(START) + 4 * SIZE, len(START) + 5 * SIZE, certain=False)]


def test_hole() -> None:
    data = START + b"".join(make_packet([n]) for n in range(20))
    place = len(START) + 5 * SIZE
    found = scan(data[: place - 50] + data[place + 30 :])
    assert [b for b in found if b.certain] == [Break(place, place + SIZE - 80)]
    found = scan(data[: place - 50] + bytes(300) + data[place + 250 :])
    assert [b for b in found if b.certain] == [Break(place, place + 2 * SIZE)]


def test_packets_without_error_correction_data() -> None:
    assert scan(START + (b"\x09\x5d" + bytes(SIZE - 2)) * 9) == []
