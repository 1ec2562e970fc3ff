"""Coding order of modes and motion vectors, and the contexts of their symbols (SPEC.md 7.8).

Writer, reader and mode decision use the same order. Everything about a pass is computed at once, in integer arithmetic,
from blocks that are already coded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import FIELDS, MODES, MotionField, References, uses
from dfccodec.codec.motion.tables import MODE_CONTEXT, VECTOR_CONTEXT, VOTES
from dfccodec.entropy.hierarchical_scan import Phase, phases
from dfccodec.entropy.mv_coding import MVCandidates

Index = npt.NDArray[np.intp]
Ints = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int16]

PART = 1 << 19
"""Maximum blocks of a coding layer that are coded together (at least one frame). It bounds the memory of a pass."""


@dataclass(frozen=True)
class CodingLayer:
    """Dropped frames that are coded together: the first frame of every run of dropped frames, then the second, …

    A layer with too many blocks is split into batches.

    Attributes:
        frames: (n,) indices of dropped frames.
        before: (n,) indices of the preceding dropped frames; None in the first layer.
        distance: (n, 2) distances in frames to the past and future reference, 0 if there is none.
        earlier: (n, 2) the same for the preceding frames, at least 1.
    """

    frames: Index
    before: Index | None
    distance: Ints
    earlier: Ints


def coding_layers(references: References, blocks: int) -> Iterator[CodingLayer]:
    """Yield the coding layers of a clip, in batches of at most PART blocks; a frame has `blocks` blocks."""
    dropped, index = references.dropped, np.arange(len(references.dropped))
    depth = index - np.maximum.accumulate(np.where(np.diff(dropped, prepend=-2) > 1, index, 0))
    past = np.where(references.past >= 0, dropped - references.past, 0)
    future = np.where(references.future >= 0, references.future - dropped, 0)
    distance = np.stack([past, future], axis=1).astype(np.int32)
    for number in range(int(depth.max()) + 1):
        whole = np.flatnonzero(depth == number)
        most = max(PART // blocks, 1)
        for first in range(0, len(whole), most):
            frames = whole[first : first + most]
            before = frames - 1
            yield CodingLayer(frames, before if number else None, distance[frames], np.maximum(distance[before], 1))


@dataclass(frozen=True)
class Pass:
    """One scan phase of one coding layer: n blocks, frame by frame, with their contexts.

    Attributes:
        frames, cells: (n,) index of the dropped frame, and raster number of the block in it.
        close: whether it is the last phase, whose neighbours are adjacent.
        modes: (n, 4) all modes, the most probable first.
        known: candidates of the vectors (n, 2), into past and future.
        mode_context: (n,) context of the mode symbol.
    """

    frames: Index
    cells: Index
    close: bool
    modes: Bytes
    known: MVCandidates
    mode_context: Bytes


class BlockContexts:
    """The modes and vectors coded so far. A vector that a block does not use is set to the median."""

    def __init__(self, references: References, rows: int, columns: int) -> None:
        self.references, self.rows, self.columns = references, rows, columns
        self.modes = np.zeros((len(references.dropped), rows * columns), np.uint8)
        self.vectors = np.zeros((len(references.dropped), rows * columns, 2, 2), np.int16)

    def passes(self) -> Iterator[Pass]:
        """Yield all passes in order; call `put` for each before asking for the next."""
        for level in coding_layers(self.references, self.rows * self.columns):
            for phase in phases(self.rows, self.columns):
                yield self._pass(level, phase)

    def put(self, step: Pass, modes: Bytes, vectors: Shorts) -> None:
        """Store the modes (n,) and vectors (n, 2, 2) of a pass; unused vectors are ignored."""
        self.modes[step.frames, step.cells] = modes
        self.vectors[step.frames, step.cells] = np.where(uses(modes)[..., None], vectors, step.known.vectors[0])

    def decisions(self) -> MotionField:
        """The complete motion field; unused vectors are 0."""
        out = np.empty((*self.modes.shape, FIELDS), np.int16)
        out[..., 0] = self.modes
        out[..., 1:] = (self.vectors * uses(self.modes)[..., None]).reshape(*self.modes.shape, FIELDS - 1)
        return MotionField(self.references, out.reshape(-1, self.rows, self.columns, FIELDS))

    def _pass(self, level: CodingLayer, phase: Phase) -> Pass:
        frames, cells = np.repeat(level.frames, phase.cells.size), np.tile(phase.cells, level.frames.size)
        mode, vector = self._before(level, phase)
        if phase.neighbours is None:
            around = np.zeros((4, cells.size), np.uint8) if mode is None else np.stack([mode] * 4)
            vectors = np.stack([vector] * 4)
        else:
            there = frames, np.tile(phase.neighbours, level.frames.size)
            around, vectors = self.modes[there], self.vectors[there]
            vector = vectors[0] if mode is None else vector
        votes = 2 * (around[..., None] == np.arange(MODES)).sum(axis=0, dtype=np.int8)
        if mode is not None:
            votes += mode[:, None] == np.arange(MODES)
        agreement = np.maximum(votes.max(axis=1), 10 - VOTES) - (10 - VOTES)
        return Pass(
            frames, cells, phase.adjacent, np.argsort(-votes, axis=1, kind="stable").astype(np.uint8),
            MVCandidates.from_neighbours(vectors, vector, phase.adjacent, VECTOR_CONTEXT),
            (MODE_CONTEXT + phase.adjacent * VOTES + agreement).astype(np.uint8),
        )  # fmt: skip

    def _before(self, level: CodingLayer, phase: Phase) -> tuple[Bytes | None, Shorts]:
        """Modes and vectors of the colocated blocks in the preceding frames; vectors are scaled by distance."""
        count = level.frames.size * phase.cells.size
        if level.before is None:
            return None, np.zeros((count, 2, 2), np.int16)
        there = level.before[:, None], phase.cells
        now, then = (d[:, None, :, None] for d in (level.distance, level.earlier))
        scaled = (2 * self.vectors[there].astype(np.int32) * now + then) // (2 * then)
        return self.modes[there].ravel(), np.clip(scaled, -32768, 32767).astype(np.int16).reshape(count, 2, 2)
