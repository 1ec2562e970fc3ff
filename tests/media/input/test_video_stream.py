"""Reading and writing of video: sizes, rates, timestamps, colour."""

from __future__ import annotations

import io
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from support import DATA, Pipe, moving_square, write_video

from dfccodec.container.records import Colour, Header, Ratio
from dfccodec.errors import InputError, UsageError
from dfccodec.media.input.read_frames import read_scaled
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.format import container_for_path
from dfccodec.media.output.sink import VideoSink


def header(width: int = 64, height: int = 48, rate: Fraction = Fraction(25), **more: object) -> Header:
    base = Ratio(rate.denominator, rate.numerator)
    return Header(width, height, Ratio(rate.numerator, rate.denominator), base, **more)  # type: ignore[arg-type]


def write_and_open(path: Path, frames: np.ndarray, h: Header) -> VideoSource:
    with VideoSink(path, h) as sink:
        for number, frame in enumerate(frames):
            sink.write(frame, number, 1)
    return VideoSource(path)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm", ".avi", ".y4m", ".nut", ".ts", ".m2ts"])
@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(24000, 1001)])
def test_frames_and_rate_survive_every_container(suffix: str, rate: Fraction, tmp_path: Path) -> None:
    with write_and_open(tmp_path / f"a{suffix}", moving_square(12), header(rate=rate)) as video:
        pictures = list(video)
        assert len(pictures) == 12
        assert (video.info.width, video.info.height) == (64, 48)
        assert float(video.info.rate) == pytest.approx(float(rate), rel=2e-3)
        seconds = [float(p.pts * video.info.time_base) for p in pictures]
        assert np.diff(seconds) == pytest.approx(float(1 / rate), abs=1.1e-3)


@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
def test_colours_survive_each_matrix(matrix: int, tmp_path: Path) -> None:
    bars = np.zeros((1, 48, 96, 3), np.uint8)
    for i, colour in enumerate(
        [(200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128), (235, 235, 20), (250, 250, 250)]
    ):
        bars[:, :, 16 * i : 16 * i + 16] = colour
    h = header(96, 48, colour=Colour(1, matrix, 2, matrix, 8))
    with write_and_open(tmp_path / "a.mkv", np.repeat(bars, 3, 0), h) as video:
        back = next(iter(video)).rgb
        assert video.info.colour[3] == matrix
    centres = [(24, 16 * i + 8) for i in range(6)]
    assert max(abs(int(back[p][c]) - int(bars[0][p][c])) for p in centres for c in range(3)) <= 5


def test_conversion_does_not_darken() -> None:
    grey = (
        np.random.default_rng(0)
        .integers(30, 220, (1, 12, 16, 1))
        .repeat(4, 1)
        .repeat(4, 2)
        .repeat(3, 3)
        .astype(np.uint8)
    )
    out = io.BytesIO()
    with VideoSink(out, header(), "yuv4mpegpipe") as sink:
        sink.write(grey[0], 0, 1)
    out.seek(0)
    with VideoSource(out) as video:
        assert abs(next(iter(video)).rgb.astype(float) - grey[0]).mean() < 0.5


def test_odd_sizes_in_y4m() -> None:
    out = io.BytesIO()
    with VideoSink(out, header(15, 17), "yuv4mpegpipe") as sink:
        sink.write(moving_square(1, 17, 15)[0], 0, 1)
    out.seek(0)
    with VideoSource(out) as video:
        assert next(iter(video)).rgb.shape == (17, 15, 3)


def test_variable_timestamps_become_durations(tmp_path: Path) -> None:
    stamps = [5, 6, 9, 20]
    h = Header(64, 48, Ratio(25, 1), Ratio(1, 100))
    with VideoSink(tmp_path / "a.mkv", h) as sink:
        for pts, frame in zip(stamps, moving_square(4), strict=True):
            sink.write(frame, pts, 1)
    with VideoSource(tmp_path / "a.mkv") as video:
        pictures = list(video)
        assert [round(p.pts * video.info.time_base * 100) for p in pictures] == stamps
        assert [p.pts + p.duration for p in pictures[:-1]] == [p.pts for p in pictures[1:]]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_rotation_is_undone(turns: int, tmp_path: Path) -> None:
    frames = moving_square(2)
    frames[:, :16, :16] = 255  # a corner to identify the rotation
    with write_and_open(tmp_path / "a.mkv", frames, header(rotation=turns)) as video:
        back = next(iter(video)).rgb
    assert back.shape == (48, 64, 3) if turns % 2 == 0 else (64, 48, 3)
    corner = {0: back[:8, :8], 1: back[:8, -8:], 2: back[-8:, -8:], 3: back[-8:, :8]}[turns]
    assert corner.mean() > 240


def psnr(video: VideoSource, frames: np.ndarray) -> float:
    errors = [(p.rgb.astype(float) - f) ** 2 for p, f in zip(video, frames, strict=True)]
    return float(10 * np.log10(255**2 / max(np.mean(errors), 1e-9)))


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".nut", ".ts"])
def test_quality_in_every_container(suffix: str, tmp_path: Path) -> None:
    frames = moving_square(12)
    with write_and_open(tmp_path / f"a{suffix}", frames, header()) as video:
        assert psnr(video, frames) > 41


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "libvpx", "mpeg2video", "mjpeg", "msmpeg4"])
def test_quality_of_every_encoder(codec: str, tmp_path: Path) -> None:
    frames = moving_square(12, 64, 96)
    with VideoSink(tmp_path / "a.mkv", header(96, 64), codec=codec) as sink:
        for number, frame in enumerate(frames):
            sink.write(frame, number, 1)
    with VideoSource(tmp_path / "a.mkv") as video:
        assert psnr(video, frames) > 39


