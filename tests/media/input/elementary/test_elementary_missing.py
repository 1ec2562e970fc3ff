"""Streams without a container from which pictures are taken: the notes say how many."""

from __future__ import annotations

import io
import random
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import Pipe

from dfccodec.media.input.elementary.h264 import H264Numbers
from dfccodec.media.input.elementary.hevc import HevcNumbers
from dfccodec.media.input.elementary.jpeg import JpegChecker
from dfccodec.media.input.elementary.mpeg2 import Mpeg2Numbers
from dfccodec.media.input.source import VideoSource

FRAMES = 60
STREAMS: dict[str, tuple[str, str, dict[str, str], str]] = {
    "H.264": ("h264", "libx264", {"x264-params": "bframes=3:keyint=20:scenecut=0"}, "yuv420p"),
    "H.264, all kinds of parameters": (
        "h264",
        "libx264",
        {"x264-params": "bframes=5:b-pyramid=normal:open-gop=1:keyint=12:cqm=jvt:slices=3"},
        "yuv444p",
    ),
    "H.264, interlaced": ("h264", "libx264", {"x264-params": "tff=1:bframes=2"}, "yuv420p"),
    "H.264, without B pictures": ("h264", "libx264", {"profile": "baseline"}, "yuv420p"),
    "HEVC": ("hevc", "libx265", {"x265-params": "pools=1:log-level=error:keyint=12"}, "yuv420p"),
    "HEVC, layers": ("hevc", "libx265", {"x265-params": "pools=1:log-level=error:temporal-layers=3"}, "yuv420p"),
    "MPEG-2": ("mpeg2video", "mpeg2video", {"bf": "2"}, "yuv420p"),
    "MPEG-2, interlaced": ("mpeg2video", "mpeg2video", {"flags": "+ildct+ilme"}, "yuv420p"),
    "MPEG-1": ("mpeg1video", "mpeg1video", {"bf": "2", "g": "15"}, "yuv420p"),
    "MJPEG": ("mjpeg", "mjpeg", {}, "yuvj422p"),
}
"""Name: format, encoder, options, pixel format."""


@cache
def make_packets(name: str) -> list[bytes]:
    """Return the packets of a stream of 60 frames of moving noise, in decoding order."""
    kind, codec, options, pixels = STREAMS[name]
    noise, packets = np.random.default_rng(0).integers(0, 255, (48, 64 + FRAMES, 3), np.uint8), []
    with av.open(io.BytesIO(), "w", format=kind) as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for number in range(FRAMES):
            picture = av.VideoFrame.from_ndarray(noise[:, number : number + 64].copy(), format="rgb24")
            picture.pts = number
            packets += stream.encode(picture)
        packets += stream.encode(None)
        extra = stream.codec_context.extradata or b""
    made = [bytes(packet) for packet in packets]
    return made if made[0].startswith(extra[:5]) or kind == "mjpeg" else [extra + made[0], *made[1:]]


def read_notes(source: Any) -> tuple[int, list[str]]:
    """Return the number of frames and the notes."""
    with VideoSource(source) as video:
        return len(list(video)), video.notes


@pytest.mark.parametrize("name", STREAMS)
def test_complete_stream(name: str) -> None:
    """A complete stream has all frames and no note on damage."""
    frames, notes = read_notes(io.BytesIO(b"".join(make_packets(name))))
    assert frames == FRAMES
    assert not [note for note in notes if "missing" in note or "damaged" in note or "decode" in note]


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "MJPEG"])
@pytest.mark.parametrize("pipe", [False, True])
def test_missing_packets(name: str, pipe: bool) -> None:
    """Three packets in the middle of a group are missing: frames that do not come out are noted."""
    packets = make_packets(name)
    data = b"".join(packets[:27] + packets[30:])
    frames, notes = read_notes(Pipe(data) if pipe else io.BytesIO(data))
    assert frames <= FRAMES - 3
    assert any("about" in note and "missing" in note for note in notes), notes


@pytest.mark.parametrize("kind", ["cut", "zeros", "garbage", "two in one"])
def test_mjpeg_hole(kind: str, tmp_path: Path) -> None:
    """A hole in raw MJPEG, which has no numbers and no sizes, leaves a damaged frame."""
    packets, draw = make_packets("MJPEG"), random.Random(2)
    data, size = b"".join(packets), len(packets[0])
    for number in range(20, 30):
        at = sum(len(p) for p in packets[:number]) + size // 2
        after = {"cut": size, "zeros": size, "garbage": size, "two in one": size // 4}[kind]
        fill = {"cut": b"", "zeros": bytes(size), "garbage": draw.randbytes(size), "two in one": b""}[kind]
        path = tmp_path / f"{number}.mjpeg"
        path.write_bytes(data[:at] + fill + data[at + after :])
        _, notes = read_notes(path)
        assert any("damaged" in note or "not decode" in note for note in notes), (number, notes)


def test_mjpeg_padding() -> None:
    """Pictures that a camera pads are no damage."""
    padded = [packet[:-2] + bytes(40) + packet[-2:] for packet in make_packets("MJPEG")]
    frames, notes = read_notes(io.BytesIO(b"".join(padded)))
    assert frames == FRAMES
    assert not [note for note in notes if "damaged" in note]


@given(st.binary(max_size=400), st.sampled_from([H264Numbers, HevcNumbers, Mpeg2Numbers]), st.integers(0, 255))
def test_hostile_bytes(body: bytes, kind: type[Any], unit: int) -> None:
    """Any bytes are read without an error."""
    reader = kind()
    for first in (0x67, 0x68, 0x65, 0x42, 0x44, 0x26, unit):
        for number in reader.read(b"\0\0\1" + bytes([first, 1]) + body):
            assert 0 <= number.value < number.modulus


@given(st.binary(max_size=200))
def test_hostile_jpeg(body: bytes) -> None:
    """Any bytes after a picture are judged without an error."""
    packet = make_packets("MJPEG")[0]
    frame = av.CodecContext.create("mjpeg", "r").decode(av.Packet(packet))[0]  # type: ignore[attr-defined]
    checker = JpegChecker()
    for _ in range(3):
        assert checker.check(packet, frame) is None
    assert checker.check(packet[:-2] + body, frame) in (None, 0)
