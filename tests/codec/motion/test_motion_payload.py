"""Payloads of fill policy motion: which decisions, in which order and contexts, and what is damaged."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_clips import HEADER, KEPT, SIDES, cleared, decisions_of
from read_motion import read_motion

from dfccodec.codec import fill
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import BI, FUTURE, MODEL, PAST, MotionField, References
from dfccodec.codec.motion.context_model import BlockContexts, coding_layers, phases
from dfccodec.codec.motion.tables import CONTEXTS, initial_counts
from dfccodec.container.records import Clip, Fill, Header
from dfccodec.entropy.mv_coding import INITIAL_TOTAL
from dfccodec.errors import DamagedError, DfcError, LimitError


@st.composite
def coded_clips(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, Header]:
    frames = draw(st.integers(2, 8))
    kept = np.array(draw(st.lists(st.booleans(), min_size=frames, max_size=frames)))
    kept[draw(st.integers(0, frames - 1))] = True
    header = dataclasses.replace(HEADER, width=draw(st.integers(1, 40)), height=draw(st.integers(1, 40)))
    return kept, decisions_of(draw, References.of(kept), *payload.grid(header)), header


def test_sides() -> None:
    assert SIDES.dropped.tolist() == [0, 2, 3, 5, 6]
    assert SIDES.past.tolist() == [-1, 1, 1, 4, 4]
    assert SIDES.future.tolist() == [1, 4, 4, -1, -1]
    assert References.of(np.zeros(2, bool)).past.tolist() == [-1, -1]


@settings(max_examples=40, deadline=None)
@given(coded_clips())
def test_payloads_come_back_but_for_unused_vectors(case: tuple[np.ndarray, np.ndarray, Header]) -> None:
    kept, blocks, header = case
    data = payload.write(MotionField(References.of(kept), blocks))
    back = payload.read(data, kept, header)
    assert (back.blocks == cleared(blocks)).all()
    assert payload.write(back) == data


def test_smooth_decisions_cost_next_to_nothing() -> None:
    blocks = np.zeros((5, 32, 32, 5), np.int16)
    blocks[1:3] = [BI, 3, -8, -3, 8]
    assert len(payload.write(MotionField(SIDES, blocks))) < 220
    blocks[1, 7, 9, 1:3] = 40, 50
    assert len(payload.write(MotionField(SIDES, blocks))) < 260


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_every_block_is_in_one_phase_and_its_neighbours_in_an_earlier_one(rows: int, columns: int) -> None:
    known = np.zeros(rows * columns, bool)
    for phase in phases(rows, columns):
        assert not known[phase.cells].any()
        if phase.neighbours is not None:
            assert (known[phase.neighbours] | (phase.neighbours == phase.cells)).all()
        known[phase.cells] = True
    assert known.all()


@given(st.lists(st.booleans(), min_size=2, max_size=40))
def test_every_frame_is_in_one_level_and_the_one_before_in_an_earlier_one(kept: list[bool]) -> None:
    kept[len(kept) // 2] = False
    sides, done = References.of(np.array(kept)), set[int]()
    for level in coding_layers(sides, 1 << 18):  # two frames at a time
        before = level.frames - 1 if level.before is None else level.before
        for number, then in zip(level.frames.tolist(), before.tolist(), strict=True):
            follows = number > 0 and sides.dropped[number] == sides.dropped[number - 1] + 1
            assert follows == (level.before is not None)
            assert not follows or then in done
        done |= set(level.frames.tolist())
    assert done == set(range(len(sides.dropped)))


def test_levels_of_many_blocks_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:

    def need(fine: object, *_: object) -> None:
        assert fine

    rng, blocks = np.random.default_rng(3), np.zeros((5, 4, 6, 5), np.int16)
    blocks[..., 0], blocks[..., 1:] = [[[FUTURE]], [[PAST]], [[BI]], [[PAST]], [[MODEL]]], rng.integers(-9, 9, 4)
    blocks[1:3, 1:3, ..., 1:] = rng.integers(-99, 99, (2, 2, 6, 4))
    for part in (1, 2 * 24, 1 << 19):
        monkeypatch.setattr("dfccodec.codec.motion.context_model.PART", part)
        monkeypatch.setattr("read_motion.BATCH_BLOCKS", part)
        data = payload.write(MotionField(SIDES, blocks))
        found = payload.read(data, KEPT, HEADER).blocks
        assert np.array_equal(found, cleared(blocks))
        again = read_motion(data, len(KEPT), np.flatnonzero(KEPT).tolist(), {"height": 28, "width": 44}, need)
        assert again["motion_sha256"] == hashlib.sha256(found.astype("<i2").tobytes()).hexdigest()


def test_vectors_of_the_frame_before_are_scaled_to_the_distance() -> None:
    sides = References.of(np.array([1, 0, 0, 0, 1], bool))
    walk, seen = BlockContexts(sides, 1, 1), []
    for step in walk.passes():
        seen.append(step.known.vectors[0, 0].tolist())
        walk.put(step, np.array([BI], np.uint8), np.array([[[10, -5], [9, 32767]]], np.int16))
    assert seen == [[[0, 0], [0, 0]], [[20, -10], [6, 21845]], [[15, -7], [5, 16384]]]


def test_first_statistics() -> None:
    assert initial_counts().shape == (CONTEXTS, 33)
    assert (initial_counts().sum(axis=1) == INITIAL_TOTAL).all()
    assert initial_counts().min() == 0


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_decisions_or_damaged(data: bytes) -> None:
    clip = Clip(0, KEPT, np.zeros(7, np.uint8), 24, 0, (1,), b"", fill=Fill.MOTION, fill_payload=data)
    try:
        fill.policy(Fill.MOTION).check(clip, HEADER)
    except DfcError as error:
        assert isinstance(error, DamagedError)
        assert "fill payload" in str(error)


@pytest.mark.parametrize(("frame", "mode"), [(0, PAST), (0, BI), (3, FUTURE), (4, BI)])
def test_modes_without_a_source_are_damaged(frame: int, mode: int) -> None:
    blocks = np.zeros((5, 4, 6, 5), np.int16)
    blocks[frame, 3, 2, 0] = mode
    with pytest.raises(DamagedError, match=f"mode {mode} in frame {SIDES.dropped[frame]}"):
        payload.read(payload.write(MotionField(SIDES, blocks)), KEPT, HEADER)


def test_payloads_of_nothing_and_claims_are_refused() -> None:
    for kept in (np.zeros(7, bool), np.ones(7, bool)):
        with pytest.raises(DamagedError, match=r"(every|no) frame is kept"):
            payload.read(b"\0\0\0\1", kept, HEADER)
        assert payload.read(b"", kept, HEADER).blocks.sum() == 0
    huge = dataclasses.replace(HEADER, width=16384, height=8192)
    with pytest.raises(LimitError, match="fill payload"):
        payload.read(b"\0\0\0\1", np.array([True, False]), huge)
    assert payload.read(b"", np.array([True] + [False] * 15), huge).blocks.shape == (15, 1024, 2048, 5)
