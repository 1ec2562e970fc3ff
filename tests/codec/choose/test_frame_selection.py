"""Ways of choosing frames: costs of gaps, importance in their order, moves that are tried."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from support import flat_model, moving

import dfccodec as dfc
from dfccodec.codec.choose.budgets import top_k
from dfccodec.codec.choose.frame_selection import choice_cost, greedy, motion_costs, parse, reorder_importance
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Clip
from dfccodec.errors import UsageError
from dfccodec.models.importance import optimal_selection


def sliding(frames: int, step: int = 4, height: int = 64, width: int = 64) -> np.ndarray:
    """A texture that moves by `step` pixels a frame."""
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, (height // 8, (width + step * frames) // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)
    return np.stack([whole[:, t * step : t * step + width] for t in range(frames)]).astype(np.uint8)


def clips_of(video: np.ndarray, **options: Any) -> list[Clip]:
    out = io.BytesIO()
    dfc.encode(video, out, refine=0, **options)
    return [item.clip for item in StreamReader(io.BytesIO(out.getvalue())) if isinstance(item, ClipAt)]


def test_costs_of_gaps_know_motion() -> None:
    still, slides = np.repeat(sliding(1), 6, axis=0), sliding(6)
    other = slides[[0, 1, 2, 3, 4, 5]].copy()
    other[1:5] = 255 - other[1:5]
    costs = [motion_costs(v) for v in (still, slides, other)]
    for cost in costs:
        assert np.isinf(cost[0, -1])
        assert (np.diag(cost, 1) == 0).all()
        assert np.isinf(cost[np.tri(8, dtype=bool)]).all()
    assert costs[0][1, 6] == 0
    assert costs[1][1, 6] < 0.3 * costs[2][1, 6]


def test_a_cut_is_not_bridged() -> None:
    video = np.concatenate([np.repeat(sliding(1), 8, axis=0), 255 - np.repeat(sliding(1), 8, axis=0)])
    kept = optimal_selection(motion_costs(video), 2)
    assert kept[:8].sum() == kept[8:].sum() == 1


def test_importance_follows_the_best_choice_and_trims_in_order() -> None:
    costs = motion_costs(sliding(12, 3))
    importance = reorder_importance(np.full(12, 254, np.uint8), costs, 4)
    assert len(set(importance.tolist())) == 12
    assert (top_k(importance, 4) == optimal_selection(costs, 4)).all()
    assert importance.max() <= 255
    few = top_k(reorder_importance(np.zeros(12, np.uint8), costs, None), 3)
    assert (few == optimal_selection(costs, 3)).all()


def test_greedy_keeps_what_really_pays_and_only_that() -> None:
    costs = motion_costs(sliding(10, 3))
    begin = reorder_importance(np.arange(10, dtype=np.uint8), costs, 3)
    liked = np.zeros(10, bool)
    liked[[0, 1, 2]] = True  # what "really coding" prefers, against all costs
    asked = []

    def price(kept: np.ndarray) -> float:
        asked.append(choice_cost(kept, costs))
        return -float((kept & liked).sum())

    end = greedy([begin], costs, 3, price, tries=100)
    assert (top_k(end, 3) == liked).all()
    assert len(asked) <= 101
    same = greedy([begin, begin[::-1]], costs, 3, lambda kept: 0.0, tries=5)
    assert (top_k(same, 3) == top_k(begin, 3)).all()


@pytest.mark.parametrize("select", ["dp", "greedy"])
def test_files_hold_the_choice_and_importance_agrees(select: str) -> None:
    (clip,) = clips_of(sliding(8), budget="50%", frame_selection=select)
    assert clip.kept.sum() == 4
    assert (top_k(clip.importance, 4) == clip.kept).all()


def test_without_motion_gaps_are_interpolated_latents() -> None:
    flat = flat_model()
    (clip,) = clips_of(moving(32), budget="6", frame_selection="dp", fill="lerp", model=flat)
    (as_model,) = clips_of(moving(32), budget="6", fill="lerp", model=flat)
    assert as_model.kept[-6:].all()  # FlatModel likes late frames
    assert not (clip.kept == as_model.kept).all()
    assert (top_k(clip.importance, 6) == clip.kept).all()


def test_unknown_ways_are_named() -> None:
    with pytest.raises(UsageError, match="'best' is unknown; give one of: importance, dp, greedy"):
        parse("best")
