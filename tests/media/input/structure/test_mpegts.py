"""Transport streams: packets in step, continuity counters."""

from __future__ import annotations

import pytest

from dfccodec.media.input.structure.chain import Break
from dfccodec.media.input.structure.mpegts import MpegTsScanner, find_packets


def make_packet(counter: int, stream: int = 256, field: bytes = b"") -> bytes:
    """Return a packet with a payload; `field` is an adaptation field with its length."""
    head = bytes([0x47, stream >> 8, stream & 255, (0x30 if field else 0x10) | counter % 16])
    return head + field + b"\xff" * (184 - len(field))


def scan(data: bytes) -> list[Break]:
    """Return the breaks."""
    scanner = MpegTsScanner()
    scanner.feed(0, data)
    scanner.finish()
    return scanner.breaks


@pytest.mark.parametrize(("size", "before"), [(188, 0), (192, 4), (204, 0), (188, 50)])
def test_sizes(size: int, before: int) -> None:
    data = bytes(before) + b"".join(make_packet(n) + bytes(size - 188) for n in range(80))
    assert find_packets(data) == (before, size)
    assert scan(data) == []
    place = before + 40 * size
    assert scan(data[:place] + data[place + 16 * size + 10 :]) == [Break(place, place + size - 10)]


def test_hole_that_keeps_the_counter_of_the_video() -> None:
    """16 packets of the video and one of the audio are cut out: only the counter of the audio shows it."""
    packets = [make_packet(n // 17, 257) if n % 17 == 16 else make_packet(n - n // 17) for n in range(170)]
    assert scan(b"".join(packets)) == []
    (found,) = scan(b"".join(packets[:51] + packets[68:]))
    assert not found.certain


def test_counters_may_repeat_and_restart() -> None:
    start = [make_packet(n) for n in range(40)]
    assert scan(b"".join([*start, make_packet(39), make_packet(40)])) == []
    assert scan(b"".join([*start, make_packet(3, field=b"\x01\x80"), make_packet(4)])) == []
    assert len(scan(b"".join([*start, make_packet(3, field=b"\x01\x00"), make_packet(4)]))) == 1
    assert scan(b"".join([*start, *(make_packet(7, 0x1FFF) for _ in range(5))])) == []
