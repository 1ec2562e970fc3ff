"""The base of the scanners, with hostile bytes for each of them."""

from __future__ import annotations

import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dfccodec.media.input.structure import (
    asf,
    chain,
    flv,
    gif,
    matroska,
    mp4,
    mpegts,
    mxf,
    nut,
    ogg,
    png,
    riff,
    rm,
    swf,
)
from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, Break, ChainScanner, scan_file


def make_nut_packet(code: bytes, body: bytes) -> bytes:
    """Return a packet of NUT with its checksum."""
    return code + bytes([len(body) + 4]) + body + ogg.page_checksum(body).to_bytes(4, "big")


NUT_START = nut.SIGNATURE + make_nut_packet(nut._MAIN, b"\3\1\x40\1\1\1" + b"\x20\6\0\1\0\0\0\x81\x7f" + b"\0")
"""Main header: one stream, and a size after the first byte of every frame."""
SCANNERS: list[tuple[type[ChainScanner], bytes]] = [
    (asf.AsfScanner, asf.SIGNATURE + bytes(14)),
    (flv.FlvScanner, b"FLV\x01\x05\0\0\0\x09"),
    (gif.GifScanner, b"GIF89a" + bytes(7)),
    (matroska.MatroskaScanner, b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\xff\x1f\x43\xb6\x75\xff"),
    (mp4.Mp4Scanner, b"\0\0\0\x08ftyp"),
    (mpegts.MpegTsScanner, (b"G\x40\0\x10" + bytes(184)) * 12),
    (mxf.MxfScanner, b"\x06\x0e\x2b\x34" + bytes(13)),
    (nut.NutScanner, NUT_START),
    (ogg.OggScanner, b""),
    (png.PngScanner, png.SIGNATURE),
    (riff.RiffScanner, b"RIFF\0\0\0\0AVI LIST\0\0\0\0movi"),
    (rm.RealMediaScanner, b".RMF\0\0\0\x12" + bytes(10) + b"MDPR\0\0\0\x0c\0\0\0\1" + b"DATA" + bytes(14)),
    (swf.SwfScanner, b"FWS\4" + bytes(5) + bytes(4)),
]
"""Scanners, each with a valid start."""
MARKS = (
    *(b"OggS\0\0", b"\x1f\x43\xb6\x75\xff", b"\xa3\x85\x81\0\0\x80\0", b"\0\0\0\x08moof", b"\0\0\0\x01mdat", b"00dc"),
    *(b"\x21\xf9\x04\0\0\0\0\0", b"\x2c\0\0\0\0", b"\x82\0\0\x09\x5d", b"\x09\0\0\x02" + bytes(7), b"\xff" * 8),
    *(b"\0\0\0\x1afcTL", b"\x06\x0e\x2b\x34", b"\xec\x01\xff" + b"\xff" * 7, b"G" + bytes(187), bytes(64)),
    *(make_nut_packet(nut._SYNC, b"\0\0"), make_nut_packet(nut._SYNC, b"\0\1"), b"\x10\x07"),
    *(b"\0\0\0\x0c\0\1" + bytes(6), b"\0\1\0\x0e\0\1" + bytes(8), b"\x40\0", b"\x44\x0f\1\0", b"\x7f\x0f\5\0\0\0"),
)
hostile = st.lists(st.one_of(st.sampled_from(MARKS), st.binary(max_size=40)), max_size=60).map(b"".join)


class LetterScanner(ChainScanner):
    """Elements of 4 bytes: `abcd`; `?` is the first letter of an unknown one."""

    PATTERN = chain.re.compile(b"abcd")
    PATTERN_SIZE = 4

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        if len(data) - at < 4:
            return NEED_MORE
        self.unknown = data[at : at + 1] == b"?"
        return 4 if data.startswith(b"abcd", at) or self.unknown else INVALID


def scan(data: bytes, kind: type[ChainScanner] = LetterScanner, step: int = 1 << 20) -> list[Break]:
    """Return the breaks, from pieces of `step` bytes."""
    scanner = kind()
    for place in range(0, len(data), step):
        scanner.feed(place, data[place : place + step])
    scanner.finish()
    return scanner.breaks


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_break_is_recorded_when_the_chain_continues(step: int) -> None:
    good = b"abcd" * 5
    assert scan(good, step=step) == []
    assert scan(good + b"zz" + good, step=step) == [Break(20, 22)]
    assert scan(good + b"zz" + good + b"y" + good, step=step) == [Break(20, 22), Break(42, 43)]
    assert scan(good + b"zz" + b"abcd", step=step) == [Break(20, 22)]  # confirmed by the end of the file
    assert scan(good + b"zzabcdyy" + good, step=step) == [Break(20, 28)]
    assert scan(good + b"zz" + b"abcdz", step=step) == []


def test_data_after_the_end_is_no_break() -> None:
    assert scan(b"abcd" * 5 + bytes(5000)) == []


def test_unknown_elements_are_tolerated() -> None:
    good = b"abcd" * 5
    assert scan(good + b"?xyz" * 4 + good) == []
    assert scan(good + b"?xyz" * 5 + good) == [Break(20, 40)]
    assert scan(good + b"?xyz?xyzz" + good) == [Break(20, 29)]


def test_scan_from_the_middle_begins_with_a_search() -> None:
    scanner = LetterScanner(7)
    scan_file(scanner, io.BytesIO(b"abcd" * 20), None)
    assert scanner.breaks == []
    scanner = LetterScanner(7)
    scan_file(scanner, io.BytesIO(b"abcd" * 20 + b"z" + b"abcd" * 5), None)
    assert scanner.breaks == [Break(80, 81)]


def test_work_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "_MAX_BREAKS", 3)
    assert len(scan((b"abcd" * 4 + b"z") * 50)) == 3
    monkeypatch.setattr(chain, "_MAX_ELEMENTS", 10)
    assert scan(b"abcd" * 20 + b"z" + b"abcd" * 20) == []


def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "_MAX_BUFFER", 100)
    monkeypatch.setattr(LetterScanner, "measure", lambda *_: NEED_MORE)
    scanner = LetterScanner()
    scanner.feed(0, bytes(200))
    assert scanner.ended


@pytest.mark.parametrize(("kind", "start"), SCANNERS)
@example(data=b"OggS\0\0\0\0\0\1mdat" + bytes(64), step=86)  # a box up to the end of the file, after a break
@given(data=hostile, step=st.integers(1, 300))
@settings(max_examples=60)
def test_hostile_bytes(kind: type[ChainScanner], start: bytes, data: bytes, step: int) -> None:
    """No scanner raises or repeats itself, and pieces do not matter."""
    data = start + data
    found = scan(data, kind)
    assert scan(data, kind, step) == found
    assert all(0 <= b.start <= len(data) for b in found)
    scanner = kind()
    scan_file(scanner, io.BytesIO(data), None)
    assert scanner.breaks == found
    scanner = kind(5)
    scan_file(scanner, io.BytesIO(data), None)
    assert scanner.ended
