"""Chained motion of frames that lose a reference frame."""

from __future__ import annotations

import numpy as np
import pytest

from dfccodec.codec.motion.blocks import BI, FUTURE, MODEL, PAST, MotionField, References
from dfccodec.codec.predict.compose import compose


def field(dropped: list[int], past: list[int], future: list[int], *decisions: tuple[int, ...]) -> MotionField:
    """Every block of a frame has the same decision."""
    blocks = np.zeros((len(dropped), 4, 6, 5), np.int16)
    for number, decision in enumerate(decisions):
        blocks[number] = decision
    return MotionField(References(np.array(dropped), np.array(past), np.array(future)), blocks)


def test_vectors_through_a_dropped_frame_add_up() -> None:
    dropped = field([3], [2], [4], (PAST, 2, -1, 0, 0))
    predicted = field([2, 4], [0, 0], [-1, -1], (PAST, 10, 4, 0, 0), (PAST, 0, 0, 0, 0))
    after = References(np.array([2, 3]), np.array([0, 0]), np.array([4, 4]))
    found = compose(dropped, predicted, after, 2)
    assert (found.blocks[0] == [PAST, 10, 4, 0, 0]).all()
    assert (found.blocks[1] == [PAST, 12, 3, 0, 0]).all()


def test_a_side_whose_reference_stays_keeps_its_vectors() -> None:
    dropped = field([3], [2], [4], (BI, 2, -1, 7, 7))
    predicted = field([2], [0], [4], (FUTURE, 0, 0, 5, 5))
    after = References(np.array([2, 3]), np.array([0, 0]), np.array([4, 4]))
    found = compose(dropped, predicted, after, 2)
    # The chain through frame 2 leads to frame 4 as well, to which the frame has a vector of its own.
    assert (found.blocks[1] == [FUTURE, 0, 0, 7, 7]).all()


def test_what_a_blend_shows_moves_evenly() -> None:
    dropped = field([3], [2], [4], (MODEL, 0, 0, 0, 0))
    predicted = field([2, 4], [0, 0], [8, 8], (PAST, 4, 8, 0, 0), (FUTURE, 0, 0, -8, -4))
    after = References(np.array([2, 3, 4]), np.array([0, 0, 0]), np.array([8, 8, 8]))
    found = compose(dropped, predicted, after, 2)
    assert (found.blocks[1] == [BI, 6, 12, -10, -5]).all()


def test_frames_without_a_reference_frame_on_a_side_do_not_use_it() -> None:
    dropped = field([1], [0], [2], (BI, 1, 1, 2, 2))
    predicted = field([2], [0], [-1], (PAST, 4, 4, 0, 0))
    found = compose(dropped, predicted, References(np.array([1, 2]), np.array([0, 0]), np.array([-1, -1])), 2)
    assert not (found.blocks[..., 0] & FUTURE).any()
    assert not found.blocks[..., 3:].any()


def test_a_dropped_intra_frame_ends_the_chain() -> None:
    dropped = field([3], [2], [4], (PAST, 2, -1, 0, 0))
    predicted = field([4], [0], [-1], (PAST, 0, 0, 0, 0))  # frame 2 was an intra frame
    found = compose(dropped, predicted, References(np.array([3, 4]), np.array([0, 0]), np.array([-1, -1])), 2)
    assert (found.blocks[0] == 0).all()


def test_a_dropped_intra_frame_is_the_blend_of_its_new_references() -> None:
    dropped = field([1], [0], [2], (PAST, 2, 2, 0, 0))
    predicted = field([4], [0], [-1], (PAST, 0, 0, 0, 0))  # frame 2 was an intra frame
    found = compose(dropped, predicted, References(np.array([1, 2]), np.array([0, 0]), np.array([4, 4])), 2)
    assert not found.blocks[1].any()
    assert (found.blocks[0] == [PAST, 2, 2, 0, 0]).all()


def test_no_chain_leads_beyond_the_ends_of_a_part() -> None:
    """Frames 0 to 2 were cut away; frame 3 pointed to frame 2, which pointed to frame 8, not to frame 5."""
    dropped = field([3], [2], [5], (PAST, 2, 2, 0, 0))
    predicted = field([2], [-1], [8], (FUTURE, 0, 0, 9, 9))
    found = compose(dropped, predicted, References(np.array([3]), np.array([-1]), np.array([5])), 2)
    assert not found.blocks.any()


def test_frames_that_keep_their_references_keep_their_motion() -> None:
    dropped = field([1, 3], [0, 2], [2, 4], (BI, 0, 0, 0, 0), (PAST, 2, 2, 0, 0))
    rough = dropped.blocks.copy()
    rough[0, ..., 1:] = np.random.default_rng(1).integers(-40, 40, (4, 6, 4))
    predicted = field([2, 4], [0, 0], [-1, -1], (PAST, 10, 4, 0, 0), (PAST, 0, 0, 0, 0))
    after = References(np.array([1, 3, 4]), np.array([0, 2, 2]), np.array([2, -1, -1]))
    found = compose(MotionField(dropped.references, rough), predicted, after, 2)
    assert np.array_equal(found.blocks[0], rough[0])


@pytest.mark.parametrize(("subpel", "rows_down"), [(2, 2), (4, 1)])
def test_vectors_lead_to_the_block_they_point_to(subpel: int, rows_down: int) -> None:
    dropped, predicted = field([3], [2], [4], (PAST, 32, 0, 0, 0)), field([2, 4], [0, 0], [-1, -1])
    predicted.blocks[0, ..., 0] = PAST
    predicted.blocks[0, ..., 2] = 100 * np.arange(4)[:, None]  # every row has its own
    found = compose(dropped, predicted, References(np.array([2, 3]), np.array([0, 0]), np.array([4, 4])), subpel)
    # The outermost rows are smoothed with their neighbours, so look at the first.
    assert found.blocks[1, 0, 0, 0] == PAST
    assert found.blocks[1, 0, 3, 2] == 100 * min(rows_down + 1, 3)
