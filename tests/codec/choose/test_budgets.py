"""Budgets: parsing, and the choice of kept frames by importance."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import moving_square

import dfccodec as dfc
from dfccodec.codec.choose.budgets import Budget, scale_to_mean, top_k
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.errors import UsageError

IMPORTANCE = st.lists(st.integers(0, 255), min_size=1, max_size=64).map(lambda v: np.array(v, np.uint8))
RULES = ["8", "1", "25%", "all", "bernoulli", "bernoulli:0.185", "threshold", "threshold:0.9"]


@pytest.mark.parametrize("text", [*RULES, "100%", "12.5%", "auto", "auto:2", "auto:0.5:2,4,8,16"])
def test_budgets_survive_parsing_and_formatting(text: str) -> None:
    assert Budget.parse(str(Budget.parse(text))) == Budget.parse(text)


INVALID = [
    "",
    "0",
    "33",
    "-3",
    "0%",
    "101%",
    "some",
    "bernoulli:2",
    "threshold:0",
    "8.5",
    "1e3",
    "auto:",
    "auto:1:0",
    "auto:1:65",
]


@pytest.mark.parametrize("text", INVALID)
def test_invalid_budgets_are_rejected_with_the_valid_forms(text: str) -> None:
    with pytest.raises(UsageError, match="bernoulli"):
        Budget.parse(text)


@given(IMPORTANCE, st.sampled_from(RULES), st.integers(0, 2**32))
def test_at_least_one_frame_is_kept(importance: np.ndarray, rule: str, seed: int) -> None:
    kept = Budget.parse(rule).choose(importance, 32, np.random.default_rng(seed))
    assert kept.shape == importance.shape
    assert kept.any()


@given(IMPORTANCE, st.integers(1, 64), st.integers(1, 64))
def test_top_k_is_nested(importance: np.ndarray, a: int, b: int) -> None:
    small, large = top_k(importance, min(a, b)), top_k(importance, max(a, b))
    assert small.sum() == min(a, b, len(importance))
    assert not (small & ~large).any()
    assert importance[large].min() >= max(importance[~large], default=0)


def test_numbers_are_counts_and_floats_up_to_one_are_shares() -> None:
    assert [str(Budget.of(number)) for number in (8, 8.0, 1, 0.25)] == ["8", "8", "1", "25%"]
    assert Budget.of(1.0) == Budget.parse("100%")


def test_a_short_clip_keeps_the_same_share() -> None:
    kept = Budget.parse("8").choose(np.zeros(6, np.uint8), 32, np.random.default_rng(0))
    assert kept.sum() == 2


def test_threshold_keeps_frames_above_it() -> None:
    kept = Budget.parse("threshold").choose(np.array([10, 127, 128, 255], np.uint8), 32, np.random.default_rng(0))
    assert kept.tolist() == [False, False, True, True]


def test_threshold_above_all_frames_keeps_the_most_important_frame() -> None:
    # The published code shortens such a clip to one frame.
    kept = Budget.parse("threshold").choose(np.array([3, 9, 4], np.uint8), 32, np.random.default_rng(0))
    assert kept.tolist() == [False, True, False]


def test_bernoulli_follows_the_importance_and_the_seed() -> None:
    importance = np.array([0, 255] * 32, np.uint8)
    kept = Budget.parse("bernoulli").choose(importance, 32, np.random.default_rng(7))
    assert kept.tolist() == [False, True] * 32
    half = np.full(64, 128, np.uint8)
    draws = [Budget.parse("bernoulli").choose(half, 32, np.random.default_rng(s)) for s in (1, 1, 2)]
    assert (draws[0] == draws[1]).all()
    assert (draws[0] != draws[2]).any()


def test_bernoulli_with_a_rate_keeps_that_share_on_average() -> None:
    rng = np.random.default_rng(0)
    importance = rng.integers(0, 256, (500, 32)).astype(np.uint8)
    kept = [Budget.parse("bernoulli:0.185").choose(row, 32, rng).mean() for row in importance]
    assert np.mean(kept) == pytest.approx(0.185, abs=0.01)


@given(IMPORTANCE, st.floats(0.01, 0.99))
def test_scaling_reaches_the_mean_and_preserves_the_order(importance: np.ndarray, rate: float) -> None:
    p = scale_to_mean(importance / 255, rate)
    assert p.mean() == pytest.approx(rate, abs=1e-6)
    order = np.argsort(importance, kind="stable")
    assert (np.diff(p[order]) >= 0).all()


def test_a_negative_seed_is_rejected(flat: LoadedModel) -> None:
    with pytest.raises(UsageError, match="seed -1 is out of range"):
        dfc.encode(moving_square(2), io.BytesIO(), budget="bernoulli", seed=-1, model=flat)
    with pytest.raises(UsageError, match="seed -1 is out of range"):
        dfc.trim(io.BytesIO(), io.BytesIO(), Budget("bernoulli"), seed=-1)
