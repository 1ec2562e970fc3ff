"""Bit costs agree with the size of the range-coded stream."""

import numpy as np

from dfccodec.entropy.bit_costs import bit_costs
from dfccodec.entropy.rans import encode_range, ideal_bits


def laplace(scale: float, shape: tuple[int, ...] = (3, 1, 6, 7, 20)) -> np.ndarray:
    return np.rint(np.random.default_rng(5).laplace(0, scale, shape)).astype(np.int16)


def test_costs_of_the_current_integers_add_up_to_the_stream_size() -> None:
    for scale in (0.3, 3.0, 400.0):
        values = laplace(scale)
        total = float(bit_costs(values, values)[0].sum())
        means = ideal_bits(values) - total  # cost of 20 channel means at the beginning of a clip
        assert 0 < means < 20 * 12
        assert abs(8 * len(encode_range(values)) - total) < 64 + 20 * 12


def test_the_second_cost_is_that_of_lower_plus_one() -> None:
    values, low = laplace(2.0), laplace(2.0) - 1
    assert np.array_equal(bit_costs(values, low)[1], bit_costs(values, low + 1)[0])


def test_common_integers_are_cheap() -> None:
    values = np.zeros((2, 1, 8, 8, 12), np.int16)
    zero, one = bit_costs(values, values)
    assert zero[1].mean() < 0.1
    assert one[1].mean() > 3


def test_no_frames_have_no_costs() -> None:
    assert bit_costs(np.zeros((0, 1, 2, 2, 4), np.int16), np.zeros((0, 1, 2, 2, 4), np.int16)).shape == (
        2,
        0,
        1,
        2,
        2,
        4,
    )
