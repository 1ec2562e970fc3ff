"""Mode decision of fill policy `motion`: the least D + λR, in coding order and with the adaptive symbol statistics."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import BI, MODEL, MODES, PAST, MotionField, References
from dfccodec.codec.motion.context_model import BlockContexts, Pass
from dfccodec.codec.motion.search import ERROR_UNIT, PyramidLevel, block_errors
from dfccodec.codec.motion.tables import initial_counts
from dfccodec.entropy.context_tables import ESCAPE, PRECISION
from dfccodec.entropy.rans import FrequencyModel

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
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

    def bits(self) -> Floats:
        """Current cost of each symbol in bits, (contexts, symbols)."""
        out: Floats = (PRECISION - np.log2(self.statistics.frequencies(slice(None)))).astype(np.float32)
        return out


@dataclass(frozen=True)
class DecisionInput:
    """Input of the mode decision.

    Attributes:
        target: returns the source picture of a dropped frame by its index.
        kept: reference pictures by frame number, at integer-pel and half-pel positions.
        estimate: (D, rows · columns) squared error of the network prediction of each block.
        searched: (D, rows · columns, 2, 2) vectors found by motion estimation.
    """

    target: Callable[[int], PyramidLevel]
    kept: dict[int, PyramidLevel]
    estimate: Floats
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
    inputs: DecisionInput, references: References, step: Pass, bits: Floats, rd_lambda: float, pool: Executor
) -> tuple[Bytes, Shorts]:  # fmt: skip
    """Choose the modes and vectors of one pass; threads share its frames."""
    starts = np.flatnonzero(np.diff(step.frames, prepend=-1))
    parts = [slice(a, b) for a, b in zip(starts, [*starts[1:], len(step.cells)], strict=True)]
    here = rd_lambda if step.close else rd_lambda * COARSE_LAMBDA_SCALE
    found = list(pool.map(lambda part: _Frame(inputs, references, step, part, bits, here).choose(), parts))
    return np.concatenate([modes for modes, _ in found]), np.concatenate([vectors for _, vectors in found])


class _Frame:
    """The n blocks of one dropped frame that one coding pass covers: candidates, costs and the chosen modes."""

    def __init__(
        self, inputs: DecisionInput, references: References, step: Pass, part: slice, bits: Floats, rd_lambda: float
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
        count = np.arange(len(self.cells))
        costs = np.full((MODES, len(count)), np.inf, np.float32)
        rank_bits = self.bits[self.step.mode_context[self.part], ESCAPE : ESCAPE + MODES]
        mode_bits = np.empty_like(rank_bits)
        np.put_along_axis(mode_bits, self.step.modes[self.part].astype(np.intp), rank_bits, axis=1)
        costs[MODEL] = self.estimate
        vectors = self.step.known.vectors[0, self.part].copy()
        rates = np.zeros((2, len(count)), np.float32)
        for side, source in enumerate(self.sources):
            if source is not None:
                known, rate = self._candidates(side)
                cost = self._errors(source, known) + self.rd_lambda * rate
                best = cost.argmin(axis=0)
                costs[PAST + side] = cost[best, count]
                vectors[:, side], rates[side] = known[best, count], rate[best, count]
        costs += self.rd_lambda * mode_bits.T
        past, future = self.sources
        if past is not None and future is not None:
            mvs = vectors.astype(np.int32)
            error = block_errors(self.target, past, self.cells, mvs[:, 0], future, mvs[:, 1])
            costs[BI] = error / ERROR_UNIT + self.rd_lambda * (mode_bits[:, BI] + rates.sum(axis=0))
        return costs.argmin(axis=0).astype(np.uint8), vectors

    def _candidates(self, side: int) -> tuple[Shorts, Floats]:
        """Candidate vectors (6, n, 2): median, neighbours, searched; and their cost in bits (6, n)."""
        known, own = self.step.known.select(self.part, side), self.searched[:, side]
        return np.concatenate([known.vectors, own[None]]), known.bits(own, self.bits)

    def _errors(self, source: PyramidLevel, vectors: Shorts) -> Floats:
        """Squared errors (k, n) of vectors (k, n, 2); equal vectors are evaluated once."""
        found = np.full(vectors.shape[:2], np.inf, np.float32)
        for number, own in enumerate(vectors):
            again = (vectors[:number] == own).all(axis=-1).any(axis=0)
            new = np.flatnonzero(~again)
            if new.size:
                errors = block_errors(self.target, source, self.cells[new], own[new].astype(np.int32))
                found[number, new] = errors / ERROR_UNIT
        return found
