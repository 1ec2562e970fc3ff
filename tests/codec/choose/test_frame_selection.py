"""Frame selection: costs of gaps between kept frames, the resulting importance, and the greedy search."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from support import flat_model, moving_square

import dfccodec as dfc
from dfccodec.codec.choose.budgets import top_k
from dfccodec.codec.choose.frame_selection import choice_cost, greedy, motion_costs, parse, reorder_importance
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Clip
from dfccodec.errors import UsageError
from dfccodec.models.importance import optimal_selection


def sliding_blocks(frames: int, step: int = 4, height: int = 64, width: int = 64) -> np.ndarray:
    """Return blocks of random colours that move by `step` pixels per frame."""
    rng = np.random.default_rng(0)
    canvas = rng.integers(0, 256, (height // 8, (width + step * frames) // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)
    return np.stack([canvas[:, t * step : t * step + width] for t in range(frames)]).astype(np.uint8)


def encode_clips(video: np.ndarray, **options: Any) -> list[Clip]:
    out = io.BytesIO()
    dfc.encode(video, out, refine=0, **options)
    return [item.clip for item in StreamReader(io.BytesIO(out.getvalue())) if isinstance(item, ClipAt)]


def test_gap_costs_account_for_motion() -> None:
    still, translating = np.repeat(sliding_blocks(1), 6, axis=0), sliding_blocks(6)
    inverted = translating[[0, 1, 2, 3, 4, 5]].copy()
    inverted[1:5] = 255 - inverted[1:5]
    costs = [motion_costs(v) for v in (still, translating, inverted)]
    for cost in costs:
        assert np.isinf(cost[0, -1])
        assert (np.diag(cost, 1) == 0).all()
        assert np.isinf(cost[np.tri(8, dtype=bool)]).all()
    assert costs[0][1, 6] == 0
    assert costs[1][1, 6] < 0.3 * costs[2][1, 6]


def test_both_sides_of_a_scene_cut_keep_a_frame() -> None:
    video = np.concatenate([np.repeat(sliding_blocks(1), 8, axis=0), 255 - np.repeat(sliding_blocks(1), 8, axis=0)])
    kept = optimal_selection(motion_costs(video), 2)
    assert kept[:8].sum() == kept[8:].sum() == 1


def test_rearranged_importance_gives_the_optimal_selection() -> None:
    costs = motion_costs(sliding_blocks(12, 3))
    importance = reorder_importance(np.full(12, 254, np.uint8), costs, 4)
    assert len(set(importance.tolist())) == 12
    assert (top_k(importance, 4) == optimal_selection(costs, 4)).all()
    assert importance.max() <= 255
    selected = top_k(reorder_importance(np.zeros(12, np.uint8), costs, None), 3)
    assert (selected == optimal_selection(costs, 3)).all()


def test_greedy_selection_follows_the_trial_cost_only() -> None:
    costs = motion_costs(sliding_blocks(10, 3))
    initial = reorder_importance(np.arange(10, dtype=np.uint8), costs, 3)
    preferred = np.zeros(10, bool)
    preferred[[0, 1, 2]] = True  # the trial encode prefers these frames, against all gap costs
    costs_seen = []

    def trial_cost(kept: np.ndarray) -> float:
        costs_seen.append(choice_cost(kept, costs))
        return -float((kept & preferred).sum())

    improved = greedy([initial], costs, 3, trial_cost, tries=100)
    assert (top_k(improved, 3) == preferred).all()
    assert len(costs_seen) <= 101
    unchanged = greedy([initial, initial[::-1]], costs, 3, lambda kept: 0.0, tries=5)
    assert (top_k(unchanged, 3) == top_k(initial, 3)).all()


@pytest.mark.parametrize("frame_selection", ["dp", "greedy"])
def test_files_store_the_selection_and_matching_importance(frame_selection: str) -> None:
    (clip,) = encode_clips(sliding_blocks(8), budget="50%", frame_selection=frame_selection)
    assert clip.kept.sum() == 4
    assert (top_k(clip.importance, 4) == clip.kept).all()


def test_without_motion_gap_costs_come_from_interpolated_latents() -> None:
    flat = flat_model()
    (clip,) = encode_clips(moving_square(32), budget="6", frame_selection="dp", fill="lerp", model=flat)
    (by_importance,) = encode_clips(moving_square(32), budget="6", fill="lerp", model=flat)
    assert by_importance.kept[-6:].all()  # the importance of FlatModel increases with the frame number
    assert not (clip.kept == by_importance.kept).all()
    assert (top_k(clip.importance, 6) == clip.kept).all()


def test_unknown_selections_are_reported() -> None:
    with pytest.raises(UsageError, match="'best' is unknown; give one of: importance, dp, greedy"):
        parse("best")
