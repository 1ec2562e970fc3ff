"""Inputs that are not a video, incomplete or single-pass; and the choice of the video stream."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import DATA, Pipe, decode_to, encode_source, flat_model, moving_square, write_av, write_video

from dfccodec.codec import api
from dfccodec.codec.frame_source import is_repeatable
from dfccodec.errors import InputError, UsageError
from dfccodec.media.input.completeness import count_missing_bytes, iter_boxes, stated_length
from dfccodec.media.input.source import VideoSource


def without_moov(path: Path) -> bytes:
    data = write_video(path, moving_square(4)).read_bytes()
    return data[: next(place for kind, place in iter_boxes(io.BytesIO(data), len(data)) if kind == b"mdat")]


KINDS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "empty": (lambda _: b"", r"is empty"),
    "web page": (lambda _: b"\n<!DOCTYPE html><title>Sign in</title>", "is a web page"),
    "archive": (lambda _: b"PK\3\4" + bytes(60), "is a ZIP archive: unpack it"),
    "zeros": (lambda _: bytes(8192), "starts with zeros: its data was never written"),
    "dfc": (lambda path: encode_source(write_video(path, moving_square(2))), "is already a .dfc file"),
}


@pytest.mark.parametrize("way", ["path", "stream", "pipe"])
@pytest.mark.parametrize("kind", KINDS)
def test_non_video_input_is_diagnosed(kind: str, way: str, tmp_path: Path) -> None:
    make, says = KINDS[kind]
    data = make(tmp_path / "made.mp4")
    (tmp_path / "a.mp4").write_bytes(data)
    sources: dict[str, Any] = {"path": tmp_path / "a.mp4", "stream": io.BytesIO(data), "pipe": Pipe(data)}
    with pytest.raises(InputError, match=says):
        VideoSource(sources[way])


def test_mp4_without_index_is_diagnosed(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(without_moov(tmp_path / "b.mp4"))
    with pytest.raises(InputError, match=r"a\.mp4 has no index \(moov box\): its recording or download stopped"):
        VideoSource(tmp_path / "a.mp4")


def test_folder_is_diagnosed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder: name a file in it"):
        VideoSource(tmp_path)


def test_cover_picture_needs_video_option(tmp_path: Path) -> None:
    song = tmp_path / "song.mp4"
    with av.open(str(song), "w") as container:
        cover: Any = container.add_stream("png", rate=25)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        audio: Any = container.add_stream("aac", rate=44100)
        container.mux(cover.encode(av.VideoFrame.from_ndarray(moving_square(1, 32, 32)[0], format="rgb24")))
        container.mux(cover.encode(None))
        noise = av.AudioFrame.from_ndarray(np.zeros((1, 8820), np.int16), format="s16", layout="stereo")
        noise.sample_rate, noise.pts, noise.time_base = 44100, 0, Fraction(1, 44100)
        container.mux(audio.encode(noise))
        container.mux(audio.encode(None))
    with pytest.raises(InputError, match="has audio and a cover picture; to use the cover, give --video 0"):
        VideoSource(song)
    with VideoSource(song, video=0) as video:
        assert len(list(video)) == 1


def write_two_videos(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, size in zip(streams, ((48, 64), (32, 32)), strict=True):
            stream.height, stream.width = size
        for stream in streams:
            for frame in moving_square(3, stream.height, stream.width):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
    return path


def test_video_option_selects_stream(tmp_path: Path) -> None:
    source = write_two_videos(tmp_path / "a.mkv")
    with VideoSource(source) as video:
        assert (video.info.width, video.info.height) == (64, 48)
        assert video.notes == ["stream 1 (video, h264) is not carried; to use it as the picture, give --video 1"]
    with VideoSource(source, video=1) as video:
        assert (video.info.width, video.info.height) == (32, 32)
        assert video.notes == ["stream 0 (video, h264) is not carried"]
        assert len(list(video)) == 3
    with pytest.raises(UsageError, match=r"has 2 video streams, 0 \(h264 64×48\), 1 \(h264 32×32\); give 0 to 1"):
        VideoSource(source, video=2)
    report = api.encode(source, io.BytesIO(), model=flat_model(), video=1, budget="1", qp=20)
    assert report.notes == ("stream 0 (video, h264) is not carried",)


ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(20) + bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "libx264"), ("avi", "mpeg4"), ("wmv", "wmv2"), ("flv", "flv")])
def test_truncated_file_is_noted(suffix: str, codec: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 48, 64, 3), np.uint8)
    data = write_video(tmp_path / f"a.{suffix}", noise, codec=codec)
    half = data.read_bytes()[: data.stat().st_size // 2]
    (tmp_path / f"half.{suffix}").write_bytes(half)
    for source in (tmp_path / f"half.{suffix}", io.BytesIO(half), Pipe(half)):
        report = api.encode(source, io.BytesIO(), model=flat_model(), budget="1", qp=20)
        assert 20 < report.frames < 60
        (note,) = (n for n in report.notes if "ends early" in n)
        if suffix != "flv":  # flv states no size
            assert f"{data.stat().st_size - len(half)} bytes are missing" in note
        if suffix == "mkv":
            assert f"{report.frames} of about 80 frames" in note
    with VideoSource(data) as video:
        assert len(list(video)) == 80
        assert not [n for n in video.notes if "early" in n]


@pytest.mark.parametrize("fragmented", [False, True])
def test_truncated_mp4_is_noted(fragmented: bool, tmp_path: Path) -> None:
    flags = "frag_keyframe+empty_moov+default_base_moof" if fragmented else "faststart"
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)
    with av.open(str(tmp_path / "a.mp4"), "w", options={"movflags": flags}) as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "0"})
        stream.height, stream.width = 48, 64
        for frame in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 3 // 5])
    with VideoSource(tmp_path / "cut.mp4") as video:
        found = list(video)
        assert 10 < len(found) < 40
        assert max(p.duration * video.info.time_base for p in found) < Fraction(
            2, 25
        )  # and the last frame is not extended
        assert any("ends early" in note for note in video.notes)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".nut", ".y4m", ".gif"])
def test_complete_file_is_not_noted(suffix: str, tmp_path: Path) -> None:
    encoders = {".webm": ["libopus"], ".mp4": ["aac"], ".avi": ["libmp3lame"]}.get(suffix, [])
    path = tmp_path / f"a{suffix}"
    if suffix in (".y4m", ".gif"):
        decode_to(path, encode_source(write_video(tmp_path / "in.mkv", moving_square(8))))
    else:
        write_av(path, moving_square(8), encoders)
    for source in (path, Pipe(path.read_bytes())):
        if suffix == ".mp4" and isinstance(source, Pipe):
            continue  # its index is at the end
        with VideoSource(source) as video:
            assert len(list(video)) == 8
            assert not [note for note in video.notes if "early" in note or "damaged" in note]


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x1a\x45\xdf\xa3", b"RIFF", b"\0\0\0\x18ftyp", ASF]))
def test_stated_length_never_raises(data: bytes, head: bytes) -> None:
    assert (stated_length(head + data) or 0) >= 0
    assert count_missing_bytes(io.BytesIO(head + data)) >= 0


def test_named_pipe_is_read_once(tmp_path: Path) -> None:
    data = write_av(tmp_path / "a.ts", moving_square(8), ["mp2"]).read_bytes()
    os.mkfifo(tmp_path / "fifo")
    writer = threading.Thread(target=lambda: (tmp_path / "fifo").write_bytes(data))
    writer.start()
    out = io.BytesIO()
    report = api.encode(tmp_path / "fifo", out, model=flat_model(), budget="2", qp=20)
    writer.join()
    assert report.frames == 8
    assert not is_repeatable(tmp_path / "fifo")
    assert out.getvalue() == encode_source(Pipe(data), budget="2", qp=20, fill="blend")


@pytest.mark.parametrize(("codec", "pixels"), [("libvpx-vp9", "yuva420p"), ("libvpx", "yuva420p")])
def test_separate_alpha_is_noted(codec: str, pixels: str, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options={"auto-alt-ref": "0"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
        stream.metadata["alpha_mode"] = "1"
        for frame in moving_square(3):
            clear = np.dstack([frame, np.full((48, 64), 128, np.uint8)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(clear, format="rgba").reformat(format=pixels)))
        container.mux(stream.encode(None))
    with VideoSource(tmp_path / "a.webm") as video:
        assert "the transparency of the picture is discarded" in video.notes


@pytest.mark.parametrize(
    ("transfer", "note"),
    [(1, "the picture has 10 bits: converted to 8"), (16, "high dynamic range (PQ), 10 bits"), (18, "(HLG), 10 bits")],
)
def test_lost_bit_depth_and_hdr_are_noted(transfer: int, note: str, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        options = {"x265-params": f"log-level=error:transfer={transfer}:colorprim=9:colormatrix=9"}
        stream: Any = container.add_stream("libx265", rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p10le"
        stream.codec_context.color_trc = transfer
        for frame in moving_square(2):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p10le")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with VideoSource(tmp_path / "a.mkv") as video:
        assert any(note in n for n in video.notes)


def test_tags_in_other_encoding_do_not_raise(tmp_path: Path) -> None:
    path = write_av(tmp_path / "a.avi", moving_square(3), tags={"title": "XXXX"})
    path.write_bytes(path.read_bytes().replace(b"XXXX", b"caf\xe9"))
    with VideoSource(path) as video:
        assert dict(video.info.tags)["title"] == "caf\ufffd"


def write_pngs(folder: Path, numbers: list[int], name: str = "i%d.png") -> None:
    for number in numbers:
        with av.open(str(folder / (name % number)), "w", format="image2", options={"update": "1"}) as container:
            stream: Any = container.add_stream("png", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb24"
            frame = np.full((32, 32, 3), 10 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))


def read_greys(path: Path) -> list[int]:
    with VideoSource(path) as video:
        return [int(p.rgb[0, 0, 0]) // 10 for p in video]


def test_image_sequence_may_start_at_any_number(tmp_path: Path) -> None:
    write_pngs(tmp_path, [10, 11, 12], "f%04d.png")
    assert read_greys(tmp_path / "f%04d.png") == [10, 11, 12]


def test_glob_is_sorted_by_number(tmp_path: Path) -> None:
    write_pngs(tmp_path, [1, 2, 9, 10, 11])
    assert read_greys(tmp_path / "i*.png") == [1, 2, 9, 10, 11]
    write_pngs(tmp_path, [3, 4], "j%02d.png")
    assert read_greys(tmp_path / "j*.png") == [3, 4]


def test_gap_in_image_sequence_is_reported(tmp_path: Path) -> None:
    write_pngs(tmp_path, [1, 2, 3, 9, 10])
    with pytest.raises(InputError, match=r"i4\.png is missing in .*i%d\.png, whose last number is 10: .*'.*i\*\.png'"):
        VideoSource(tmp_path / "i%d.png")


@pytest.mark.parametrize("bad", [1, 4, 7, 8])
def test_damaged_picture_is_counted_and_others_are_kept(bad: int, tmp_path: Path) -> None:
    write_pngs(tmp_path, list(range(1, 9)))
    (tmp_path / f"i{bad}.png").write_bytes((tmp_path / f"i{bad}.png").read_bytes()[:40] + bytes(200))
    with VideoSource(tmp_path / "i%d.png") as video:
        found = [int(p.rgb[0, 0, 0]) // 10 for p in video]
        assert any("1 packet of the picture does not decode and is skipped" in note for note in video.notes)
    assert found == [n for n in range(1, 9) if n != bad]


def write_exif_jpeg(path: Path, orientation: int) -> Path:
    """Write a JPEG of 32×16 pixels with an EXIF orientation, as cameras do."""
    with av.open(str(path), "w", format="image2", options={"update": "1"}) as container:
        stream: Any = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame(32, 16, "yuvj420p")))
        container.mux(stream.encode(None))
    entry = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, *[0] * 7])
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(entry) + 2).to_bytes(2, "big") + entry + data[2:])
    return path


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 1), (8, 3)])
def test_exif_orientation_is_read(orientation: int, turns: int, tmp_path: Path) -> None:
    with VideoSource(write_exif_jpeg(tmp_path / "a.jpg", orientation)) as video:
        assert (video.info.width, video.info.height, video.info.rotation) == (32, 16, turns)


def test_all_frames_of_animated_picture_are_read(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.avif"), "w", format="avif") as container:
        stream: Any = container.add_stream("libsvtav1", rate=10, options={"preset": "12"})
        stream.width, stream.height = 64, 64
        for frame in moving_square(5, 64, 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    with VideoSource(tmp_path / "a.avif") as video:
        assert len(list(video)) == 5


def test_tiled_picture_is_rejected() -> None:
    """Every iPhone writes tiled pictures. This one was made with avifenc --grid 2x2."""
    with pytest.raises(InputError, match="is a picture made of 4 tiles"):
        VideoSource(DATA / "tiles.avif")


@pytest.mark.parametrize("name", ["x%d.png", "x*.png"])
def test_missing_image_sequence_is_reported(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file matches .*x"):
        VideoSource(tmp_path / name)
