"""Coding order and references of predicted kept frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfccodec.codec.predict.order import bisecting_order, order_importance, references


def test_references_are_the_nearest_frames_coded_before() -> None:
    found = references(np.array([4, 1, 6, 2]), np.array([True, False, False, False]))
    assert found.dropped.tolist() == [1, 2, 6]
    assert found.past.tolist() == [-1, 1, 4]
    assert found.future.tolist() == [4, 4, -1]


def test_intra_frames_have_no_references_but_are_references() -> None:
    found = references(np.array([4, 1, 2]), np.array([True, True, False]))
    assert (found.dropped.tolist(), found.past.tolist(), found.future.tolist()) == ([2], [1], [4])


@given(st.lists(st.booleans(), min_size=1, max_size=64))
def test_the_bisecting_order_spreads_every_prefix(bits: list[bool]) -> None:
    kept = np.array(bits)
    order = bisecting_order(kept)
    assert sorted(order.tolist()) == np.flatnonzero(kept).tolist()
    if kept.all():
        for count in range(2, len(order) + 1):
            gaps = np.diff(np.sort(order[:count]))
            assert gaps.max() <= 2 * max(gaps.min(), 1) + 1


@given(st.lists(st.integers(0, 255), min_size=1, max_size=64), st.integers(0, 1000))
def test_importance_falls_strictly_in_coding_order(values: list[int], seed: int) -> None:
    importance = np.array(values, np.uint8)
    kept = np.random.default_rng(seed).random(len(values)) < 0.6
    order = bisecting_order(kept)
    found = order_importance(importance, order)
    assert np.array_equal(found[~kept], importance[~kept])
    assert (np.diff(found[order].astype(int)) < 0).all()


def test_importance_that_differs_is_only_permuted() -> None:
    importance = np.array([10, 200, 30, 40], np.uint8)
    found = order_importance(importance, np.array([2, 0, 3]))
    assert found.tolist() == [30, 200, 40, 10]


@pytest.mark.parametrize("value", [0, 255])
def test_equal_importance_is_spread_within_a_byte(value: int) -> None:
    order = np.arange(32)
    found = order_importance(np.full(32, value, np.uint8), order)
    assert len(set(found.tolist())) == 32
