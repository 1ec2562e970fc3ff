"""The order in which the decisions of a clip are coded, and the contexts of their symbols (SPEC.md 7.8).

Writer, reader and the encoder's choice run the same walk. All about a pass is computed at once, with integer
arithmetic alone, from decisions that are already known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import FIELDS, MODES, Decisions, Sides, uses
from dfccodec.codec.motion.tables import MODE_CONTEXT, VECTOR_CONTEXT, VOTES
from dfccodec.entropy.lattice import Phase, phases
from dfccodec.entropy.vectors import Known

Index = npt.NDArray[np.intp]
Ints = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Shorts = npt.NDArray[np.int16]

PART = 1 << 19
"""Blocks of the frames of a level that are coded together, or one frame where that is more: bounds what a pass needs in
memory."""


@dataclass(frozen=True)
class Level:
    """Dropped frames that are coded together: the first of every run of them, then the second of every run, …

    Where a level holds too many blocks, this is a part of it.

    Attributes:
        frames: (n,) numbers of dropped frames.
        before: (n,) those of the frames before them; None at the first level.
        distance: (n, 2) frames to past and future, 0 where there is none.
        earlier: (n, 2) the same of the frames before, at least 1.
    """

    frames: Index
    before: Index | None
    distance: Ints
    earlier: Ints


def levels(sides: Sides, blocks: int) -> Iterator[Level]:
    """The levels of a clip in order, in parts of as many frames of `blocks` blocks each as PART allows."""
    dropped, index = sides.dropped, np.arange(len(sides.dropped))
    depth = index - np.maximum.accumulate(np.where(np.diff(dropped, prepend=-2) > 1, index, 0))
    past = np.where(sides.past >= 0, dropped - sides.past, 0)
    future = np.where(sides.future >= 0, sides.future - dropped, 0)
    distance = np.stack([past, future], axis=1).astype(np.int32)
    for number in range(int(depth.max()) + 1):
        whole = np.flatnonzero(depth == number)
        most = max(PART // blocks, 1)
        for first in range(0, len(whole), most):
            frames = whole[first : first + most]
            before = frames - 1
            yield Level(frames, before if number else None, distance[frames], np.maximum(distance[before], 1))


@dataclass(frozen=True)
class Pass:
    """One phase of one level, n blocks frame by frame, and what is known of them before they are coded.

    Attributes:
        frames, cells: (n,) number of the dropped frame, and raster number of the block in it.
        close: whether it is the last phase.
        modes: (n, 4) all modes, the most expected first.
        known: of the vectors (n, 2), into past and future.
        mode_context: (n,)
    """

    frames: Index
    cells: Index
    close: bool
    modes: Bytes
    known: Known
    mode_context: Bytes


class Walk:
    """The decisions known so far. Here every block has both vectors: one that it does not use is the median."""

    def __init__(self, sides: Sides, rows: int, columns: int) -> None:
        self.sides, self.rows, self.columns = sides, rows, columns
        self.modes = np.zeros((len(sides.dropped), rows * columns), np.uint8)
        self.vectors = np.zeros((len(sides.dropped), rows * columns, 2, 2), np.int16)

    def passes(self) -> Iterator[Pass]:
        """All passes in order; the decisions of each are to be `put` before the next is asked for."""
        for level in levels(self.sides, self.rows * self.columns):
            for phase in phases(self.rows, self.columns):
                yield self._pass(level, phase)

    def put(self, step: Pass, modes: Bytes, vectors: Shorts) -> None:
        """Take the decisions of a pass: modes (n,), vectors (n, 2, 2); unused ones do not matter."""
        self.modes[step.frames, step.cells] = modes
        self.vectors[step.frames, step.cells] = np.where(uses(modes)[..., None], vectors, step.known.vectors[0])

    def decisions(self) -> Decisions:
        """All of them, unused vectors 0."""
        out = np.empty((*self.modes.shape, FIELDS), np.int16)
        out[..., 0] = self.modes
        out[..., 1:] = (self.vectors * uses(self.modes)[..., None]).reshape(*self.modes.shape, FIELDS - 1)
        return Decisions(self.sides, out.reshape(-1, self.rows, self.columns, FIELDS))

    def _pass(self, level: Level, phase: Phase) -> Pass:
        frames, cells = np.repeat(level.frames, phase.cells.size), np.tile(phase.cells, level.frames.size)
        mode, vector = self._before(level, phase)
        if phase.near is None:
            around = np.zeros((4, cells.size), np.uint8) if mode is None else np.stack([mode] * 4)
            vectors = np.stack([vector] * 4)
        else:
            there = frames, np.tile(phase.near, level.frames.size)
            around, vectors = self.modes[there], self.vectors[there]
            vector = vectors[0] if mode is None else vector
        votes = 2 * (around[..., None] == np.arange(MODES)).sum(axis=0, dtype=np.int8)
        if mode is not None:
            votes += mode[:, None] == np.arange(MODES)
        sure = np.maximum(votes.max(axis=1), 10 - VOTES) - (10 - VOTES)
        return Pass(
            frames, cells, phase.close, np.argsort(-votes, axis=1, kind="stable").astype(np.uint8),
            Known.of(vectors, vector, phase.close, VECTOR_CONTEXT),
            (MODE_CONTEXT + phase.close * VOTES + sure).astype(np.uint8),
        )  # fmt: skip

    def _before(self, level: Level, phase: Phase) -> tuple[Bytes | None, Shorts]:
        """Mode and vectors of the same blocks in the frames before, the vectors scaled to what is farther or nearer."""
        count = level.frames.size * phase.cells.size
        if level.before is None:
            return None, np.zeros((count, 2, 2), np.int16)
        there = level.before[:, None], phase.cells
        now, then = (d[:, None, :, None] for d in (level.distance, level.earlier))
        scaled = (2 * self.vectors[there].astype(np.int32) * now + then) // (2 * then)
        return self.modes[there].ravel(), np.clip(scaled, -32768, 32767).astype(np.int16).reshape(count, 2, 2)
