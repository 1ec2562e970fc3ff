from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfccodec.models.importance import clip_importance, gap_costs, optimal_selection, removal_costs, removal_order


def brute(latents: np.ndarray, a: int, b: int) -> float:
    """Error of interpolating all frames between kept frames a and b, computed directly."""
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
    cost = gap_costs(line)
    price = removal_costs(cost, removal_order(cost, 2))
    assert price[1:9] == pytest.approx(np.zeros(8), abs=1e-9)
    assert price[[0, 9]].min() > 1


def total(cost: np.ndarray, kept: np.ndarray) -> float:
    path = [0, *(np.flatnonzero(kept) + 1), len(cost) - 1]
    return float(sum(cost[a, b] for a, b in pairwise(path)))


@settings(max_examples=25)
@given(st.integers(2, 8), st.integers(0, 2**32), st.data())
def test_optimal_selection_is_the_best_of_all_selections(frames: int, seed: int, data: st.DataObject) -> None:
    cost = gap_costs(np.random.default_rng(seed).normal(size=(frames, 3)).cumsum(axis=0))
    count = data.draw(st.integers(1, frames))
    having = np.zeros(frames, bool)
    having[data.draw(st.lists(st.integers(0, frames - 1), max_size=count))] = True
    within = having.copy()
    within[data.draw(st.permutations(range(frames)))[: data.draw(st.integers(count, frames))]] = True
    chosen = optimal_selection(cost, count, having, within)
    assert chosen.sum() == count
    assert not (having & ~chosen).any()
    assert not (chosen & ~within).any()
    for others in combinations(np.flatnonzero(within), count):
        mask = np.zeros(frames, bool)
        mask[list(others)] = True
        if not (having & ~mask).any():
            assert total(cost, chosen) <= total(cost, mask) + 1e-9


@settings(max_examples=50)
@given(st.integers(1, 32), st.integers(0, 2**32), st.data())
def test_the_removal_order_contains_the_optimal_selection(frames: int, seed: int, data: st.DataObject) -> None:
    cost = gap_costs(np.random.default_rng(seed).normal(size=(frames, 3)).cumsum(axis=0))
    anchor = data.draw(st.integers(1, frames))
    order = removal_order(cost, anchor)
    assert sorted(order) == list(range(frames))
    top = np.zeros(frames, bool)
    top[order[frames - anchor :]] = True
    assert (top == optimal_selection(cost, anchor)).all()
    price = removal_costs(cost, order)
    assert (np.diff(price[order]) >= 0).all()


def test_frames_on_both_sides_of_a_scene_cut_are_kept() -> None:
    scene = np.zeros((12, 6))
    scene[6:] = 10
    kept = np.argsort(-clip_importance([scene], 0.1))[:2]
    assert sorted(kept)[0] < 6 <= sorted(kept)[1]


@settings(max_examples=50)
@given(st.integers(1, 64), st.integers(0, 2**32), st.sampled_from([0.0, 1e-6, 1.0, 1e4]))
def test_importance_is_a_probability_with_distinct_bytes(frames: int, seed: int, spread: float) -> None:
    latents = np.random.default_rng(seed).normal(size=(frames, 7)) * spread
    p = clip_importance([latents], 0.16)
    assert p.dtype == np.float32
    assert ((p >= 0) & (p <= 1)).all()
    assert len(set(np.rint(p * 255))) == frames


def test_coarser_steps_give_lower_importance() -> None:
    latents = np.random.default_rng(0).normal(size=(32, 50)).cumsum(axis=0) * 0.05
    above = [(clip_importance([latents], step) > 0.5).sum() for step in (0.02, 0.3, 3.0)]
    assert above[0] > above[2]
    assert above == sorted(above, reverse=True)


def test_importance_is_the_same_in_parts() -> None:
    latents = np.random.default_rng(1).normal(size=(16, 60)).cumsum(axis=0) * 0.05
    whole = clip_importance([latents], 0.1, 4)
    assert np.array_equal(clip_importance(iter(np.split(latents, 3, axis=1)), 0.1, 4), whole)
