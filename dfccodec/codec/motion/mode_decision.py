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
from dfccodec.entropy.rans import FrequencyModel
from dfccodec.native import kernels

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int16]
Bytes = npt.NDArray[np.uint8]

COARSE_LAMBDA_SCALE = 0.7
"""Factor on λ in scan phases from which later ones are predicted: accuracy there pays twice."""


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
        costs = np.full((MODES, len(count)), np.iinfo(np.int64).max, np.int64)
        rank_bits = self.bits[self.step.mode_context[self.part], ESCAPE : ESCAPE + MODES]
        mode_bits = np.empty_like(rank_bits)
        np.put_along_axis(mode_bits, self.step.modes[self.part].astype(np.intp), rank_bits, axis=1)
        costs[MODEL] = self.estimate + self._rate(mode_bits[:, MODEL])
        vectors = self.step.known.vectors[0, self.part].copy()
        rates = np.zeros((2, len(count)), np.int64)
        for side, source in enumerate(self.sources):
            if source is not None:
                known, rate = self._candidates(side)
                cost = self._costs(source, known, rate)
                best = cost.argmin(axis=0)
                costs[PAST + side] = cost[best, count] + self._rate(mode_bits[:, PAST + side])
                vectors[:, side], rates[side] = known[best, count], rate[best, count]
        past, future = self.sources
        if past is not None and future is not None:
            mvs = vectors.astype(np.int32)
            error = block_errors(self.target, past, self.cells, mvs[:, 0], future, mvs[:, 1])
            costs[BI] = error + self._rate(mode_bits[:, BI] + rates.sum(axis=0))
        return costs.argmin(axis=0).astype(np.uint8), vectors

    def _rate(self, bits: npt.NDArray[Any]) -> Longs:
        out: Longs = self.rd_lambda * bits.astype(np.int64) // BIT
        return out

    def _candidates(self, side: int) -> tuple[Shorts, Longs]:
        """Candidate vectors (6, n, 2): median, neighbours, searched; and their cost (6, n) in 1 / BIT."""
        known, own = self.step.known.select(self.part, side), self.searched[:, side]
        return np.concatenate([known.vectors, own[None]]), known.bits(own, self.bits)

    def _costs(self, source: PyramidLevel, vectors: Shorts, rates: Longs) -> Longs:
        """Costs (k, n) of vectors (k, n, 2); equal vectors are evaluated once."""
        found = np.full(vectors.shape[:2], np.iinfo(np.int64).max, np.int64)
        for number, own in enumerate(vectors):
            again = (vectors[:number] == own).all(axis=-1).any(axis=0)
            new = np.flatnonzero(~again)
            if new.size:
                errors = block_errors(self.target, source, self.cells[new], own[new].astype(np.int32))
                found[number, new] = errors + self._rate(rates[number, new])
        return found

    def _choose_in_kernel(self, kernels: ModuleType) -> tuple[Bytes, Shorts]:
        known, part, count = self.step.known, self.part, len(self.cells)
        modes, vectors = np.empty(count, np.uint8), np.empty((count, 2, 2), np.int16)
        past, future = (source and source.for_kernel for source in self.sources)
        kernels.choose(
            self.target.for_kernel, past, future, self.cells.astype(np.int32), self.estimate, self.searched,
            self.step.modes[part], self.step.mode_context[part], np.ascontiguousarray(known.vectors[:, part]),
            known.context[part], known.mvd_context[part], self.bits, self.rd_lambda, modes, vectors,
        )  # fmt: skip
        return modes, vectors
