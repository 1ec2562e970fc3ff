"""Budget `auto`: temporal rate selection, alone and in encodes."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support import flat_model

import dfccodec as dfc
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.rate_control.temporal_rate import alphas, best_rates
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.errors import UsageError

FLAT = flat_model()
STILL, BUSY = [38.0, 38.0, 37.9], [30.0, 26.0, 21.0]


def test_alphas_follow_the_formula_of_the_paper() -> None:
    quality = np.array([STILL, BUSY, [33.0, 31.0, 28.0]])
    spread = quality.std(axis=1)
    expected = 0.5 * (quality.mean(axis=1) - 21) / (38 - 21) + 0.5 * (1 - spread / spread.max())
    assert alphas(quality) == pytest.approx(expected)
    assert alphas(np.full((2, 3), 30.0)) == pytest.approx([0.5, 0.5])


def test_static_segments_get_high_rates_and_busy_ones_low() -> None:
    assert best_rates(np.array([STILL, BUSY]), (4, 8, 16), 1.5).tolist() == [2, 0]


def test_a_larger_weight_never_lowers_a_rate() -> None:
    quality = np.sort(np.random.default_rng(0).normal(30, 4, (20, 4)))[:, ::-1]
    chosen = [best_rates(quality, (2, 4, 8, 16), w) for w in (0, 1, 1.5, 2, 4)]
    for low, high in pairwise(chosen):
        assert (low <= high).all()


def video(frames: int) -> np.ndarray:
    """Return clips that alternate between static and moving. The frames that `FlatModel` keeps move as well."""
    frame_in_clip = np.arange(frames)[:, None, None, None] % 32
    ramp = 20 + frame_in_clip * 7 + np.random.default_rng(1).integers(0, 10, (1, 3, 4, 3))
    ramp[(np.arange(frames) // 32) % 2 == 0] = 100
    return ramp.astype(np.uint8).repeat(16, 1).repeat(16, 2)


def count_kept(source: Any, budget: str) -> list[int]:
    out = io.BytesIO()
    dfc.encode(source, out, model=FLAT, fill="lerp", budget=budget)
    return [int(i.clip.kept.sum()) for i in StreamReader(io.BytesIO(out.getvalue())) if isinstance(i, ClipAt)]


@pytest.mark.parametrize("frames", [64, 320])
def test_kept_frames_follow_the_content_of_each_clip(frames: int) -> None:
    assert count_kept(video(frames), "auto") == [2, 8] * (frames // 64)
    assert count_kept(video(frames), "auto:1.5:2,4") == [8, 16] * (frames // 64)


def test_a_pipe_is_normalized_over_the_lookahead() -> None:
    assert count_kept(iter(video(330)), "auto") == [2, 8] * 5 + [1]


def test_budget_auto_needs_frames_and_excludes_targets() -> None:
    with pytest.raises(UsageError, match=r"auto:1.5 needs the frames"):
        Budget.parse("auto").choose(np.zeros(4, np.uint8), 32, np.random.default_rng(0))
    with pytest.raises(UsageError, match=r"--budget auto:1.5 and --target-size"):
        dfc.encode(video(4), io.BytesIO(), model=FLAT, budget="auto", target_size=500)
