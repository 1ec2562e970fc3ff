"""OBMC of the fill policy `motion`, compared with a direct implementation of SPEC.md 7.8.2."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_clips import KEPT, REFERENCES, compensate_clip, draw_blocks, texture

from dfccodec.codec.motion.blocks import BLOCK, PAST, MotionField, References
from dfccodec.codec.motion.obmc import compensate_frame, interpolate, obmc_weights, pad_edges, window
from dfccodec.container.records import MotionFilter


def test_windows_add_up_to_one() -> None:
    assert window()[:BLOCK] + window()[BLOCK:] == pytest.approx(1)
    np.testing.assert_allclose(obmc_weights().sum(axis=0), 1, atol=1e-6)


def reference_compensation(frames: np.ndarray, references: References, number: int, blocks: np.ndarray) -> np.ndarray:
    """Compute SPEC.md 7.8.2 sample by sample, in binary64."""
    _, height, width, _ = frames.shape
    weighted_sum, weights = np.zeros((height, width, 3)), np.zeros((height, width, 1))
    model, past, future = (
        frames[int(s[number])].astype(float) for s in (references.dropped, references.past, references.future)
    )

    def clamped_sample(picture: np.ndarray, y: int, x: int) -> np.ndarray:
        out: np.ndarray = picture[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]
        return out

    def interpolate_at(picture: np.ndarray, y: int, x: int, v: int, h: int) -> np.ndarray:
        a, b, f, g = v // 2, h // 2, v % 2, h % 2
        low, high = (
            clamped_sample(picture, y + a, x + b + i) * (1 - f / 2)
            + clamped_sample(picture, y + a + 1, x + b + i) * f / 2
            for i in (0, 1)
        )
        out: np.ndarray = low + (high - low) * g / 2
        return out

    for row, column in np.ndindex(blocks.shape[:2]):
        mode, *vector = (int(n) for n in blocks[row, column])
        for i, j in np.ndindex(16, 16):
            y, x = row * 8 - 4 + i, column * 8 - 4 + j
            if 0 <= y < height and 0 <= x < width:
                choices = [
                    lambda y=y, x=x: model[y, x],
                    lambda y=y, x=x, v=vector: interpolate_at(past, y, x, *v[:2]),
                    lambda y=y, x=x, v=vector: interpolate_at(future, y, x, *v[2:]),
                ]
                sample = choices[mode]() if mode < 3 else (choices[1]() + choices[2]()) / 2
                weight = np.sin(np.pi * (i + 0.5) / 16) ** 2 * np.sin(np.pi * (j + 0.5) / 16) ** 2
                weighted_sum[y, x] += weight * sample
                weights[y, x] += weight
    return np.asarray(weighted_sum / weights)


@settings(max_examples=8)
@given(st.data())
def test_compensation_agrees_with_the_specification(draw: st.DataObject) -> None:
    frames = np.random.default_rng(draw.draw(st.integers(0, 99))).random((7, 13, 18, 3), np.float32)
    blocks = draw.draw(st.composite(lambda d: draw_blocks(d, REFERENCES, 2, 3))())
    small = draw.draw(st.booleans())
    blocks[..., 1:] %= 21 if small else 32767
    blocks[..., 1:] -= 10
    expected = [reference_compensation(frames, REFERENCES, n, blocks[n]) for n in range(len(blocks))]
    compensated = compensate_clip(frames, MotionField(REFERENCES, blocks))
    np.testing.assert_allclose(compensated[REFERENCES.dropped], expected, atol=2e-6)
    np.testing.assert_array_equal(compensated[KEPT], frames[KEPT])


@pytest.mark.parametrize("motion_filter", list(MotionFilter))
def test_vectors_outside_the_picture_use_the_nearest_pixel(motion_filter: MotionFilter) -> None:
    picture = texture(16, 16)
    vectors = np.array([[-32768, -32768], [32767, 32767]], np.int32)
    corner = interpolate(pad_edges(picture), np.zeros((2, 2), np.int32), vectors, motion_filter)
    np.testing.assert_allclose(corner[0], np.broadcast_to(picture[0, 0], (BLOCK, BLOCK, 3)), atol=1e-6)
    np.testing.assert_allclose(corner[1], np.broadcast_to(picture[-1, -1], (BLOCK, BLOCK, 3)), atol=1e-6)


def test_filters_find_a_quarter_of_a_wave() -> None:
    """A slow wave, moved by fractions of a pixel: longer filters come nearer."""
    y = np.arange(40)[:, None, None]
    wave = np.broadcast_to(0.5 + 0.4 * np.sin(y * 0.9), (40, 40, 3)).astype(np.float32)
    errors = {}
    for motion_filter in MotionFilter:
        vectors = np.array([[1, 0]], np.int32)
        found = interpolate(pad_edges(wave), np.array([[16, 16]], np.int32), vectors, motion_filter)[0, :, 0, 0]
        expected = 0.5 + 0.4 * np.sin((np.arange(16, 24) + 1 / motion_filter.subpel) * 0.9)
        errors[motion_filter.name] = float(np.abs(found - expected).max())
    assert errors["EIGHT_TAP"] < errors["SIX_TAP"] < errors["LINEAR"] / 5
    assert errors["QUARTER"] < errors["LINEAR"] / 5


def test_padding_is_independent_of_the_memory_layout() -> None:
    picture = np.random.default_rng(0).random((1, 20, 3), np.float32)
    other = np.asfortranarray(picture)
    assert pad_edges(other).flags.c_contiguous
    assert (pad_edges(other) == pad_edges(picture)).all()


def test_a_missing_reference_is_never_accessed() -> None:
    estimate, past = texture(16, 16), texture(16, 16, 1)
    blocks = np.zeros((2, 2, 5), np.int16)
    blocks[..., 0] = PAST
    blocks[..., 3:] = 99
    np.testing.assert_allclose(compensate_frame(estimate, pad_edges(past), None, blocks), past, atol=1e-6)
