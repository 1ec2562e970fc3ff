"""The choice of a scanner, and reading from a file and from a pipe."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import BinaryIO

import pytest

from dfccodec.media.input.structure import asf, flv, gif, matroska, mp4, mpegts, mxf, nut, ogg, png, riff, rm, swf
from dfccodec.media.input.structure.chain import Break, ChainScanner
from dfccodec.media.input.structure.monitor import StructureMonitor, choose_scanner

PACKET = b"G\x40\x20\x10" + bytes(184)
TS_WITH_BREAK = PACKET * 40 + bytes(100) + PACKET * 40


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (asf.SIGNATURE, asf.AsfScanner),
        (b"FLV\x01", flv.FlvScanner),
        (b"GIF89a", gif.GifScanner),
        (b"\x1a\x45\xdf\xa3", matroska.MatroskaScanner),
        (b"\0\0\0\x20ftypisom", mp4.Mp4Scanner),
        (PACKET * 5, mpegts.MpegTsScanner),
        (bytes(100) + PACKET * 5, mpegts.MpegTsScanner),
        ((b"\x12\x34\x56\x78" + PACKET) * 5, mpegts.MpegTsScanner),
        (mxf.SIGNATURE, mxf.MxfScanner),
        (nut.SIGNATURE, nut.NutScanner),
        (b"OggS", ogg.OggScanner),
        (b"\x89PNG\r\n\x1a\n", png.PngScanner),
        (b"RIFF\0\0\0\0AVI ", riff.RiffScanner),
        (b".RMF", rm.RealMediaScanner),
        (b"FWS\4", swf.SwfScanner),
        (b"CWS\6", None),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"YUV4MPEG2 ", None),
        (b"", None),
    ],
)
def test_choice(head: bytes, kind: type[ChainScanner] | None) -> None:
    assert choose_scanner(head) is kind


@contextlib.contextmanager
def reopen() -> Iterator[BinaryIO]:
    """Open a transport stream with bytes too many."""
    yield io.BytesIO(TS_WITH_BREAK)


def test_file_and_pipe_give_the_same_breaks() -> None:
    wanted = [Break(40 * 188, 40 * 188 + 100)]
    assert StructureMonitor(reopen).scan(None) == wanted
    pipe = StructureMonitor()
    for place in range(0, len(TS_WITH_BREAK), 77):
        pipe.feed(TS_WITH_BREAK[place : place + 77])
    pipe.feed(b"")
    assert pipe.scan(None) == wanted


def test_short_pipe() -> None:
    pipe = StructureMonitor()
    pipe.feed(b"GIF89a")
    pipe.feed(b"")
    assert pipe.scan(None) == []
    assert not pipe.is_searching


def test_breaks_before_a_seek_are_left_out() -> None:
    monitor = StructureMonitor(reopen)
    monitor.has_seeked = True
    assert monitor.scan(60 * 188, exactly=True) == []


def test_unreadable_file() -> None:
    @contextlib.contextmanager
    def fail() -> Iterator[BinaryIO]:
        raise OSError
        yield

    assert StructureMonitor(fail).scan(None) == []
