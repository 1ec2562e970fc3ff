"""RealMedia: chunks and packets."""

from __future__ import annotations

import struct

import pytest

from dfccodec.media.input.structure.chain import Break
from dfccodec.media.input.structure.rm import RealMediaScanner

SIZE = 12 + 100
START = b".RMF" + struct.pack(">IHII", 18, 0, 0, 1) + b"MDPR" + struct.pack(">IHH", 40, 0, 3) + bytes(28)


def make_data(packets: bytes) -> bytes:
    """Return the chunk DATA, and an index after it."""
    count = len(packets) // SIZE
    return (
        b"DATA"
        + struct.pack(">IHII", 18 + len(packets), 0, count, 0)
        + packets
        + b"INDX"
        + bytes(3)
        + b"\x20"
        + bytes(24)
    )


def make_packet(time: int, stream: int = 3, version: int = 0) -> bytes:
    """Return a packet of 100 bytes."""
    return struct.pack(">HHHIBB", version, SIZE, stream, time, 0, 2) + b"\x55" * 100


def scan(data: bytes) -> RealMediaScanner:
    """Return the scanner at the end of the data."""
    scanner = RealMediaScanner()
    scanner.feed(0, data)
    scanner.finish()
    return scanner


@pytest.mark.parametrize("version", [0, 1])
def test_healthy_file(version: int) -> None:
    data = START + make_data(b"".join(make_packet(40 * n, version=version) for n in range(20)))
    scanner = scan(data)
    assert (scanner.breaks, scanner.wanted) == ([], len(data))
    assert scan(data + bytes(8)).breaks == []  # as ffmpeg writes
    assert scan(data + data).breaks == []


def test_hole() -> None:
    packets = b"".join(make_packet(40 * n) for n in range(20))
    place = len(START) + 18 + 5 * SIZE
    data = START + make_data(packets)
    assert scan(data[: place - 50] + data[place + 30 :]).breaks == [Break(place, place + SIZE - 80)]
    assert scan(data[: place - 50] + bytes(300) + data[place + 250 :]).breaks == [Break(place, place + 3 * SIZE)]


def test_fewer_packets_than_stated() -> None:
    data = START + make_data(make_packet(0) * 20)
    assert not scan(data).ends_early
    assert scan(data[: len(START) + 18 + 7 * SIZE]).ends_early
    assert not scan(data[: len(START) + 500] + data[len(START) + 530 :]).ends_early  # noted as a break


def test_packets_of_unknown_streams() -> None:
    packets = make_packet(0) * 3 + make_packet(0, stream=9) * 4 + make_packet(0) * 5
    assert scan(START + make_data(packets)).breaks == []
