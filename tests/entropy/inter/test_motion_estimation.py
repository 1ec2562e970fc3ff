"""Motion estimation on latents."""

from __future__ import annotations

import numpy as np
import pytest
from test_inter_coding import panned

from dfccodec.entropy.inter.motion_estimation import estimate_motion


@pytest.mark.parametrize(("down", "right"), [(3, -5), (0, 12), (-20, 9)])
def test_a_pan_is_found(down: int, right: int) -> None:
    values = panned(3, 5, 6, down, right)
    found = estimate_motion(values).reshape(3, 5, 6, 2)
    assert not found[0].any()
    # Content that enters at an edge of the picture has no reference.
    inner = found[1:, 2:-2, 1:-1].reshape(-1, 2)
    assert (inner == np.array([4 * down, 4 * right])).all(axis=1).mean() > 0.8


def test_large_pictures_are_searched_in_stripes() -> None:
    values = panned(2, 19, 3, 7, 2)
    found = estimate_motion(values).reshape(2, 19, 3, 2)
    assert (found[1, 2:-2] == np.array([28, 8])).all(axis=-1).mean() > 0.6


def test_threads_do_not_affect_the_result() -> None:
    values = panned(5, 4, 5, 6, -3)
    np.testing.assert_array_equal(estimate_motion(values, 3), estimate_motion(values))


def test_noise_has_few_vectors() -> None:
    values = np.rint(np.random.default_rng(0).laplace(0, 2, (3, 1, 4, 4, 96))).astype(np.int16)
    assert (estimate_motion(values) != 0).any(axis=-1).mean() < 0.2


def test_tiles_are_independent() -> None:
    values = np.concatenate([panned(2, 4, 4, 5, 0), panned(2, 4, 4, 0, -6)], axis=1)
    found = estimate_motion(values)
    apart = [estimate_motion(values[:, tile : tile + 1]) for tile in (0, 1)]
    np.testing.assert_array_equal(found, np.concatenate(apart, axis=1))
