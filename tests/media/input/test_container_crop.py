"""Cropping stored in the container: PixelCrop of Matroska, clap of mp4 and QuickTime."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import Pipe, decode_to, encode_source

from dfccodec.media.input.container_crop import Margins, crop_frames
from dfccodec.media.input.source import VideoSource

FRAMES = np.random.default_rng(0).integers(0, 255, (4, 48, 64, 3), np.uint8)
TOP, BOTTOM, LEFT, RIGHT = 4, 5, 2, 7
NOTE = "the picture is cropped from 64×48 to 55×39, as its container states"


def mux_frames(format: str, codec: str, pixels: str, rotation: int = 0) -> bytearray:
    file, options = io.BytesIO(), {"live": "1", "write_crc32": "0"} if format == "matroska" else {}
    with av.open(file, "w", format=format, options=options) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *FRAMES.shape[1:3], pixels
        if rotation:
            stream.set_display_rotation(rotation)
        for frame in FRAMES:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return bytearray(file.getvalue())


def append_to_video_element(data: bytes, more: bytes) -> bytes:
    """Append data to the Video element of Matroska; the last element may have any size."""
    out, place = b"", 0
    while place < len(data):
        start = place
        place += 9 - data[place].bit_length()
        ident = data[start:place]
        width = 9 - data[place].bit_length()
        size = int.from_bytes(data[place : place + width], "big") & (1 << 7 * width) - 1
        place += width
        body = data[place : place + size]
        if ident in (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0"):
            body = body + more if ident == b"\xe0" else append_to_video_element(body, more)
            out += ident + (len(body) | 1 << 56).to_bytes(8, "big") + body
        else:
            out += data[start : place + size]
        place += size
    return out


def make_matroska(top: int = TOP, bottom: int = BOTTOM, left: int = LEFT, right: int = RIGHT) -> bytes:
    """Return a file with PixelCrop elements in its Video element."""
    sides = {0x54BB: top, 0x54AA: bottom, 0x54CC: left, 0x54DD: right}
    more = b"".join(struct.pack(">HBB", ident, 0x81, pixels) for ident, pixels in sides.items())
    return append_to_video_element(bytes(mux_frames("matroska", "ffv1", "bgr0")), more)


def make_quicktime(rotation: int = 0) -> bytes:
    """Return a file with a clap box (ISO/IEC 14496-12, section 12.1.4) in its video sample entry."""
    data = mux_frames("mov", "png", "rgb24", rotation)
    height, width = FRAMES.shape[1] - TOP - BOTTOM, FRAMES.shape[2] - LEFT - RIGHT
    box = struct.pack(">I4s8i", 40, b"clap", width, 1, height, 1, LEFT - RIGHT, 2, TOP - BOTTOM, 2)
    start = data.index(b"moov")
    entry = data.index(b"png ", start) - 4
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"png "):
        start = data.index(kind, start)
        size = int.from_bytes(data[start - 4 : start], "big")
        end = entry + size
        data[start - 4 : start] = (size + len(box)).to_bytes(4, "big")
    data[end:end] = box
    return bytes(data)


@pytest.mark.parametrize("data", [make_matroska(), make_quicktime()], ids=["matroska", "quicktime"])
def test_margins_are_cropped(data: bytes, tmp_path: Path) -> None:
    for source in (io.BytesIO(data), Pipe(data))[
        : 1 if b"moov" in data else 2
    ]:  # an mp4 with its index at the end needs a file
        with VideoSource(source) as video:
            found = np.stack([picture.rgb for picture in video])
            assert video.notes == [NOTE]
        assert (found == FRAMES[:, TOP:-BOTTOM, LEFT:-RIGHT]).all()
    decode_to(tmp_path / "out.mkv", encode_source(io.BytesIO(data)))
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (
            56,
            40,
        )  # H.264 needs even sizes


def test_margins_apply_before_rotation() -> None:
    with VideoSource(io.BytesIO(make_quicktime(90))) as video:
        assert (video.info.width, video.info.height, video.info.rotation) == (55, 39, 3)
        assert (next(iter(video)).rgb == FRAMES[0, TOP:-BOTTOM, LEFT:-RIGHT]).all()


def test_margins_with_scaling() -> None:
    with VideoSource(io.BytesIO(make_matroska(8, 8, 0, 0)), size="32x16") as video:
        assert {picture.rgb.shape for picture in video} == {(16, 32, 3)}
        assert video.info.source_size == (64, 32)


def test_no_note_without_margins() -> None:
    with VideoSource(io.BytesIO(make_matroska(0, 0, 0, 0))) as video:
        assert {picture.rgb.shape for picture in video} == {(48, 64, 3)}
        assert video.notes == []


def test_margins_larger_than_frame_are_ignored() -> None:
    frame = av.VideoFrame.from_ndarray(FRAMES[0], format="rgb24")
    for edges in (Margins(24, 24, 0, 0), Margins(0, 0, 64, 0)):
        assert list(crop_frames([frame], edges, Fraction(1, 25))) == [frame]
