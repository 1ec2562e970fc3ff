from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfccodec.models.importance import clip_importance, gap_costs, removal_costs


def brute(latents: np.ndarray, a: int, b: int) -> float:
    """Error of interpolating everything between kept frames a and b, the slow way."""
    total = 0.0
    for t in range(a + 1, b):
        w = (t - a) / (b - a)
        total += float(((latents[t] - (1 - w) * latents[a] - w * latents[b]) ** 2).sum())
    return total


def test_gap_costs_are_those_of_interpolation() -> None:
    x = np.random.default_rng(0).normal(size=(9, 5))
    cost = gap_costs(x)
    for a in range(9):
        for b in range(a + 1, 9):
            assert cost[a + 1, b + 1] == pytest.approx(brute(x, a, b), abs=1e-9)
        assert cost[0, a + 1] == pytest.approx(((x[:a] - x[a]) ** 2).sum())
        assert cost[a + 1, 10] == pytest.approx(((x[a + 1 :] - x[a]) ** 2).sum())


def test_a_straight_line_needs_only_its_ends() -> None:
    line = np.arange(10.0)[:, None] * np.ones((1, 4))
    price = removal_costs(gap_costs(line))
    assert price[1:9] == pytest.approx(np.zeros(8), abs=1e-9)
    assert price[[0, 9]].min() > 1


def test_a_cut_is_kept_on_both_sides() -> None:
    scene = np.zeros((12, 6))
    scene[6:] = 10
    kept = np.argsort(-clip_importance(scene, 0.1))[:2]
    assert sorted(kept)[0] < 6 <= sorted(kept)[1]


@settings(max_examples=50)
@given(st.integers(1, 64), st.integers(0, 2**32), st.sampled_from([0.0, 1e-6, 1.0, 1e4]))
def test_importance_is_a_probability_whose_ranks_survive_a_byte(frames: int, seed: int, spread: float) -> None:
    latents = np.random.default_rng(seed).normal(size=(frames, 7)) * spread
    p = clip_importance(latents, 0.16)
    assert p.dtype == np.float32
    assert ((p >= 0) & (p <= 1)).all()
    assert len(set(np.rint(p * 255))) == frames


def test_coarser_steps_make_frames_worth_less() -> None:
    latents = np.random.default_rng(0).normal(size=(32, 50)).cumsum(axis=0) * 0.05
    above = [(clip_importance(latents, step) > 0.5).sum() for step in (0.02, 0.3, 3.0)]
    assert above[0] > above[2]
    assert above == sorted(above, reverse=True)
