"""SWF: tags, and the numbers of video frames."""

from __future__ import annotations

import struct

from dfccodec.media.input.completeness import stated_length
from dfccodec.media.input.structure.chain import Break
from dfccodec.media.input.structure.swf import SwfScanner

START = b"FWS\4" + struct.pack("<I", 5000) + b"\x60" + bytes(6) + struct.pack("<HH", 25 << 8, 10)
"""A rectangle has 4 numbers, here of 12 bits, after 5 bits."""
FRAME_SIZE = 6 + 4 + 100 + 2


def make_tag(code: int, body: bytes = b"") -> bytes:
    """Return a tag."""
    if len(body) < 63:
        return struct.pack("<H", code << 6 | len(body)) + body
    return struct.pack("<HI", code << 6 | 63, len(body)) + body


def make_frame(number: int) -> bytes:
    """Return a video frame of 100 bytes and the tag that shows it."""
    return make_tag(61, struct.pack("<HH", 0, number) + b"\x55" * 100) + make_tag(1)


def scan(data: bytes) -> SwfScanner:
    """Return the scanner at the end of the data."""
    scanner = SwfScanner()
    scanner.feed(0, data)
    scanner.finish()
    return scanner


def test_healthy_file() -> None:
    data = START + b"".join(make_frame(n) for n in range(10)) + make_tag(0)
    scanner = scan(data)
    assert (scanner.breaks, scanner.wanted) == ([], len(data))
    assert scan(data + bytes(1000)).breaks == []


def test_tags_of_other_programs() -> None:
    start = START + make_frame(0)
    assert scan(start + make_tag(253, bytes(20)) * 4 + make_frame(1) * 9).breaks == []
    assert len(scan(start + make_tag(253, bytes(20)) * 5 + make_frame(1) * 9).breaks) == 1


def test_hole() -> None:
    data = START + b"".join(make_frame(n) for n in range(10)) + make_tag(0)
    place = len(START) + 5 * FRAME_SIZE
    for damaged in (data[: place - 50] + data[place + 20 :], data[: place - 50] + bytes(70) + data[place + 20 :]):
        found = [b for b in scan(damaged).breaks if b.certain]
        assert len(found) == 1
        assert place - 2 <= found[0].start <= place


def test_missing_number_is_uncertain() -> None:
    data = START + b"".join(make_frame(n) for n in (0, 1, 2, 2, 4, 5, 6))
    place = len(START) + 4 * FRAME_SIZE
    assert scan(data).breaks == [Break(place, place, certain=False)]


def test_stated_length() -> None:
    assert stated_length(START) == 5000
    for unknown in (0, 100 << 20, 0xFFFFFFFF):  # ffmpeg writes 100 MiB into a pipe
        assert stated_length(b"FWS\4" + struct.pack("<I", unknown) + bytes(30)) is None
    assert stated_length(b"CWS\6" + struct.pack("<I", 5000) + bytes(30)) is None
