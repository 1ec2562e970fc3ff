"""Frames are converted to a frame rate, scaled and cropped, in this order."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support import DATA, encode_source, flat_model, moving_square, write_av, write_video

import dfccodec as dfc
from dfccodec.errors import UsageError
from dfccodec.media.input.source import VideoSource
from dfccodec.media.scale import centre_crop, parse_size

FLOWER = DATA / "flower_96x64.mp4"


@pytest.mark.parametrize(
    ("wanted", "rotation", "shape"),
    [
        ("32x16", 0, (16, 32)),
        (40, 0, (40, 40)),
        ((20, 30), 0, (30, 20)),
        ("32x16", 1, (32, 16)),
        ("96x64", 0, (64, 96)),
    ],
)
def test_a_crop_is_the_centre(wanted: object, rotation: int, shape: tuple[int, int]) -> None:
    rows, columns = centre_crop((96, 64), wanted, rotation)  # type: ignore[arg-type]
    assert (rows.stop - rows.start, columns.stop - columns.start) == shape
    assert abs(rows.start - (64 - rows.stop)) <= 1
    assert abs(columns.start - (96 - columns.stop)) <= 1


def test_cropped_frames_are_parts_of_the_frames() -> None:
    with VideoSource(str(FLOWER)) as whole, VideoSource(FLOWER, crop="48x32") as part:
        assert (part.info.width, part.info.height) == (48, 32)
        for before, after in zip(whole, part, strict=True):
            np.testing.assert_array_equal(after.rgb, before.rgb[16:48, 24:72])
            assert (after.pts, after.duration) == (before.pts, before.duration)


def test_size_comes_before_the_crop() -> None:
    with VideoSource(FLOWER, size=32, crop=32) as video:
        assert (video.info.width, video.info.height, video.info.source_size) == (32, 32, (96, 64))
        assert next(iter(video)).rgb.shape == (32, 32, 3)
        assert video.info.pixel_aspect == 1  # nothing is stretched


@pytest.mark.parametrize(("fps", "frames"), [(10, 24), ("30", 72), (Fraction(25, 2), 30)])
def test_frames_are_left_out_or_repeated(fps: object, frames: int, tmp_path: Path) -> None:
    write_video(tmp_path / "in.mp4", moving_square(60), Fraction(25))
    with VideoSource(tmp_path / "in.mp4", fps=fps) as video:  # type: ignore[arg-type]
        assert video.info.rate == Fraction(fps)  # type: ignore[arg-type]
        assert video.info.frames == frames
        found = [(picture.pts, picture.duration) for picture in video]
    assert found == [(number, 1) for number in range(frames)]


def test_a_converted_video_keeps_its_length_and_sound(tmp_path: Path) -> None:
    write_av(tmp_path / "in.mp4", moving_square(50), audio=["aac"])
    for data in (encode_source(tmp_path / "in.mp4"), encode_source(tmp_path / "in.mp4", fps=5, crop="32x32")):
        with dfc.open(data) as file:
            seconds = sum(sum(c.record.durations) * (1 if len(c.record.durations) > 1 else len(c.kept)) for c in file)
            assert float(seconds * Fraction(file.header.time_base.num, file.header.time_base.den)) == 2
            assert len(file.summary.streams) == 1
    assert (file.width, file.height, file.frames) == (32, 32, 10)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"crop": "200x20"}, r"crop 200x20 is larger than the picture of 96×64: .* --size"),
        ({"crop": "wide"}, "size 'wide' is not understood"),
        ({"fps": "fast"}, "rate 'fast' is not understood"),
        ({"fps": 0}, "rate 0 is not understood"),
        ({"size": 0}, "size '0' is not understood"),
        ({"size": (64, 0)}, "size '64x0' is not understood"),
    ],
)
def test_bad_shapes(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        encode_source(FLOWER, **options)


def test_arrays_are_not_converted() -> None:
    with pytest.raises(UsageError, match="span, size, crop, fps and video are for files"):
        dfc.encode(moving_square(2), io.BytesIO(), model=flat_model(), crop=16)


def test_sizes_are_numbers_or_text() -> None:
    assert parse_size(480) == parse_size("480") == (480, 0)
    assert parse_size((640, 360)) == parse_size("640x360") == (640, 360)


def test_the_preset_for_latents_leaves_tracks_out(tmp_path: Path) -> None:
    write_av(tmp_path / "in.mkv", moving_square(10), audio=["aac"], subtitles="subrip")
    for audio, subtitles, kinds in ((None, None, 0), (True, None, 1), (True, True, 2)):
        out = io.BytesIO()
        dfc.encode(
            tmp_path / "in.mkv",
            out,
            model=flat_model(),
            preset="latents",
            audio=audio,
            subtitles=subtitles,
            budget=0.25,
        )
        with dfc.open(out.getvalue()) as file:
            assert len(file.summary.streams) == kinds
            assert file.kept == 3  # a quarter, rounded