def test_svt_av1_prints_nothing(tmp_path: Path) -> None:
    """Runs in its own process, because SVT-AV1 reads its log level only once."""
    code = (
        "import sys, numpy as np; from pathlib import Path; from dfccodec.media.output.sink import VideoSink; "
        "from dfccodec.container.records import Header, Ratio; "
        "sink = VideoSink(Path(sys.argv[1]), Header(96, 64, Ratio(25, 1), Ratio(1, 25)), codec='libsvtav1'); "
        "sink.__enter__().write(np.zeros((64, 96, 3), np.uint8), 0, 1); sink.__exit__(None, None, None)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.mkv")], capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")


def test_avi_keeps_frame_times(tmp_path: Path) -> None:
    stamps = [0, 1, 4, 5, 9, 10]  # frame numbers; avi repeats frames in between
    frames = moving_square(6)
    with VideoSink(tmp_path / "a.avi", header()) as sink:
        for pts, frame in zip(stamps, frames, strict=True):
            sink.write(frame, pts, 1)
    with VideoSource(tmp_path / "a.avi") as video:
        pictures = list(video)
        assert [round(p.pts * video.info.time_base * 25) for p in pictures] == stamps
    assert max(abs(p.rgb.astype(float) - f).mean() for p, f in zip(pictures, frames, strict=True)) < 3


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".nut", ".ts", ".y4m"])
def test_pixel_aspect_is_kept(suffix: str, tmp_path: Path) -> None:
    with write_and_open(tmp_path / f"a{suffix}", moving_square(3), header(pixel_aspect=Ratio(16, 15))) as video:
        assert video.info.pixel_aspect == Fraction(16, 15)
        assert len(list(video)) == 3


def test_pixel_aspect_in_y4m_pipe() -> None:
    out = io.BytesIO()
    with VideoSink(out, header(pixel_aspect=Ratio(16, 15), rotation=1), "yuv4mpegpipe") as sink:
        sink.write(moving_square(1)[0], 0, 1)
    assert b" A15:16 " in out.getvalue().splitlines()[0]


@pytest.mark.parametrize(("suffix", "codec"), [(".webm", None), (".mkv", "ffv1")])
def test_lost_pixel_aspect_is_noted(suffix: str, codec: str | None, tmp_path: Path) -> None:
    with VideoSink(tmp_path / f"a{suffix}", header(pixel_aspect=Ratio(16, 15)), codec=codec) as sink:
        assert len(sink.notes) == 1
        assert "pixels of 16:15 will be displayed square" in sink.notes[0]
    with VideoSink(tmp_path / f"b{suffix}", header(), codec=codec) as sink:
        assert sink.notes == []


@pytest.mark.parametrize("codec", ["prores_ks", "png", "libx264rgb", "mjpeg"])
def test_encoder_gets_supported_pixel_format(codec: str, tmp_path: Path) -> None:
    frames = moving_square(3)
    with VideoSink(tmp_path / "a.mov", header(), codec=codec) as sink:
        for number, frame in enumerate(frames):
            sink.write(frame, number, 1)
    with VideoSource(tmp_path / "a.mov") as video:
        assert psnr(video, frames) > 35


@pytest.mark.parametrize("codec", ["aac", "srt", "nonsense"])
def test_non_video_encoder_is_rejected(codec: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{codec} is not a video encoder: give --codec"):
        VideoSink(tmp_path / "a.mkv", header(), codec=codec)


def test_non_video_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing at all")
    with pytest.raises(InputError, match="cannot open"):
        VideoSource(tmp_path / "a.mp4")
    with pytest.raises(InputError, match="cannot open"):
        VideoSource(tmp_path / "none.mp4")
    with av.open(str(tmp_path / "s.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="audio only"):
        VideoSource(tmp_path / "s.wav")
    with pytest.raises(UsageError, match="mp4"):
        container_for_path(tmp_path / "a.txt")


def test_mp4_with_index_at_end_is_rejected_in_pipe(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 240, 320, 3), np.uint8)  # more bytes than ffmpeg buffers
    video = write_video(tmp_path / "in.mp4", noise)
    with pytest.raises(
        InputError, match="an mp4 whose index is at the end cannot come through a pipe: give the file's name"
    ):
        VideoSource(Pipe(video.read_bytes()))


def test_scaled_frames_have_the_short_side(tmp_path: Path) -> None:
    frames = read_scaled(DATA / "flower_96x64.mp4", 32, stride=10, max_frames=3)
    assert [f.shape for f in frames] == [(32, 48, 3)] * 3
    assert [f.shape for f in read_scaled(write_video(tmp_path / "a.mp4", moving_square(2, 64, 48)), 24)] == [
        (32, 24, 3)
    ] * 2


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, 3), (180, 2), (-90, 1)])
def test_phone_rotation_is_read(degrees: int, turns: int, tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", moving_square(3))
    with av.open(str(source)) as plain, av.open(str(tmp_path / "turned.mp4"), "w") as turned:
        stream = turned.add_stream_from_template(plain.streams.video[0])
        stream.set_display_rotation(degrees)  # counter-clockwise, as ffmpeg counts
        for packet in plain.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                turned.mux(packet)
    with VideoSource(tmp_path / "turned.mp4") as video:
        assert video.info.rotation == turns
