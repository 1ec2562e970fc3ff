from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfccodec.codec.clip.quantizer import dequantize, estimate_base_steps, quantize, step_sizes

STEPS = np.array([0.02, 0.5, 3.0], np.float32)


@given(st.integers(0, 63), st.integers(0, 2**32))
def test_error_is_at_most_half_a_step(qp: int, seed: int) -> None:
    latents = np.random.default_rng(seed).normal(size=(20, 3)).astype(np.float32)
    back = dequantize(quantize(latents, STEPS, qp), STEPS, qp)
    assert (np.abs(back - latents) <= step_sizes(STEPS, qp) / 2 * (1 + 1e-5)).all()


def test_step_doubles_every_eight() -> None:
    assert step_sizes(STEPS, 24) == pytest.approx(8 * STEPS.astype(np.float64), rel=0)
    assert step_sizes(STEPS, 4) == pytest.approx(2**0.5 * STEPS.astype(np.float64), rel=1e-15)


def test_halves_go_to_even_and_extremes_are_clipped() -> None:
    one = np.ones(1, np.float32)
    values = quantize(np.array([[0.5], [1.5], [2.5], [-0.5], [-1.5], [1e9], [-1e9]]), one, 0)
    assert values[:, 0].tolist() == [0, 2, 2, 0, -2, 32767, -32768]


def test_integers_survive() -> None:
    values = np.random.default_rng(0).integers(-3000, 3000, (50, 3)).astype(np.int16)
    for qp in (0, 13, 63):
        assert (quantize(dequantize(values, STEPS, qp), STEPS, qp) == values).all()


def test_measured_steps_follow_the_spread_and_are_never_zero() -> None:
    latents = np.random.default_rng(0).normal(size=(1000, 3)) * [1, 8, 0]
    steps = estimate_base_steps(latents)
    assert steps[:2] * 32 == pytest.approx([1, 8], rel=0.1)
    assert steps[2] > 0


@given(st.integers(0, 2**32), st.floats(0, 0.5))
def test_snapping_repeats_what_is_near_and_moves_nothing_far(seed: int, slack: float) -> None:
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(6, 3, 4)).cumsum(axis=0)
    steps = np.full(4, 0.5, np.float32)
    values = quantize(latents, steps, 0, deadzone=slack)
    off = np.abs(values - latents / 0.5)
    assert off.max() < 0.5 + slack + 1e-9
    changed = values[1:] != values[:-1]
    assert (off[0] <= 0.5).all()
    assert (off[1:][changed] <= 0.5).all()
    assert (np.abs(values[:-1] - latents[1:] / 0.5)[changed] >= 0.5 + slack - 1e-9).all()


def test_without_slack_frames_are_rounded_alone() -> None:
    latents = np.random.default_rng(0).normal(size=(5, 7, 3)) * 9
    steps = np.full(3, 0.3, np.float32)
    whole = quantize(latents, steps, 8)
    assert all((quantize(frame[None], steps, 8)[0] == whole[k]).all() for k, frame in enumerate(latents))
