"""The quantizer of the latents."""

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
    decoded = dequantize(quantize(latents, STEPS, qp), STEPS, qp)
    assert (np.abs(decoded - latents) <= step_sizes(STEPS, qp) / 2 * (1 + 1e-5)).all()


def test_step_doubles_every_8_qp() -> None:
    assert step_sizes(STEPS, 24) == pytest.approx(8 * STEPS.astype(np.float64), rel=0)
    assert step_sizes(STEPS, 4) == pytest.approx(2**0.5 * STEPS.astype(np.float64), rel=1e-15)


def test_halves_round_to_even_and_extremes_are_clipped() -> None:
    one = np.ones(1, np.float32)
    values = quantize(np.array([[0.5], [1.5], [2.5], [-0.5], [-1.5], [1e9], [-1e9]]), one, 0)
    assert values[:, 0].tolist() == [0, 2, 2, 0, -2, 32767, -32768]


def test_dequantize_and_quantize_give_the_same_integers() -> None:
    values = np.random.default_rng(0).integers(-3000, 3000, (50, 3)).astype(np.int16)
    for qp in (0, 13, 63):
        assert (quantize(dequantize(values, STEPS, qp), STEPS, qp) == values).all()


def test_estimated_base_steps_follow_the_spread_and_are_positive() -> None:
    latents = np.random.default_rng(0).normal(size=(1000, 3)) * [1, 8, 0]
    steps = estimate_base_steps(latents)
    assert steps[:2] * 32 == pytest.approx([1, 8], rel=0.1)
    assert steps[2] > 0


@given(st.integers(0, 2**32), st.floats(0, 0.5))
def test_deadzone_repeats_near_values_and_bounds_the_error(seed: int, deadzone: float) -> None:
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(6, 3, 4)).cumsum(axis=0)
    steps = np.full(4, 0.5, np.float32)
    values = quantize(latents, steps, 0, deadzone=deadzone)
    error = np.abs(values - latents / 0.5)
    assert error.max() < 0.5 + deadzone + 1e-9
    changed = values[1:] != values[:-1]
    assert (error[0] <= 0.5).all()
    assert (error[1:][changed] <= 0.5).all()
    assert (np.abs(values[:-1] - latents[1:] / 0.5)[changed] >= 0.5 + deadzone - 1e-9).all()


def test_without_deadzone_each_frame_is_rounded_independently() -> None:
    latents = np.random.default_rng(0).normal(size=(5, 7, 3)) * 9
    steps = np.full(3, 0.3, np.float32)
    together = quantize(latents, steps, 8)
    assert all((quantize(frame[None], steps, 8)[0] == together[k]).all() for k, frame in enumerate(latents))
