"""Direct motion (SPEC.md 7.10.4): vectors of blocks without one, from the motion between their reference frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfccodec.codec.motion.blocks import BI, FUTURE, MODEL, PAST
from dfccodec.codec.motion.direct import DirectMotion


def blocks(mode: int, past: tuple[int, int] = (0, 0), future: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Five by five equal decisions."""
    return np.broadcast_to(np.array([mode, *past, *future], np.int16), (5, 5, 5)).copy()


def both(direct: DirectMotion, frame: int, past: int, future: int) -> list[list[int]]:
    found = direct.vectors(frame, past, future)
    assert found is not None
    assert (found == found[0, 0]).all()
    return found[0, 0].tolist()  # type: ignore[no-any-return]


def test_the_example_of_the_specification() -> None:
    direct = DirectMotion()
    direct.add(8, 4, -1, blocks(PAST, (0, -24)))
    assert both(direct, 5, 4, 8) == [[0, -6], [0, 18]]


def test_the_reference_that_refers_to_the_other_gives_the_vectors() -> None:
    direct = DirectMotion()
    direct.add(4, -1, 8, blocks(FUTURE, future=(8, 0)))
    assert both(direct, 6, 4, 8) == [[-4, 0], [4, 0]]
    assert direct.vectors(3, 2, 4) is None  # frame 2 is intra, and 4 does not refer to it
    assert direct.vectors(9, 8, -1) is None


@pytest.mark.parametrize("mode", [PAST, FUTURE])
def test_the_missing_vector_has_the_velocity_of_the_other(mode: int) -> None:
    direct = DirectMotion()
    direct.add(6, 2, 12, blocks(mode, (20, 4), (-30, -6)))
    assert both(direct, 4, 2, 6) == [[10, 2], [-10, -2]]
    assert both(direct, 9, 6, 12) == [[15, 3], [-15, -3]]


def test_blocks_of_mode_0_hand_on_their_direct_vectors() -> None:
    direct = DirectMotion()
    direct.add(8, 0, -1, blocks(PAST, (0, 16)))
    direct.add(4, 0, 8, blocks(MODEL))
    assert both(direct, 2, 0, 4) == [[0, 4], [0, -4]]


def test_a_lone_vector_does_not_spread() -> None:
    direct, field = DirectMotion(), blocks(PAST, (2, 2))
    field[2, 2, 1:3] = 90, -90
    direct.add(2, 0, -1, field)
    assert both(direct, 1, 0, 2) == [[1, 1], [-1, -1]]
    field[2, 1:4, 1:3] = field[1:4, 2, 1:3] = 90, -90
    direct.add(2, 0, -1, field)
    found = direct.vectors(1, 0, 2)
    assert found is not None
    assert found[2, 2].tolist() == [[45, -45], [-45, 45]]


@given(st.integers(-32768, 32767), st.integers(0, 30), st.integers(1, 30), st.integers(1, 30))
def test_vectors_are_rounded_half_up_and_stay_in_16_bits(value: int, past: int, first: int, second: int) -> None:
    frame, future = past + first, past + first + second
    direct = DirectMotion()
    direct.add(future, past, -1, blocks(PAST, (value, -value - 1)))
    (down, right), (below, _) = both(direct, frame, past, future)
    whole = first + second
    assert down == (2 * value * first + whole) // (2 * whole)
    assert right == (2 * (-value - 1) * first + whole) // (2 * whole)
    assert below == min((2 * -value * second + whole) // (2 * whole), 32767)


def test_only_blocks_of_mode_0_are_filled() -> None:
    direct, own = DirectMotion(), blocks(MODEL)
    direct.add(2, 0, -1, blocks(PAST, (2, 4)))
    own[0, 0] = BI, 7, 7, 7, 7
    filled = direct.fill(1, 0, 2, own)
    assert filled[0, 0].tolist() == [BI, 7, 7, 7, 7]
    assert filled[1, 0].tolist() == [MODEL, 1, 2, -1, -2]
    assert not own[1, 0].any()
    assert direct.fill(3, 2, -1, own) is own
