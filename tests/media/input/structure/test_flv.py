"""FLV: tags and the sizes after them."""

from __future__ import annotations

import pytest

from dfccodec.media.input.structure.chain import Break
from dfccodec.media.input.structure.flv import FlvScanner

HEADER = b"FLV\x01\x05\0\0\0\x09"


def make_tag(size: int, kind: int = 9, stream: int = 0, stated: int | None = None) -> bytes:
    """Return a tag and, after it, its size."""
    head = bytes([kind]) + size.to_bytes(3, "big") + bytes(4) + stream.to_bytes(3, "big")
    return head + b"\x55" * size + (11 + size if stated is None else stated).to_bytes(4, "big")


def scan(data: bytes) -> list[Break]:
    """Return the breaks."""
    scanner = FlvScanner()
    scanner.feed(0, data)
    scanner.finish()
    return scanner.breaks


@pytest.mark.parametrize("stated", [None, 0, 7])
def test_sizes_after_tags_may_be_wrong(stated: int | None) -> None:
    assert scan(HEADER + bytes(4) + make_tag(100, stated=stated) * 9) == []


def test_other_streams_and_types_need_correct_sizes() -> None:
    start = HEADER + bytes(4) + make_tag(100)
    assert scan(start + make_tag(100, stream=1) * 9) == []
    assert scan(start + make_tag(100, kind=15) + make_tag(100) * 9) == []
    assert len(scan(start + make_tag(100, kind=15, stated=7) * 2 + make_tag(100) * 9)) == 1


def test_hole() -> None:
    tags = make_tag(100) * 9
    place = len(HEADER) + 4 * 115
    assert scan(HEADER + bytes(4) + tags[:450] + tags[500:]) == [Break(place, place + 65)]


def test_files_joined_end_to_end() -> None:
    one = HEADER + bytes(4) + make_tag(100) * 3
    assert scan(one + one) == []
