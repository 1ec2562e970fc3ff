"""Limits of output containers and encoders: time units, codec names, matrices, sizes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support import moving_square, write_av, write_video

from dfccodec.container.records import Colour, Header, Ratio
from dfccodec.errors import UsageError
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.sink import VideoSink
from dfccodec.media.scale import fit_size


def header(width: int = 64, height: int = 48, rate: int = 25, **more: object) -> Header:
    return Header(width, height, Ratio(rate, 1), Ratio(1, rate), **more)  # type: ignore[arg-type]


def test_gif_discards_frames_below_its_time_unit(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "a.gif", header(rate=240)) as sink:
        for number, frame in enumerate(moving_square(48)):
            sink.write(frame, number, 1)
    with av.open(str(tmp_path / "a.gif")) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert len(times) == 21
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx(47 / 240, abs=0.011)


def test_pause_in_constant_rate_output_is_noted_once(tmp_path: Path) -> None:
    for pause, notes in ((0, 0), (100, 1)):
        with VideoSink(tmp_path / "a.y4m", header()) as sink:
            for number, frame in enumerate(moving_square(8)):
                sink.write(frame, number + pause * (number > 3), 1)
        assert len(sink.notes) == notes
    assert sink.notes == [
        "frames come at uneven times, but yuv4mpegpipe has a constant rate: give --cfr 25 to keep the timing"
    ]


@pytest.mark.parametrize(("name", "encoder"), [("h264", "libx264"), ("vp9", "libvpx-vp9")])
def test_codec_name_selects_encoder(name: str, encoder: str, tmp_path: Path) -> None:
    files = []
    for codec in (name, encoder):
        with VideoSink(path := tmp_path / f"{codec}.mkv", header(33, 17), codec=codec) as sink:
            for number, frame in enumerate(moving_square(4, 17, 33)):
                sink.write(frame, number, 1)
        with av.open(str(path)) as container:
            files.append([bytes(p) for p in container.demux(video=0)])
    assert files[0] == files[1]


@pytest.mark.parametrize(("codec", "container"), [("mjpeg", "mkv"), ("mjpeg", "avi"), ("libvpx", "webm")])
def test_codecs_with_fixed_matrix(codec: str, container: str, tmp_path: Path) -> None:
    """JPEG and VP8 always use BT.601."""
    green = np.full((48, 64, 3), (20, 180, 40), np.uint8)
    path = tmp_path / f"a.{container}"
    with VideoSink(path, header(colour=Colour(1, 1, 1, 1)), codec=codec) as sink:
        for number in range(3):
            sink.write(green, number, 1)
    with av.open(str(path)) as file:  # like a player that derives the matrix from the codec
        frame = next(file.decode(video=0))
        back = frame.reformat(format="rgb24", src_colorspace=5).to_ndarray()
    assert np.abs(back.astype(int) - green).max() <= 6


@pytest.mark.parametrize(
    ("name", "codec", "lines", "assumed"),
    [
        ("a.y4m", None, 48, 5), ("a.avi", "mpeg4", 48, 5), ("a.avi", "ffv1", 704, 5),
        ("a.y4m", None, 720, 1), ("a.avi", "mpeg4", 720, 1),
        ("a.avi", "libx264", 48, 1), ("a.mkv", "ffv1", 48, 1),
    ],
)  # fmt: skip
def test_untagged_output_uses_assumed_matrix(
    name: str, codec: str | None, lines: int, assumed: int, tmp_path: Path
) -> None:
    green = np.full((lines, 64, 3), (20, 180, 40), np.uint8)
    with VideoSink(path := tmp_path / name, header(64, lines, colour=Colour(1, 1, 1, 1)), codec=codec) as sink:
        for number in range(3):
            sink.write(green, number, 1)
    with av.open(str(path)) as file:
        frame = next(file.decode(video=0))
        back = frame.reformat(format="rgb24", src_colorspace=assumed).to_ndarray()
    assert np.abs(back.astype(int) - green).max() <= 6


@pytest.mark.parametrize("size", ["65535x65535", "60000"])
def test_oversized_output_is_rejected_early(size: str, tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", moving_square(3))
    with pytest.raises(UsageError, match=r"size \d+×\d+ is over \d+ pixels"):
        VideoSource(source, size=size)
    with pytest.raises(UsageError, match="over"):
        fit_size((64, 48), (60000, 60000))


def test_excess_chapters_are_noted(tmp_path: Path) -> None:
    source = write_av(tmp_path / "a.mkv", moving_square(4), chapters=301)
    with VideoSource(source) as video:
        assert video.notes == ["chapters after the first 300 are discarded"]
        assert Fraction(video.info.rate) == 25
