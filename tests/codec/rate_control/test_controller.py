"""Rate control of complete videos, from files and pipes: the report agrees with the file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import flat_model, moving_square

import dfccodec as dfc
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.encoder import EncodeReport
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.rate_control.allocation import TargetInterval
from dfccodec.codec.rate_control.controller import _tune_by_model
from dfccodec.codec.rate_control.rd_model import OperatingPoint, RDCost, RDModel
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.errors import DfcError, InputError, UsageError
from dfccodec.metrics.psnr import psnr

FLAT = flat_model()
FLAT.model.steps = np.full(3, 1 / 128, np.float32)  # type: ignore[misc]  # so that the QP affects the quality, as with mini


def noisy(frames: int, seed: int = 0) -> np.ndarray:
    """Return a video of 16×16 blocks that change over time. Its quality with a flat model depends on the QP."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.normal(size=(frames, 4, 6, 3)) * 12, axis=0) + rng.normal(size=(1, 4, 6, 3)) * 40 + 128
    blocks = np.clip(walk, 0, 255).repeat(16, 1).repeat(16, 2)
    return np.clip(blocks + rng.normal(size=blocks.shape), 0, 255).astype(np.uint8)


def encode_bytes(frames: Any, model: LoadedModel = FLAT, **options: Any) -> tuple[bytes, EncodeReport]:
    out = io.BytesIO()
    report = dfc.encode(frames, out, model=model, fill="lerp", **options)
    return out.getvalue(), report


def decode_frames(data: bytes) -> np.ndarray:
    return np.stack([p.rgb for p in Decoder(io.BytesIO(data), lambda _: FLAT)])


@pytest.mark.parametrize("frames", [32, 40, 300])
def test_a_target_size_is_met_and_reported_exactly(frames: int) -> None:
    video = noisy(frames)
    middle_size = len(encode_bytes(video, budget="8")[0])
    data, report = encode_bytes(video, target_size=middle_size)
    assert report.outcome is not None
    assert report.outcome.reached == report.size == len(data)
    assert abs(len(data) / middle_size - 1) <= 0.03
    assert report.frames == frames
    assert report.outcome.psnr == pytest.approx(psnr(video, decode_frames(data)), abs=1e-4)


def test_target_size_includes_estimated_base_steps() -> None:
    video = noisy(40)
    middle_size = len(encode_bytes(video, budget="8")[0])
    data, report = encode_bytes(video, flat_model(with_steps=False), target_size=middle_size)
    with dfc.open(io.BytesIO(data)) as file:
        assert len(set(file.steps.tolist())) == 3
    assert report.outcome is not None
    assert report.outcome.reached == len(data) <= middle_size


@pytest.mark.parametrize("frames", [40, 300])
def test_a_minimum_psnr_is_met(frames: int) -> None:
    video = noisy(frames)
    min_psnr = psnr(video, decode_frames(encode_bytes(video, budget="16")[0]))
    data, report = encode_bytes(video, min_psnr=min_psnr)
    assert report.outcome is not None
    assert report.outcome.met
    assert min_psnr <= psnr(video, decode_frames(data)) <= min_psnr + 0.2


def test_a_bitrate_is_met_for_a_pipe_longer_than_the_lookahead() -> None:
    video = noisy(300)
    bitrate = len(encode_bytes(video, budget="8")[0]) * 8 / 12  # 300 frames at 25 frames/s
    data, report = encode_bytes(iter(video), bitrate=bitrate)
    assert report.outcome is not None
    assert report.outcome.met
    assert len(data) * 8 / 12 == pytest.approx(report.outcome.reached)


def test_a_minimum_psnr_is_met_for_a_pipe() -> None:
    video = noisy(300)
    _, report = encode_bytes(iter(video), min_psnr=30)
    assert report.outcome is not None
    assert report.outcome.met, report.outcome


def test_target_size_rejects_long_pipes_and_accepts_short_ones() -> None:
    with pytest.raises(UsageError, match=r"--target-size 20000 .* give --bitrate, or name a file"):
        encode_bytes(iter(noisy(300)), target_size=20000)
    _, report = encode_bytes(iter(noisy(64)), target_size=len(encode_bytes(noisy(64), budget="8")[0]))
    assert report.outcome is not None
    assert report.outcome.met


def test_with_a_fixed_budget_only_the_qp_changes() -> None:
    video = noisy(40)
    middle_size = len(encode_bytes(video, budget="8")[0])
    data, _ = encode_bytes(video, budget="4", target_size=middle_size)
    clips = [item.clip for item in StreamReader(io.BytesIO(data)) if isinstance(item, ClipAt)]
    assert [int(clip.kept.sum()) for clip in clips] == [4, 1]
    assert clips[0].qp < 24


