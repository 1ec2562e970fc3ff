"""Pictures at another frame rate, between frames: `dfc.decode(..., frame_rate=)` and `dfc decode --rate`."""

from __future__ import annotations

import dataclasses
import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from audio_tones import make_tones, tone_times, write_av_tones

import dfccodec as dfc
from dfccodec.cli.main import main
from dfccodec.codec.clip.continuous import ContinuousClip, at_rate
from dfccodec.codec.clip.decode import decode_clip
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Coding
from dfccodec.errors import UsageError
from dfccodec.media.picture import Picture
from dfccodec.media.time_range import Span


def pan(frames: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A camera that moves one pixel per frame to the right, over smooth waves: (frames, height, width, 3) uint8."""
    t, y, x, c = np.ogrid[:frames, :height, :width, :3]
    where = x + t
    waves = np.sin(where / 5 + c) + np.sin(where / 9 + y / 7) + np.sin(where / 13 - y / 4 + 2 * c)
    return np.rint(127.5 + 40 * waves).astype(np.uint8)


TWICE = pan(80)
"""A pan at 50 frames per second; the file has every second frame, 40 frames in two clips."""


def coded(mini: LoadedModel, fill: str, budget: str = "4", frames: np.ndarray = TWICE[::2]) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, model=mini, qp=8, budget=budget, fill=fill, refine=0)
    return out.getvalue()


@pytest.fixture(scope="module")
def generated(mini: LoadedModel) -> bytes:
    return coded(mini, "generate")


def decoded(data: bytes, mini: LoadedModel, rate: Any = None, **options: Any) -> np.ndarray:
    return np.stack([picture.rgb for picture in dfc.decode(data, model=mini, frame_rate=rate, **options)])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(np.mean((a.astype(float) - b) ** 2), 1e-9) / 255**2))


@pytest.mark.parametrize("fill", [None, "motion"])
def test_frames_between_frames_follow_the_motion(generated: bytes, mini: LoadedModel, fill: str | None) -> None:
    made = decoded(generated, mini, 50, fill=fill)
    assert made.shape == TWICE.shape
    plain = decoded(generated, mini, fill=fill)
    assert np.abs(made[::2].astype(int) - plain).max() <= 2  # frames of the file stay what they are
    repeated = plain.repeat(2, axis=0)
    inside = slice(8, -8)  # not what enters at the borders
    assert (
        psnr(made[1::2, :, inside], TWICE[1::2, :, inside])
        > psnr(repeated[1::2, :, inside], TWICE[1::2, :, inside]) + 2
    )


def test_kept_frames_are_exact(generated: bytes, mini: LoadedModel) -> None:
    with dfc.open(io.BytesIO(generated)) as file:
        kept = np.concatenate([clip.clip.kept for clip in file.summary.clips])
    np.testing.assert_array_equal(decoded(generated, mini, 75)[::3][kept], decoded(generated, mini)[kept])


@pytest.mark.parametrize("rate", [10, 24, Fraction(30000, 1001), 60, 61.5])
def test_number_timestamps_and_header(generated: bytes, mini: LoadedModel, rate: Any) -> None:
    decoder = dfc.decode(generated, model=mini, frame_rate=rate)
    pictures = list(decoder)
    assert len(pictures) == round(40 * Fraction(rate) / 25)
    assert [(p.pts, p.duration) for p in pictures] == [(n, 1) for n in range(len(pictures))]
    header = decoder.preamble.header
    assert Fraction(header.rate.num, header.rate.den) == Fraction(rate)
    assert Fraction(header.time_base.num, header.time_base.den) == 1 / Fraction(rate)
    assert all(p.rgb.shape == TWICE[0].shape for p in pictures)


def test_ranges(generated: bytes, mini: LoadedModel) -> None:
    every = decoded(generated, mini, 50)
    part = decoded(generated, mini, 50, span=Span.parse("#30", "#36"))
    assert part.shape[0] == 12
    assert np.abs(part.astype(int) - every[60:72]).max() <= 2


def test_a_clip_with_all_frames_kept(mini: LoadedModel) -> None:
    data = coded(mini, "generate", "all", TWICE[:12:2])
    made, plain = decoded(data, mini, 50), decoded(data, mini)
    assert made.shape == (12, *plain.shape[1:])
    np.testing.assert_array_equal(made[::2], plain)


def test_a_clip_without_kept_frames_repeats_frames(generated: bytes, mini: LoadedModel) -> None:
    reader = StreamReader(io.BytesIO(generated))
    clip = next(item.clip for item in reader if isinstance(item, ClipAt))
    nothing = {"latents": b"", "fill_payload": b"", "coding": Coding.ZSTD, "planes": 1}
    clip = dataclasses.replace(clip, kept=np.zeros(clip.frames, bool), **nothing)  # type: ignore[arg-type]
    continuous = ContinuousClip(clip, reader.preamble, mini)
    frames = decode_clip(clip, reader.preamble, mini)
    np.testing.assert_array_equal(continuous.pictures(np.array([0, 1.5, 31.9])), frames[[0, 1, 31]])


@pytest.mark.parametrize("fill", ["token", "blend"])
def test_other_fill_policies_are_refused(mini: LoadedModel, fill: str) -> None:
    data = coded(mini, fill, frames=TWICE[:4])
    with pytest.raises(UsageError, match=f"--rate needs fill policy generate, the file has {fill}: give --cfr"):
        decoded(data, mini, 50)
    with pytest.raises(UsageError, match="rate 0 is out of range"):
        decoded(data, mini, 0)


def test_frames_of_lost_clips_are_repeated(generated: bytes, mini: LoadedModel) -> None:
    with dfc.open(io.BytesIO(generated)) as file:
        second = file.summary.clips[1].offset
    damaged = bytearray(generated)
    damaged[second + 40 : second + 48] = bytes(8)
    decoder = dfc.decode(bytes(damaged), model=mini, frame_rate=50, conceal=True)
    pictures = [picture.rgb for picture in decoder]
    assert len(pictures) == 80
    assert decoder.lost_frames == [(32, 8)]
    assert np.abs(pictures[-1].astype(int) - decoded(generated, mini)[31]).max() <= 2


def stills(*times: tuple[int, int]) -> list[Picture]:
    """Pictures with their number as value, by (pts, duration)."""
    return [Picture(np.full((1, 1, 3), n, np.uint8), *time) for n, time in enumerate(times)]


@pytest.mark.parametrize(
    ("times", "rate", "shown"),
    [
        ([(0, 40), (40, 40)], 50, [0, 0, 1, 1]),
        ([(0, 40), (40, 40)], Fraction(25, 2), [0]),
        ([(0, 40), (40, 40), (80, 40)], Fraction(25, 2), [0, 2]),  # 1.5 pictures
        ([(0, 40), (40, 20)], 25, [0, 1]),
        ([(0, 10)], 10, [0]),  # less than half a picture
        ([(0, 10), (70, 30)], 50, [0, 1, 1, 1, 1]),  # a gap
        ([(1000, 40), (1040, 40)], 25, [0, 1]),
        ([], 25, []),
    ],
)
def test_constant_rate(times: list[tuple[int, int]], rate: Fraction, shown: list[int]) -> None:
    made = list(at_rate(stills(*times), Fraction(1, 1000), Fraction(rate)))
    assert [int(picture.rgb[0, 0, 0]) for picture in made] == shown
    first = round(times[0][0] * Fraction(1, 1000) * rate) if times else 0
    assert [picture.pts for picture in made] == list(range(first, first + len(shown)))


def test_command_line(mini: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, file, output = (tmp_path / name for name in ("in.mp4", "in.dfc", "out.mkv"))
    bursts = [0.2, 1.0, 1.5]
    write_av_tones(source, "aac", make_tones(2, bursts), seconds=2)
    dfc.encode(source, file, budget="1", fill="generate", refine=0)
    assert main(["decode", str(file), "-o", str(output), "--rate", "60", "--cfr", "60"]) == 2
    assert "give only one of them" in capsys.readouterr().err
    assert main(["decode", str(file), "-o", str(output), "--rate", "60"]) == 0
    with av.open(str(output)) as container:
        frames = [float(frame.time) for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 60
    np.testing.assert_allclose(frames, np.arange(120) / 60, atol=1e-3)
    np.testing.assert_allclose(tone_times(output), bursts, atol=0.005)  # audio stays as it is
    dfc.encode(source, file, budget="1", refine=0)
    assert main(["decode", str(file), "-o", str(output), "-y", "--rate", "60"]) == 2
    assert "encode with --fill generate" in capsys.readouterr().err
    assert main(["decode", str(file), "-o", str(output), "-y", "--rate", "fast"]) == 2


def test_a_look_is_that_of_frames_between_frames_too(generated: bytes, mini: LoadedModel) -> None:
    span = Span.parse("0", None, "#6")
    plain, shown = (decoded(generated, mini, rate=50, look=look, span=span) for look in (None, 0.5))
    assert shown.shape == plain.shape
    assert all(not np.array_equal(a, b) and psnr(a, b) > 25 for a, b in zip(plain, shown, strict=True))
