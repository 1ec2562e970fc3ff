"""Payloads of the fill policy `motion`: syntax, coding order, contexts and damage."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from motion_clips import HEADER, KEPT, REFERENCES, clear_unused_vectors, draw_blocks
from read_motion import digest, read_decisions, sides_of_dropped

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
    return kept, draw_blocks(draw, References.of(kept), *payload.grid(header)), header


def test_references_of_dropped_frames() -> None:
    assert REFERENCES.dropped.tolist() == [0, 2, 3, 5, 6]
    assert REFERENCES.past.tolist() == [-1, 1, 1, 4, 4]
    assert REFERENCES.future.tolist() == [1, 4, 4, -1, -1]
    assert References.of(np.zeros(2, bool)).past.tolist() == [-1, -1]


@settings(max_examples=40)
@given(coded_clips())
def test_payload_roundtrip_clears_unused_vectors(case: tuple[np.ndarray, np.ndarray, Header]) -> None:
    kept, blocks, header = case
    data = payload.write(MotionField(References.of(kept), blocks))
    decoded = payload.read(data, kept, header)
    assert (decoded.blocks == clear_unused_vectors(blocks)).all()
    assert payload.write(decoded) == data


def test_smooth_motion_fields_are_small() -> None:
    blocks = np.zeros((5, 32, 32, 5), np.int16)
    blocks[1:3] = [BI, 3, -8, -3, 8]
    assert len(payload.write(MotionField(REFERENCES, blocks))) < 220
    blocks[1, 7, 9, 1:3] = 40, 50
    assert len(payload.write(MotionField(REFERENCES, blocks))) < 260


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40))
def test_neighbours_of_a_block_are_in_an_earlier_scan_phase(rows: int, columns: int) -> None:
    coded = np.zeros(rows * columns, bool)
    for phase in phases(rows, columns):
        assert not coded[phase.cells].any()
        if phase.neighbours is not None:
            assert (coded[phase.neighbours] | (phase.neighbours == phase.cells)).all()
        coded[phase.cells] = True
    assert coded.all()


@given(st.lists(st.booleans(), min_size=2, max_size=40))
def test_the_previous_frame_is_in_an_earlier_coding_layer(kept: list[bool]) -> None:
    kept[len(kept) // 2] = False
    references, coded_frames = References.of(np.array(kept)), set[int]()
    for layer in coding_layers(references, 1 << 18):  # two frames per batch
        before = layer.frames - 1 if layer.before is None else layer.before
        for number, then in zip(layer.frames.tolist(), before.tolist(), strict=True):
            follows = number > 0 and references.dropped[number] == references.dropped[number - 1] + 1
            assert follows == (layer.before is not None)
            assert not follows or then in coded_frames
        coded_frames |= set(layer.frames.tolist())
    assert coded_frames == set(range(len(references.dropped)))


def test_coding_layers_are_split_into_batches(monkeypatch: pytest.MonkeyPatch) -> None:

    def require(fine: object, *_: object) -> None:
        assert fine

    rng, blocks = np.random.default_rng(3), np.zeros((5, 4, 6, 5), np.int16)
    blocks[..., 0], blocks[..., 1:] = [[[FUTURE]], [[PAST]], [[BI]], [[PAST]], [[MODEL]]], rng.integers(-9, 9, 4)
    blocks[1:3, 1:3, ..., 1:] = rng.integers(-99, 99, (2, 2, 6, 4))
    for batch_size in (1, 2 * 24, 1 << 19):
        monkeypatch.setattr("dfccodec.codec.motion.context_model.PART", batch_size)
        monkeypatch.setattr("read_motion.BATCH_BLOCKS", batch_size)
        data = payload.write(MotionField(REFERENCES, blocks))
        decoded = payload.read(data, KEPT, HEADER).blocks
        assert np.array_equal(decoded, clear_unused_vectors(blocks))
        independent = read_decisions(
            data, sides_of_dropped(len(KEPT), np.flatnonzero(KEPT).tolist()), {"height": 28, "width": 44}, require
        )
        assert digest(independent) == hashlib.sha256(decoded.astype("<i2").tobytes()).hexdigest()


def test_vectors_of_the_previous_frame_are_scaled_by_distance() -> None:
    references = References.of(np.array([1, 0, 0, 0, 1], bool))
    contexts, predictions = BlockContexts(references, 1, 1), []
    for coding_pass in contexts.passes():
        predictions.append(coding_pass.known.vectors[0, 0].tolist())
        contexts.put(coding_pass, np.array([BI], np.uint8), np.array([[[10, -5], [9, 32767]]], np.int16))
    assert predictions == [[[0, 0], [0, 0]], [[20, -10], [6, 21845]], [[15, -7], [5, 16384]]]


def test_initial_counts() -> None:
    assert initial_counts().shape == (CONTEXTS, 33)
    assert (initial_counts().sum(axis=1) == INITIAL_TOTAL).all()
    assert initial_counts().min() == 0


@settings(max_examples=60)
@given(st.binary(max_size=64))
def test_any_bytes_decode_or_are_reported_as_damaged(data: bytes) -> None:
    clip = Clip(0, KEPT, np.zeros(7, np.uint8), 24, 0, (1,), b"", fill=Fill.MOTION, fill_payload=data)
    try:
        fill.policy(Fill.MOTION).check(clip, HEADER)
    except DfcError as error:
        assert isinstance(error, DamagedError)
        assert "fill payload" in str(error)


@pytest.mark.parametrize(("frame", "mode"), [(0, PAST), (0, BI), (3, FUTURE), (4, BI)])
def test_modes_without_a_reference_are_damaged(frame: int, mode: int) -> None:
    blocks = np.zeros((5, 4, 6, 5), np.int16)
    blocks[frame, 3, 2, 0] = mode
    with pytest.raises(DamagedError, match=f"mode {mode} in frame {REFERENCES.dropped[frame]}"):
        payload.read(payload.write(MotionField(REFERENCES, blocks)), KEPT, HEADER)


def test_superfluous_and_oversized_payloads_are_rejected() -> None:
    for kept in (np.zeros(7, bool), np.ones(7, bool)):
        with pytest.raises(DamagedError, match=r"(every|no) frame is kept"):
            payload.read(b"\0\0\0\1", kept, HEADER)
        assert payload.read(b"", kept, HEADER).blocks.sum() == 0
    huge = dataclasses.replace(HEADER, width=16384, height=8192)
    with pytest.raises(LimitError, match="fill payload"):
        payload.read(b"\0\0\0\1", np.array([True, False]), huge)
    assert payload.read(b"", np.array([True] + [False] * 15), huge).blocks.shape == (15, 1024, 2048, 5)
