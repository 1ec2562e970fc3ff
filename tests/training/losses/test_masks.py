from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfccodec.models.importance import gap_costs, optimal_selection
from dfccodec.training.losses.masks import (
    OPTIMAL_MASK_SHARE,
    draw_adjacent,
    draw_loss_mask,
    draw_mask,
    uniform_mask,
)


@settings(max_examples=200)
@given(st.integers(1, 32), st.integers(0, 2**32))
def test_mask_keeps_at_least_one_frame(frames: int, seed: int) -> None:
    mask = draw_mask(np.random.default_rng(seed), frames, 0.2)
    assert mask.shape == (frames,)
    assert mask.any()


def test_every_number_of_kept_frames_occurs() -> None:
    rng = np.random.default_rng(0)
    counts = np.bincount([draw_mask(rng, 32, 0.35).sum() for _ in range(4000)], minlength=33)
    assert (counts[1:24] > 0).all()
    assert counts[32] / 4000 == pytest.approx(0.35, abs=0.03)


def test_uniform_masks_are_evenly_spaced() -> None:
    assert np.flatnonzero(uniform_mask(32, 4)).tolist() == [4, 12, 20, 28]
    assert uniform_mask(7, 7).all()


def test_half_of_masks_are_optimal_if_costs_are_given() -> None:
    rng = np.random.default_rng(0)
    costs = gap_costs(rng.normal(size=(16, 40)).cumsum(axis=0))
    masks = [draw_mask(rng, 16, 0.0, costs) for _ in range(600)]
    best = [np.array_equal(mask, optimal_selection(costs, int(mask.sum()))) for mask in masks]
    assert np.mean(best) == pytest.approx(OPTIMAL_MASK_SHARE, abs=0.1)  # a few random masks are optimal by chance


@settings(max_examples=50)
@given(st.integers(2, 32), st.integers(1, 8), st.integers(0, 8), st.integers(0, 2**32))
def test_adjacent_frames_follow_one_another_and_contain_a_kept_one(
    frames: int, kept_count: int, dropped_count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kept = draw_mask(rng, frames, 0.3)
    mask = draw_adjacent(rng, kept, kept_count, dropped_count)
    assert mask.sum() == min(frames, kept_count + dropped_count)
    assert (np.diff(np.flatnonzero(mask)) == 1).all()
    assert (mask & kept).any()


def test_loss_masks_have_the_asked_kinds_of_frames() -> None:
    rng = np.random.default_rng(0)
    kept = np.arange(12) % 3 == 0
    mask = draw_loss_mask(rng, kept, 3, 2)
    assert (mask & kept).sum() == 3
    assert (mask & ~kept).sum() == 2
    assert draw_loss_mask(rng, np.ones(12, bool), 3, 2).sum() == 5
