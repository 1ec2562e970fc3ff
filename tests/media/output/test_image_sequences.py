"""Image sequences as output, odd sizes, pixel formats, and tags and rates that containers cannot store."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from command import run
from support import decode_to, encode_source, flat_model, moving_square, write_av, write_video

from dfccodec.codec.decoder import Decoder
from dfccodec.container.records import Header, Ratio
from dfccodec.errors import DfcError, OutputExistsError, UsageError
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.clock import avi_rate
from dfccodec.media.output.format import container_for_path, muxer_options, select_tags
from dfccodec.media.output.sink import VideoSink
from dfccodec.runtime.atomic_output import existing_images, replacing_images

QUICK = ["--fill", "token", "--refine", "0", "--budget", "1"]


@pytest.mark.parametrize(("name", "codec"), [("a%d.jpg", "png"), ("a%d.png", "mjpeg"), ("a.png", "apng")])
def test_a_codec_that_the_suffix_does_not_name_is_refused(name: str, codec: str, tmp_path: Path) -> None:
    header = Header(16, 16, Ratio(25, 1), Ratio(1, 25), clip_frames=32)
    with pytest.raises(UsageError, match="files are not coded by"):
        VideoSink(tmp_path / name, header, codec=codec)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".ppm", ".tif", ".webp"])
def test_a_series_of_pictures_comes_back(suffix: str, tmp_path: Path) -> None:
    coded = encode_source(write_video(tmp_path / "in.mp4", moving_square(3, 33, 47)))
    with replacing_images(tmp_path / "new" / "frames" / f"f%03d{suffix}") as pattern:
        decode_to(pattern, coded)
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


def test_image_sequence_on_command_line(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", moving_square(4))
    assert run("encode", source, "-o", tmp_path / "a.dfc", *QUICK).returncode == 0
    many = ["decode", tmp_path / "a.dfc", "-o", tmp_path / "p" / "%02d.png"]
    assert run(*many).returncode == 0
    assert len(existing_images(tmp_path / "p" / "%02d.png")) == 4
    again = run(*many)
    assert (again.returncode, b"give -y to overwrite" in again.stderr) == (6, True)
    assert run(*many, "-y").returncode == 0
    one = ["decode", tmp_path / "a.dfc", "-o", tmp_path / "one.png"]
    refused = run(*one)
    assert (refused.returncode, b"one.png is a single picture, but the video has more" in refused.stderr) == (2, True)
    assert not (tmp_path / "one.png").exists()
    assert run(*one, "--start", "#2", "--duration", "#1").returncode == 0
    assert (tmp_path / "one.png").read_bytes()[1:4] == b"PNG"
    assert run("decode", tmp_path / "a.dfc", "-o", "-", "--format", "image2").returncode == 2


@pytest.mark.parametrize("name", ["%d%d.png", "%s.png", "a%d/b%d.png"])
def test_image_sequence_needs_one_number(name: str) -> None:
    with pytest.raises(UsageError, match="use exactly one number in the name"):
        container_for_path(Path(name))


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_odd_sizes_are_padded(codec: str, tmp_path: Path) -> None:
    coded = encode_source(write_video(tmp_path / "in.mkv", moving_square(2, 33, 67), codec="ffv1"))
    (note,) = decode_to(tmp_path / "a.mp4", coded, codec=codec)
    assert note.startswith("67×33 becomes 68×34, with the edge repeated")
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream: Any = container.streams.video[0]
        assert (stream.width, stream.height, stream.pix_fmt) == (68, 34, "yuv420p")
        picture = next(container.decode(stream)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(picture[33] - picture[32]).mean() < 3
    assert decode_to(tmp_path / "b.mp4", coded, codec=codec, pix_fmt="yuv444p") == []
    with VideoSource(tmp_path / "b.mp4") as video:
        assert (video.info.width, video.info.height) == (67, 33)


def test_x265_unsafe_widths_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="libx265 cannot code pictures 47 pixels wide"):
        VideoSink(tmp_path / "a.mp4", Header(47, 33, Ratio(25, 1), Ratio(1, 25)), codec="libx265")


def test_unsupported_pixel_format_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"libx264 does not support pixel format rgb24: give --pix-fmt one of yuv420p, "
    ):
        VideoSink(tmp_path / "a.mp4", Header(64, 48, Ratio(25, 1), Ratio(1, 25)), pix_fmt="rgb24")


PHONE = {"com.apple.quicktime.make": "Apple", "com.apple.quicktime.creationdate": "2026-11-28T10:00:00+0100"}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_phone_tags_are_kept(suffix: str, tmp_path: Path) -> None:
    coded = encode_source(write_av(tmp_path / "in.mkv", moving_square(2), tags={**PHONE, "title": "Day"}))
    decode_to(tmp_path / f"a{suffix}", coded)
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        found = {key.lower(): value for key, value in container.metadata.items()}
    assert {**PHONE, "title": "Day"}.items() <= found.items()


def test_common_tags_use_default_location() -> None:
    assert muxer_options("mp4", [("title", "Day"), ("CHAPTER001", "00:00:00.000"), ("TRACK001NAME", "x")]) == {}
    assert muxer_options("matroska", list(PHONE.items())) == {}


@pytest.mark.parametrize(("rate", "kept"), [(25, True), (Fraction(30000, 1001), True), (1000, False), (20, False)])
def test_timecode_is_kept_at_supported_rates(rate: Fraction, kept: bool, tmp_path: Path) -> None:
    exact = Fraction(rate)
    header = Header(64, 48, Ratio(exact.numerator, exact.denominator), Ratio(exact.denominator, exact.numerator))
    with VideoSink(tmp_path / "a.mp4", header, tags=[("timecode", "01:00:00:00")]) as sink:
        for number, frame in enumerate(moving_square(3)):
            sink.write(frame, number, 1)
    assert bool(sink.notes) is not kept
    assert select_tags([("timecode", "x")], "matroska", exact) == ([("timecode", "x")], "")


def test_avi_rate_is_supported_by_encoder(tmp_path: Path) -> None:
    rate = Fraction(320000, 10667)  # of a phone: 30 frames/s in units of a millisecond
    assert abs(avi_rate(rate) / rate - 1) < 1e-6
    assert avi_rate(Fraction(30000, 1001)) == Fraction(30000, 1001)
    header = Header(64, 48, Ratio(rate.numerator, rate.denominator), Ratio(1, 1000))
    with VideoSink(tmp_path / "a.avi", header) as sink:
        for number, frame in enumerate(moving_square(30)):
            sink.write(frame, round(number * 1000 / 30), 33)
    with VideoSource(tmp_path / "a.avi") as video:
        assert len(list(video)) == 30


def test_avi_keeps_uneven_timestamps(tmp_path: Path) -> None:
    stamps = [*range(0, 3000, 33), *range(3000, 6000, 100)]  # 30 frames/s, then 10; 20 on average
    header = Header(64, 48, Ratio(20, 1), Ratio(1, 1000))
    with VideoSink(tmp_path / "a.avi", header) as sink:
        for stamp in stamps:
            frame = np.full((48, 64, 3), 255 if stamp == 4500 else 0, np.uint8)
            sink.write(frame, stamp, 33 if stamp < 3000 else 100)
    assert "frames come too soon for the constant rate of avi, 20 frames/s" in sink.notes[-1]
    with VideoSource(tmp_path / "a.avi") as video:
        flash = next(p.pts for p in video if p.rgb.mean() > 200)
        assert float(flash * video.info.time_base) == pytest.approx(4.5, abs=0.06)


def test_existing_image_is_not_overwritten(tmp_path: Path) -> None:
    from dfccodec.cli.common import check_output as check

    (tmp_path / "07.png").touch()
    with pytest.raises(OutputExistsError, match=r"such as 07\.png, exist"):
        check(str(tmp_path / "%02d.png"), False, "in.dfc", kind="")
    check(str(tmp_path / "%02d.jpg"), False, "in.dfc", kind="")


def test_frames_discarded_in_avi_are_reported(tmp_path: Path) -> None:
    stamps = [*range(0, 1000, 33), *range(1000, 3000, 100)]
    header = Header(64, 48, Ratio(20, 1), Ratio(1, 1000))
    with VideoSink(tmp_path / "in.mkv", header) as sink:
        for stamp, frame in zip(stamps, moving_square(len(stamps)), strict=True):
            sink.write(frame, stamp, 33)
    assert run("encode", tmp_path / "in.mkv", "-o", tmp_path / "a.dfc", *QUICK).returncode == 0
    assert (
        b"frames come too soon for the constant rate of avi"
        in run("decode", tmp_path / "a.dfc", "-o", tmp_path / "a.avi").stderr
    )


def test_unsupported_encoder_size_is_reported(tmp_path: Path) -> None:
    header = Header(8192, 2, Ratio(25, 1), Ratio(1, 25))
    with (
        pytest.raises(DfcError, match="mpeg4 may not support 8192×2 or the frame rate: try another --codec"),
        VideoSink(tmp_path / "a.avi", header) as sink,
    ):
        sink.write(np.zeros((2, 8192, 3), np.uint8), 0, 1)
