"""Tools in the fill payload of policy `direct`: read, written, and refused where they make no sense."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfccodec.container.records import Clip, Coding, Fill, Header, MotionFilter, Ratio
from dfccodec.entropy import motion_tools
from dfccodec.errors import DamagedError, UnsupportedError

HEADER = Header(40, 24, Ratio(25, 1), Ratio(1, 25))


def clip(payload: bytes, kept: tuple[int, ...] = (1, 3), coding: int = Coding.INTER, fill: int = Fill.DIRECT) -> Clip:
    mask = np.isin(np.arange(5), kept)
    return Clip(0, mask, np.zeros(5, np.uint8), 24, 0, (1,), b"", fill=fill, fill_payload=payload, coding=coding)


@given(st.sampled_from(MotionFilter), st.booleans(), st.binary(max_size=8))
def test_tools_and_decisions_are_read_back(motion_filter: MotionFilter, direct: bool, coded: bytes) -> None:
    made = motion_tools.with_decisions(clip(motion_tools.direct_payload(motion_filter, direct)), coded)
    motion_tools.check_direct_payload(made, HEADER)
    assert motion_tools.motion_filter(made) == motion_filter
    assert motion_tools.has_direct_motion(made) == direct
    assert motion_tools.decisions(made) == coded
    moved = dataclasses.replace(made, fill=motion_tools.MOVED)  # with the network's pictures in place of blends
    assert motion_tools.motion_filter(moved) == motion_filter
    assert not motion_tools.has_direct_motion(moved)
    assert motion_tools.decisions(moved) == coded


def test_clips_of_other_policies_have_no_tools() -> None:
    other = clip(b"\x0e\1\2\3", fill=Fill.BLEND)
    assert motion_tools.motion_filter(other) == MotionFilter.LINEAR
    assert not motion_tools.has_direct_motion(other)
    assert motion_tools.decisions(other) == motion_tools.with_decisions(other, b"\x0e\1\2\3").fill_payload


@given(st.integers(0, 255))
def test_unknown_tools_need_a_newer_reader(tools: int) -> None:
    found = clip(bytes([tools]))
    if tools & ~0x1E:
        with pytest.raises(UnsupportedError, match=f"tools {tools} of policy 6"):
            motion_tools.check_direct_payload(found, HEADER)
    else:
        motion_tools.check_direct_payload(found, HEADER)


@pytest.mark.parametrize(
    ("found", "header", "says"),
    [
        (clip(b""), HEADER, "0 bytes with 2 kept frames"),
        (clip(b"\x0c", kept=()), HEADER, "1 bytes with 0 kept frames"),
        (clip(b"\x0c", coding=Coding.RANGE), HEADER, "needs coding 2 and no tiles, the clip has 1 and 0"),
        (clip(b"\x0c"), dataclasses.replace(HEADER, tile=32, overlap=16), "the clip has 2 and 32"),
        (clip(b"\x0c"), dataclasses.replace(HEADER, channels=32), "declares 16 and 32"),  # found by fuzzing
        (clip(b"\x0c"), dataclasses.replace(HEADER, patch=8), "declares 8 and 96"),
    ],
)
def test_tools_without_sense_are_damage(found: Clip, header: Header, says: str) -> None:
    with pytest.raises(DamagedError, match=says):
        motion_tools.check_direct_payload(found, header)


def test_quarter_pixels_are_for_fine_quantizers() -> None:
    found = [motion_tools.encoder_filter(qp) for qp in (0, 26, 27, 63)]
    assert found == [MotionFilter.QUARTER, MotionFilter.QUARTER, MotionFilter.EIGHT_TAP, MotionFilter.EIGHT_TAP]
