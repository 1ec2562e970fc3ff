"""Rate control of whole videos: files, pipes, short ones; what is promised is what is in the file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import flat_model, moving

import dfccodec as dfc
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.encoder import EncodeReport
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.errors import DfcError, InputError, UsageError
from dfccodec.metrics.psnr import psnr

FLAT = flat_model()
FLAT.model.steps = np.full(3, 1 / 128, np.float32)  # type: ignore[misc]  # so that QPs matter, as those of mini do


def noisy(frames: int, seed: int = 0) -> np.ndarray:
    """A busy video that a flat model can do better or worse at: blocks of 16×16 that change over time."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(size=(frames, 4, 6, 3)) * 12, axis=0) + rng.normal(size=(1, 4, 6, 3)) * 40 + 128
    blocks = np.clip(walk, 0, 255).repeat(16, 1).repeat(16, 2)
    return np.clip(blocks + rng.normal(size=blocks.shape), 0, 255).astype(np.uint8)


def encoded(frames: Any, model: LoadedModel = FLAT, **options: Any) -> tuple[bytes, EncodeReport]:
    out = io.BytesIO()
    report = dfc.encode(frames, out, model=model, fill="lerp", **options)
    return out.getvalue(), report


def decoded(data: bytes) -> np.ndarray:
    return np.stack([p.rgb for p in Decoder(io.BytesIO(data), lambda _: FLAT)])


@pytest.mark.parametrize("frames", [32, 40, 300])
def test_a_size_is_met_and_counted_exactly(frames: int) -> None:
    video = noisy(frames)
    middle = len(encoded(video, budget="8")[0])
    data, report = encoded(video, target_size=middle)
    assert report.outcome is not None
    assert report.outcome.reached == report.size == len(data)
    assert abs(len(data) / middle - 1) <= 0.03
    assert report.frames == frames
    assert report.outcome.psnr == pytest.approx(psnr(video, decoded(data)), abs=1e-4)


def test_steps_that_are_measured_count_towards_a_size() -> None:
    video = noisy(40)
    middle = len(encoded(video, budget="8")[0])
    data, report = encoded(video, flat_model(with_steps=False), target_size=middle)
    with dfc.open(io.BytesIO(data)) as file:
        assert len(set(file.steps.tolist())) == 3
    assert report.outcome is not None
    assert report.outcome.reached == len(data) <= middle


@pytest.mark.parametrize("frames", [40, 300])
def test_a_quality_is_met(frames: int) -> None:
    video = noisy(frames)
    wanted = psnr(video, decoded(encoded(video, budget="16")[0]))
    data, report = encoded(video, min_psnr=wanted)
    assert report.outcome is not None
    assert report.outcome.met
    assert wanted <= psnr(video, decoded(data)) <= wanted + 0.2


def test_a_bitrate_is_met_in_a_pipe_longer_than_the_window() -> None:
    video = noisy(300)
    wanted = len(encoded(video, budget="8")[0]) * 8 / 12  # 300 frames at 25 a second
    data, report = encoded(iter(video), bitrate=wanted)
    assert report.outcome is not None
    assert report.outcome.met
    assert len(data) * 8 / 12 == pytest.approx(report.outcome.reached)


def test_a_quality_is_met_in_a_pipe() -> None:
    video = noisy(300)
    _, report = encoded(iter(video), min_psnr=30)
    assert report.outcome is not None
    assert report.outcome.met, report.outcome


def test_a_size_of_a_long_pipe_is_refused_and_of_a_short_one_met() -> None:
    with pytest.raises(UsageError, match=r"--target-size 20000 .* give --bitrate, or name a file"):
        encoded(iter(noisy(300)), target_size=20000)
    _, report = encoded(iter(noisy(64)), target_size=len(encoded(noisy(64), budget="8")[0]))
    assert report.outcome is not None
    assert report.outcome.met


def test_a_fixed_budget_leaves_only_the_qp() -> None:
    video = noisy(40)
    middle = len(encoded(video, budget="8")[0])
    data, _ = encoded(video, budget="4", target_size=middle)
    clips = [item.clip for item in StreamReader(io.BytesIO(data)) if isinstance(item, ClipAt)]
    assert [int(clip.kept.sum()) for clip in clips] == [4, 1]
    assert clips[0].qp < 24


def test_a_price_is_obeyed_clip_by_clip() -> None:
    video = noisy(96)
    sizes = [len(encoded(source, rd_lambda=price)[0]) for price in (0.1, 10) for source in (video, iter(video))]
    assert sizes[0] == sizes[1] > sizes[2] == sizes[3]


def test_a_strict_target_that_is_missed_writes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.dfc"
    with pytest.raises(DfcError, match=r"--target-size 100: \d+ bytes reached .* --strict"):
        dfc.encode(noisy(32), target, model=FLAT, fill="lerp", target_size=100, strict=True)
    assert not list(tmp_path.iterdir())
    out = io.BytesIO()
    with pytest.raises(DfcError):
        dfc.encode(noisy(32), out, model=FLAT, fill="lerp", target_size=100, strict=True)
    assert not out.getvalue()
    _, report = encoded(noisy(32), target_size=100)
    assert report.outcome is not None
    assert not report.outcome.met


def test_contradictions_are_named() -> None:
    with pytest.raises(UsageError, match="--qp 30 and --target-size"):
        encoded(noisy(4), qp=30, target_size=5000)
    with pytest.raises(UsageError, match="--budget bernoulli and --bitrate"):
        encoded(noisy(4), budget="bernoulli", bitrate=5000)
    with pytest.raises(UsageError, match="no frame"):
        encoded([], target_size=5000)


def test_settings_in_the_file_name_the_target() -> None:
    data, _ = encoded(noisy(4), min_psnr=30)
    assert b"--min-psnr 30 --fill lerp" in data


def test_the_default_model_with_motion_meets_a_size() -> None:
    video = moving(20)
    middle = len(dfc_bytes(video, budget="8"))
    assert abs(len(dfc_bytes(video, target_size=middle)) / middle - 1) <= 0.03


def dfc_bytes(video: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    dfc.encode(video, out, **options)
    return out.getvalue()


class Shrinking:
    """A video that has lost its end when it is read again."""

    def __init__(self) -> None:
        self.left = noisy(300)

    def __iter__(self) -> Iterator[np.ndarray]:
        now, self.left = self.left, self.left[:100]
        return iter(now)


@pytest.mark.parametrize("options", [{"target_size": 2000}, {"budget": "auto"}])
def test_a_video_that_changes_between_two_looks_is_an_error(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="shorter when it is read again"):
        encoded(Shrinking(), **options)


@pytest.mark.parametrize("seed", range(3))
def test_a_minimum_that_a_neighbouring_qp_meets_is_met(seed: int) -> None:
    """Of one short clip, whose curve has few points."""
    video = noisy(3, seed)
    reached = [psnr(video, decoded(encoded(video, budget="all", qp=qp)[0])) for qp in range(64)]
    for wanted in np.arange(26.0, 40.0, 0.9):
        _, report = encoded(video, budget="all", min_psnr=float(wanted))
        assert report.outcome is not None
        assert report.outcome.met == any(wanted <= value <= wanted + 0.2 for value in reached)