def test_lambda_gives_the_same_bytes_for_files_and_pipes() -> None:
    video = noisy(96)
    sizes = [
        len(encode_bytes(source, rd_lambda=rd_lambda)[0]) for rd_lambda in (0.1, 10) for source in (video, iter(video))
    ]
    assert sizes[0] == sizes[1] > sizes[2] == sizes[3]


def test_a_missed_strict_target_writes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.dfc"
    with pytest.raises(DfcError, match=r"--target-size 100: \d+ bytes reached .* --strict"):
        dfc.encode(noisy(32), target, model=FLAT, fill="lerp", target_size=100, strict=True)
    assert not list(tmp_path.iterdir())
    out = io.BytesIO()
    with pytest.raises(DfcError):
        dfc.encode(noisy(32), out, model=FLAT, fill="lerp", target_size=100, strict=True)
    assert not out.getvalue()
    _, report = encode_bytes(noisy(32), target_size=100)
    assert report.outcome is not None
    assert not report.outcome.met


def test_contradicting_options_are_reported() -> None:
    with pytest.raises(UsageError, match="--qp 30 and --target-size"):
        encode_bytes(noisy(4), qp=30, target_size=5000)
    with pytest.raises(UsageError, match="--budget bernoulli and --bitrate"):
        encode_bytes(noisy(4), budget="bernoulli", bitrate=5000)
    with pytest.raises(UsageError, match="no frame"):
        encode_bytes([], target_size=5000)


def test_settings_in_the_file_contain_the_target() -> None:
    data, _ = encode_bytes(noisy(4), min_psnr=30)
    assert b"--min-psnr 30 --fill lerp" in data


def test_the_default_model_meets_a_target_size() -> None:
    video = moving_square(20)
    middle_size = len(encode_default_model(video, budget="8"))
    assert abs(len(encode_default_model(video, target_size=middle_size)) / middle_size - 1) <= 0.03


def encode_default_model(video: np.ndarray, **options: Any) -> bytes:
    out = io.BytesIO()
    dfc.encode(video, out, **options)
    return out.getvalue()


class ShrinkingVideo:
    """A video that is shorter in the second pass."""

    def __init__(self) -> None:
        self.left = noisy(300)

    def __iter__(self) -> Iterator[np.ndarray]:
        current, self.left = self.left, self.left[:100]
        return iter(current)


@pytest.mark.parametrize("options", [{"target_size": 2000}, {"budget": "auto"}])
def test_a_source_that_shrinks_before_the_second_pass_is_an_error(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="shorter when it is read again"):
        encode_bytes(ShrinkingVideo(), **options)


@pytest.mark.parametrize("seed", range(3))
def test_a_minimum_psnr_that_any_qp_reaches_is_met(seed: int) -> None:
    """A single short clip has few operating points."""
    video = noisy(3, seed)
    reached = [psnr(video, decode_frames(encode_bytes(video, budget="all", qp=qp)[0])) for qp in range(64)]
    for min_psnr in np.arange(26.0, 40.0, 0.9):
        _, report = encode_bytes(video, budget="all", min_psnr=float(min_psnr))
        assert report.outcome is not None
        assert report.outcome.met == any(min_psnr <= value <= min_psnr + 0.2 for value in reached)


class SteppedTrials:
    """Trials of a clip whose sizes are multiples of 1000 bytes, unless an odd number of frames is kept."""

    def __init__(self) -> None:
        self.rd_model = RDModel(32)

    def measure(self, choice: OperatingPoint) -> RDCost:
        size = 4000 * choice.kept**0.4 * 2 ** (-choice.qp / 9)
        size = size if choice.kept % 2 else max(1000, 1000 * round(size / 1000))
        cost = RDCost(size, 50 * choice.kept**-0.3 * 2 ** (choice.qp / 10))
        self.rd_model.add(choice, cost)
        return cost


@pytest.mark.parametrize("quantity", [0, 1])
def test_another_number_of_kept_frames_is_tried_where_no_qp_meets_the_target(quantity: int) -> None:
    trials = SteppedTrials()
    for kept, qp in ((4, 8), (8, 16), (16, 24), (8, 32)):
        trials.measure(OperatingPoint(kept, qp))
    start = trials.rd_model.grid.numbers[OperatingPoint(8, 16)]
    now = trials.rd_model.measured[OperatingPoint(8, 16)]
    aim = 0.93 * now.size if quantity == 0 else 1.5 * now.error
    goal = TargetInterval(quantity, aim, 0.97 * aim, 1.03 * aim)
    (found,) = _tune_by_model([trials], (start,), goal)  # type: ignore[list-item]
    cost = trials.rd_model.measured[trials.rd_model.choices[found]]
    assert goal.miss((cost.size, cost.error)[quantity]) == 0
    assert cost.size < now.size
