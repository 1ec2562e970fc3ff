"""MP4: boxes and numbers of fragments."""

from __future__ import annotations

from dfccodec.media.input.structure.chain import Break
from dfccodec.media.input.structure.mp4 import Mp4Scanner


def make_box(name: bytes, data: bytes = b"") -> bytes:
    """Return a box."""
    return (8 + len(data)).to_bytes(4, "big") + name + data


def make_fragment(number: int) -> bytes:
    """Return a fragment of 74 bytes."""
    return make_box(b"moof", make_box(b"mfhd", bytes(4) + number.to_bytes(4, "big"))) + make_box(b"mdat", bytes(42))


START = make_box(b"ftyp", bytes(20)) + make_box(b"moov", bytes(200))


def scan(data: bytes) -> list[Break]:
    """Return the breaks."""
    scanner = Mp4Scanner()
    scanner.feed(0, data)
    scanner.finish()
    return scanner.breaks


def test_fragments() -> None:
    assert scan(START + b"".join(make_fragment(n) for n in range(9))) == []
    assert scan(START + make_fragment(0) * 9) == []


def test_missing_fragment_is_uncertain() -> None:
    place = len(START) + 4 * len(make_fragment(0))
    assert scan(START + b"".join(make_fragment(n) for n in (1, 2, 3, 4, 6, 7))) == [Break(place, place, certain=False)]


def test_hole() -> None:
    data = b"".join(make_fragment(n) for n in range(9))
    size, place = len(data) // 9, len(START)
    (found,) = (b for b in scan(START + data[: 3 * size + 40] + data[3 * size + 60 :]) if b.certain)
    assert found == Break(place + 4 * size, place + 4 * size + 4)


def test_large_and_unlimited_boxes() -> None:
    large = b"\0\0\0\x01mdat" + (16 + 30).to_bytes(8, "big") + bytes(30)
    assert scan(START + large + large + make_box(b"abcd", bytes(10)) + make_box(b"free", bytes(20))) == []
    assert scan(START + b"\0\0\0\0mdat" + b"\x55" * 500 + make_fragment(0) * 5) == []
