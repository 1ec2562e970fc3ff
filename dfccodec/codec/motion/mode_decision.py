"""Mode decision of fill policy `motion`: the least D + λR, in coding order and with the adaptive symbol statistics."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import BI, MODEL, MODES, PAST, MotionField, References
from dfccodec.codec.motion.context_model import BlockContexts, Pass
from dfccodec.codec.motion.pyramid import ERROR_UNIT, PyramidLevel, block_errors
from dfccodec.codec.motion.tables import initial_counts
from dfccodec.entropy.bit_table import BIT, symbol_bits
from dfccodec.entropy.context_tables import ESCAPE
from dfccodec.entropy.mv_coding import first_match
from dfccodec.entropy.rans import FrequencyModel
from dfccodec.native import kernels

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int16]
Bytes = npt.NDArray[np.uint8]
Index = npt.NDArray[np.intp]

_NEVER = np.iinfo(np.int64).max

COARSE_LAMBDA_SCALE = 0.7
"""Factor on λ in scan phases from which later ones are predicted: accuracy there pays twice."""

REFINEMENTS = 12
"""Maximum rounds in which a vector moves by one unit. The motion estimation only guesses bits; here they are known."""

PAIR_REFINEMENTS = 6
"""Maximum rounds in which both vectors of a block with two references move."""

CROSS = np.array([(-1, 0), (0, -1), (0, 1), (1, 0)], np.int16)


class _StatisticsCoder:
    """A coder that only updates the symbol statistics and writes no bytes."""

    def __init__(self) -> None:
        self.statistics = FrequencyModel(initial_counts())

    def code(self, contexts: Bytes, shifts: Ints | None, residuals: Ints | None) -> Ints:
        assert residuals is not None
        if contexts.size:
            self.statistics.update(contexts, np.clip(residuals, -ESCAPE, ESCAPE) + ESCAPE)
        return residuals

    def bits(self) -> Ints:
        """Current cost of each symbol in 1 / BIT, (contexts, symbols)."""
        return (BIT * symbol_bits(self.statistics.frequencies(slice(None)))).astype(np.int32)


@dataclass(frozen=True)
class DecisionInput:
    """Input of the mode decision.

    Attributes:
        target: returns the source picture of a dropped frame by its index.
        kept: reference pictures by frame number, at integer-pel and half-pel positions.
        estimate: (D, rows · columns) squared error of the estimate of each block, in 1 / ERROR_UNIT.
        searched: (D, rows · columns, 2, 2) vectors found by motion estimation.
    """

    target: Callable[[int], PyramidLevel]
    kept: dict[int, PyramidLevel]
    estimate: Longs
    searched: Shorts


def choose(
    inputs: DecisionInput, references: References, rows: int, columns: int, rd_lambda: float, pool: Executor
) -> MotionField:
    """Choose modes and vectors of all dropped frames; `rd_lambda` is λ in squared error per bit."""
    contexts, coder = BlockContexts(references, rows, columns), _StatisticsCoder()
    for step in contexts.passes():
        modes, vectors = _choices(inputs, references, step, coder.bits(), rd_lambda, pool)
        payload.code(step, coder, modes, vectors)
        contexts.put(step, modes, vectors)
    return contexts.decisions()


def _choices(
    inputs: DecisionInput, references: References, step: Pass, bits: Ints, rd_lambda: float, pool: Executor
) -> tuple[Bytes, Shorts]:  # fmt: skip
    """Choose the modes and vectors of one pass; threads share its frames."""
    starts = np.flatnonzero(np.diff(step.frames, prepend=-1))
    parts = [slice(a, b) for a, b in zip(starts, [*starts[1:], len(step.cells)], strict=True)]
    here = round(ERROR_UNIT * (rd_lambda if step.close else rd_lambda * COARSE_LAMBDA_SCALE))
    found = list(pool.map(lambda part: _Frame(inputs, references, step, part, bits, here).choose(), parts))
    return np.concatenate([modes for modes, _ in found]), np.concatenate([vectors for _, vectors in found])


class _Frame:
    """The n blocks of one dropped frame that one coding pass covers: candidates, costs and the chosen modes.

    All costs are integers in 1 / ERROR_UNIT; `rd_lambda` is λ in that unit.
    """

    def __init__(
        self, inputs: DecisionInput, references: References, step: Pass, part: slice, bits: Ints, rd_lambda: int
    ) -> None:  # fmt: skip
        self.step, self.part, self.bits, self.rd_lambda = step, part, bits, rd_lambda
        number = int(step.frames[part.start])
        self.cells = step.cells[part]
        self.target = inputs.target(number)
        self.estimate = inputs.estimate[number, self.cells]
        self.searched = inputs.searched[number, self.cells]
        self.sources = [inputs.kept.get(int(side[number])) for side in (references.past, references.future)]

    def choose(self) -> tuple[Bytes, Shorts]:
        """Modes (n,) and vectors (n, 2, 2)."""
        if kernels is not None:
            return self._choose_in_kernel(kernels)
        count = np.arange(len(self.cells))
        costs = np.full((MODES, len(count)), _NEVER, np.int64)
        rank_bits = self.bits[self.step.mode_context[self.part], ESCAPE : ESCAPE + MODES]
        mode_bits = np.empty_like(rank_bits)
        np.put_along_axis(mode_bits, self.step.modes[self.part].astype(np.intp), rank_bits, axis=1)
        costs[MODEL] = self.estimate + self._rate(mode_bits[:, MODEL])
        vectors = self.step.known.vectors[0, self.part].copy()
        rates = np.zeros((2, len(count)), np.int64)
        for side, source in enumerate(self.sources):
            if source is not None:
                cost = self._best_vectors(side, source, vectors, rates)
                costs[PAST + side] = cost + self._rate(mode_bits[:, PAST + side])
        if None not in self.sources:
            pairs, costs[BI] = self._best_pairs(vectors, rates, mode_bits[:, BI], costs[:BI].min(axis=0))
        modes = costs.argmin(axis=0).astype(np.uint8)
        return modes, np.where((modes == BI)[:, None, None], pairs, vectors) if None not in self.sources else vectors

    def _rate(self, bits: npt.NDArray[Any]) -> Longs:
        out: Longs = self.rd_lambda * bits.astype(np.int64) // BIT
        return out

    def _best_vectors(self, side: int, source: PyramidLevel, vectors: Shorts, rates: Longs) -> Longs:
        """Set the best `vectors` (n, 2, 2) of a side, and their `rates` (2, n); their cost (n,) without the mode.

        The best candidate, moved as long as that helps. Candidates: median, neighbours, the vector found by motion
        estimation.
        """
        known, cost = self.step.known.vectors[:, self.part, side], np.full(len(self.cells), _NEVER, np.int64)

        def offer(where: Index, offered: Shorts) -> None:
            bits = self._bits(side, where, offered)
            now = block_errors(self.target, source, self.cells[where], offered.astype(np.int32)) + self._rate(bits)
            better = now < cost[where]
            at = where[better]
            cost[at], rates[side, at], vectors[at, side] = now[better], bits[better], offered[better]

        every = np.arange(len(cost))
        for number, own in enumerate([*known, self.searched[:, side]]):
            again = (known[:number] == own).all(axis=-1).any(axis=0)  # equal vectors are evaluated once
            offer(every[~again], own[~again])
        moving = every
        for _ in range(REFINEMENTS):
            centre = vectors[moving, side]
            for move in CROSS:
                offer(moving, centre + move)
            moving = moving[(vectors[moving, side] != centre).any(axis=1)]
            if not moving.size:
                break
        return cost

    def _best_pairs(
        self, vectors: Shorts, rates: Longs, mode_bits: Ints, least: Longs
    ) -> tuple[Shorts, Longs]:  # fmt: skip
        """Vectors (n, 2, 2) and cost (n,) of blocks with two references: the best vectors of both sides, moved in turn
        as long as that helps, because the best pair need not be that of the best vectors.

        Args:
            vectors, rates: best vectors (n, 2, 2), and their bits (2, n).
            mode_bits: (n,) bits of the mode.
            least: (n,) cost of the best other mode. If the first pair costs much more, it is not moved.
        """
        pairs, rates = vectors.copy(), rates.copy()
        past, future = self.sources

        def measure(where: Index, pair: Shorts, bits: Longs) -> Longs:
            assert past is not None
            mvs = pair.astype(np.int32)
            error = block_errors(self.target, past, self.cells[where], mvs[:, 0], future, mvs[:, 1])
            out: Longs = error + self._rate(mode_bits[where] + bits.sum(axis=0))
            return out

        def offer(side: int, where: Index, offered: Shorts) -> None:
            pair, bits = pairs[where], rates[:, where]
            pair[:, side], bits[side] = offered, self._bits(side, where, offered)
            now = measure(where, pair, bits)
            better = now < cost[where]
            at = where[better]
            cost[at], rates[:, at], pairs[at] = now[better], bits[:, better], pair[better]

        every = np.arange(len(pairs))
        cost = measure(every, pairs, rates)
        moving = np.flatnonzero(cost < least + least // 4)
        for turn in range(PAIR_REFINEMENTS if moving.size else 0):
            before = pairs[moving]
            for side in (0, 1):
                centre = pairs[moving, side]
                known = self.step.known.vectors[:, self.part, side][:, moving]
                for offered in [*(centre + move for move in CROSS), *(() if turn else known)]:
                    offer(side, moving, offered)
            moving = moving[(pairs[moving] != before).any(axis=(1, 2))]
            if not moving.size:
                break
        return pairs, cost

    def _bits(self, side: int, where: Index, vectors: Shorts) -> Longs:
        """Bits (n,), in 1 / BIT, of `vectors` (n, 2) of the blocks `where` (n,)."""
        known = self.step.known.select(self.part, side).select(where)
        out: Longs = known.bits(vectors, self.bits)[first_match(known.vectors, vectors), np.arange(len(where))]
        return out

    def _choose_in_kernel(self, kernels: ModuleType) -> tuple[Bytes, Shorts]:
        known, part, count = self.step.known, self.part, len(self.cells)
        modes, vectors = np.empty(count, np.uint8), np.empty((count, 2, 2), np.int16)
        past, future = (source and source.for_kernel for source in self.sources)
        kernels.choose(
            self.target.for_kernel, past, future, self.cells.astype(np.int32), self.estimate, self.searched,
            self.step.modes[part], self.step.mode_context[part], np.ascontiguousarray(known.vectors[:, part]),
            known.context[part], known.mvd_context[part], self.bits, self.rd_lambda, REFINEMENTS, PAIR_REFINEMENTS,
            modes, vectors,
        )  # fmt: skip
        return modes, vectors
