"""Decoding into single pictures, odd sizes, kinds of pixels, tags and rates that a container has no place for."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from command import run
from support import decoded_into, encoded, flat_model, moving, write_av, write_video

from dfccodec.codec.decoder import Decoder
from dfccodec.container.records import Header, Ratio
from dfccodec.errors import DfcError, OutputExistsError, UsageError
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.clock import avi_rate
from dfccodec.media.output.format import check_output, fitting_tags, muxer_options
from dfccodec.media.output.sink import VideoSink
from dfccodec.runtime.atomic_output import existing_images, replacing_images

QUICK = ["--fill", "token", "--refine", "0", "--budget", "1"]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".ppm", ".tif", ".webp"])
def test_a_series_of_pictures_comes_back(suffix: str, tmp_path: Path) -> None:
    coded = encoded(write_video(tmp_path / "in.mp4", moving(3, 33, 47)))
    with replacing_images(tmp_path / "new" / "frames" / f"f%03d{suffix}") as pattern:
        decoded_into(pattern, coded)
        assert not (tmp_path / "new").exists()  # not before all are there
    assert sorted(p.name for p in (tmp_path / "new" / "frames").iterdir()) == [f"f00{n}{suffix}" for n in (1, 2, 3)]
    wanted = [p.rgb.astype(int) for p in Decoder(io.BytesIO(coded), lambda _: flat_model())]
    with VideoSource(tmp_path / "new" / "frames" / f"f%03d{suffix}") as video:
        found = [p.rgb.astype(int) for p in video]
    assert [f.shape for f in found] == [(33, 47, 3)] * 3
    worst = max(np.abs(f - w).mean() for f, w in zip(found, wanted, strict=True))
    assert worst < (8 if suffix in (".jpg", ".webp") else 0.5 if suffix != ".png" else 1e-9)


def test_nothing_is_left_of_pictures_that_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), replacing_images(tmp_path / "f" / "%d.png") as pattern:  # noqa: PT012
        (pattern.parent / "1.png").write_bytes(b"x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_pictures_on_the_command_line(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", moving(4))
    assert run("encode", source, "-o", tmp_path / "a.dfc", *QUICK).returncode == 0
    many = ["decode", tmp_path / "a.dfc", "-o", tmp_path / "p" / "%02d.png"]
    assert run(*many).returncode == 0
    assert len(existing_images(tmp_path / "p" / "%02d.png")) == 4
    again = run(*many)
    assert (again.returncode, b"give -y to overwrite" in again.stderr) == (6, True)
    assert run(*many, "-y").returncode == 0
    one = ["decode", tmp_path / "a.dfc", "-o", tmp_path / "one.png"]
    refused = run(*one)
    assert (refused.returncode, b"one.png is one picture, and the video has more" in refused.stderr) == (2, True)
    assert not (tmp_path / "one.png").exists()
    assert run(*one, "--start", "#2", "--duration", "#1").returncode == 0
    assert (tmp_path / "one.png").read_bytes()[1:4] == b"PNG"
    assert run("decode", tmp_path / "a.dfc", "-o", "-", "--format", "image2").returncode == 2


@pytest.mark.parametrize("name", ["%d%d.png", "%s.png", "a%d/b%d.png"])
def test_a_series_is_numbered_once(name: str) -> None:
    with pytest.raises(UsageError, match="number them once in the name"):
        check_output(Path(name))


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_odd_sizes_play_everywhere(codec: str, tmp_path: Path) -> None:
    coded = encoded(write_video(tmp_path / "in.mkv", moving(2, 33, 67), codec="ffv1"))
    (note,) = decoded_into(tmp_path / "a.mp4", coded, codec=codec)
    assert note.startswith("67×33 becomes 68×34, the edge repeated")
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream: Any = container.streams.video[0]
        assert (stream.width, stream.height, stream.pix_fmt) == (68, 34, "yuv420p")
        picture = next(container.decode(stream)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(picture[33] - picture[32]).mean() < 3
    assert decoded_into(tmp_path / "b.mp4", coded, codec=codec, pix_fmt="yuv444p") == []
    with VideoSource(tmp_path / "b.mp4") as video:
        assert (video.info.width, video.info.height) == (67, 33)


def test_x265_is_kept_from_widths_that_ruin_its_memory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="libx265 does not code pictures 47 pixels wide"):
        VideoSink(tmp_path / "a.mp4", Header(47, 33, Ratio(25, 1), Ratio(1, 25)), codec="libx265")


def test_pixels_that_an_encoder_does_not_take_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"libx264 does not take pixels rgb24: give --pix-fmt one of yuv420p, "):
        VideoSink(tmp_path / "a.mp4", Header(64, 48, Ratio(25, 1), Ratio(1, 25)), pix_fmt="rgb24")


PHONE = {"com.apple.quicktime.make": "Apple", "com.apple.quicktime.creationdate": "2026-11-28T10:00:00+0100"}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_tags_of_phones_are_kept(suffix: str, tmp_path: Path) -> None:
    coded = encoded(write_av(tmp_path / "in.mkv", moving(2), tags={**PHONE, "title": "Day"}))
    decoded_into(tmp_path / f"a{suffix}", coded)
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert {**PHONE, "title": "Day"}.items() <= found.items()


def test_common_tags_stay_where_players_look() -> None:
    assert muxer_options("mp4", [("title", "Day"), ("CHAPTER001", "00:00:00.000"), ("TRACK001NAME", "x")]) == {}
    assert muxer_options("matroska", list(PHONE.items())) == {}


@pytest.mark.parametrize(("rate", "kept"), [(25, True), (Fraction(30000, 1001), True), (1000, False), (20, False)])
def test_a_timecode_goes_where_it_can_be_counted(rate: Fraction, kept: bool, tmp_path: Path) -> None:
    exact = Fraction(rate)
    header = Header(64, 48, Ratio(exact.numerator, exact.denominator), Ratio(exact.denominator, exact.numerator))
    with VideoSink(tmp_path / "a.mp4", header, tags=[("timecode", "01:00:00:00")]) as sink:
        for number, frame in enumerate(moving(3)):
            sink.write(frame, number, 1)
    assert bool(sink.notes) is not kept
    assert fitting_tags([("timecode", "x")], "matroska", exact) == ([("timecode", "x")], "")


def test_avi_has_a_rate_that_its_encoder_takes(tmp_path: Path) -> None:
    rate = Fraction(320000, 10667)  # of a phone: 30 frames a second in ticks of a millisecond
    assert abs(avi_rate(rate) / rate - 1) < 1e-6
    assert avi_rate(Fraction(30000, 1001)) == Fraction(30000, 1001)
    header = Header(64, 48, Ratio(rate.numerator, rate.denominator), Ratio(1, 1000))
    with VideoSink(tmp_path / "a.avi", header) as sink:
        for number, frame in enumerate(moving(30)):
            sink.write(frame, round(number * 1000 / 30), 33)
    with VideoSource(tmp_path / "a.avi") as video:
        assert len(list(video)) == 30


def test_avi_keeps_the_time_of_frames_that_come_unevenly(tmp_path: Path) -> None:
    stamps = [*range(0, 3000, 33), *range(3000, 6000, 100)]  # 30 frames a second, then 10: 20 on average
    header = Header(64, 48, Ratio(20, 1), Ratio(1, 1000))
    with VideoSink(tmp_path / "a.avi", header) as sink:
        for stamp in stamps:
            frame = np.full((48, 64, 3), 255 if stamp == 4500 else 0, np.uint8)
            sink.write(frame, stamp, 33 if stamp < 3000 else 100)
    assert "frames come too soon for the one rate of avi, 20 frames/s" in sink.notes[-1]
    with VideoSource(tmp_path / "a.avi") as video:
        flash = next(p.pts for p in video if p.rgb.mean() > 200)
        assert float(flash * video.info.time_base) == pytest.approx(4.5, abs=0.06)


def test_an_existing_picture_of_the_series_is_not_lost(tmp_path: Path) -> None:
    from dfccodec.cli.common import check_output as check

    (tmp_path / "07.png").touch()
    with pytest.raises(OutputExistsError, match=r"has 07\.png and others already"):
        check(str(tmp_path / "%02d.png"), False, "in.dfc", kind="")
    check(str(tmp_path / "%02d.jpg"), False, "in.dfc", kind="")


def test_what_avi_leaves_out_is_said_on_the_command_line(tmp_path: Path) -> None:
    stamps = [*range(0, 1000, 33), *range(1000, 3000, 100)]
    header = Header(64, 48, Ratio(20, 1), Ratio(1, 1000))
    with VideoSink(tmp_path / "in.mkv", header) as sink:
        for stamp, frame in zip(stamps, moving(len(stamps)), strict=True):
            sink.write(frame, stamp, 33)
    assert run("encode", tmp_path / "in.mkv", "-o", tmp_path / "a.dfc", *QUICK).returncode == 0
    assert (
        b"frames come too soon for the one rate of avi"
        in run("decode", tmp_path / "a.dfc", "-o", tmp_path / "a.avi").stderr
    )


def test_a_size_that_an_encoder_does_not_take_is_named(tmp_path: Path) -> None:
    header = Header(8192, 2, Ratio(25, 1), Ratio(1, 25))
    with (
        pytest.raises(DfcError, match="mpeg4 does not take pictures of 8192×2, or their rate: another --codec"),
        VideoSink(tmp_path / "a.avi", header) as sink,
    ):
        sink.write(np.zeros((2, 8192, 3), np.uint8), 0, 1)
