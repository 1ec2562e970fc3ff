"""The encoder of fill policy `motion`: vectors by search, modes by D + λR, both against decoded kept frames."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion import compose as painter
from dfccodec.codec.motion.payload import BLOCK, BOTH, FIELDS, MODEL, PAST, SUB, Sides
from dfccodec.codec.motion.search import Pyramid, bits_of, vectors_between

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Shorts = npt.NDArray[np.int16]

SAME, OTHER = 0.1, 3.0
"""About the bits of a mode that is, or is not, that of the block to the left."""

SLOPE = 8.0
"""Squared error a bit must save, in units of ln 2 / 6 · step². At high rates it would be 1; at those of use a bit of
the latents saves 5 to 15 times as much (measured on training clips at QP 20 to 28, 6 of 32 kept)."""

STEP = 0.02
"""Of `mini` at QP 0, in samples of 0…1: what QP means in pixels, whatever the model's own steps are."""


def slope_of(qp: int) -> float:
    """λ: squared error, of samples in 0…1 added up, that one bit must save."""
    return SLOPE * math.log(2) / 6 * (STEP * 2 ** (qp / 8)) ** 2


def decide(frames: npt.NDArray[np.uint8], decoded: Floats, sides: Sides, slope: float, threads: int = 1) -> Shorts:
    """Modes and vectors of every block of every dropped frame.

    Args:
        frames: (T, H, W, 3) as they should look.
        decoded: (T, H, W, 3) float32 in 0…1, what the model makes of all of them.
        sides: dropped frames and their kept neighbours.
        slope: λ, squared error (of samples in 0…1, added up) per bit.
        threads: to work with.

    Returns:
        (D, rows, columns, 5) int16, unused vectors like those to the left of them.
    """
    rows, columns = (-(-side // BLOCK) for side in frames.shape[1:3])
    out = np.zeros((len(sides.dropped), rows, columns, FIELDS), np.int16)
    with ThreadPoolExecutor(threads) as pool:
        _search(out, frames, decoded, sides, slope, pool)

        def choose(number: int) -> None:
            t, past, future = (int(side[number]) for side in (sides.dropped, sides.past, sides.future))
            sources = decoded[past] if past >= 0 else None, decoded[future] if future >= 0 else None
            _Choice(_unit(frames[t]), decoded[t], sources, out[number], slope).run()

        list(pool.map(choose, range(len(out))))
    return out


def _search(
    out: Shorts, frames: npt.NDArray[np.uint8], decoded: Floats, sides: Sides, slope: float, pool: Executor
) -> None:
    """Fill in the best vectors of all blocks, outwards from each kept frame: every field is a hint for the next."""

    def chain(job: tuple[int, Iterable[int], int]) -> None:
        kept, numbers, place = job
        source, hint = Pyramid(decoded[kept], SUB), None
        for number in numbers:
            frame = int(sides.dropped[number])
            distance = abs(frame - kept)
            found = vectors_between(Pyramid(_unit(frames[frame])), source, slope, hint)
            out[number, :, :, place : place + 2] = found
            hint = np.rint(found * ((distance + 1) / distance)).astype(np.int32)

    jobs: list[tuple[int, Iterable[int], int]] = []
    for side, place, order in ((sides.past, 1, 1), (sides.future, 3, -1)):
        jobs += [(k, np.flatnonzero(side == k)[::order].tolist(), place) for k in set(side.tolist()) - {-1}]
    list(pool.map(chain, jobs))


def _unit(frame: npt.NDArray[np.uint8]) -> Floats:
    out: Floats = frame.astype(np.float32) / np.float32(255)
    return out


class _Choice:
    """Modes and final vectors of one dropped frame, block by block from the left, all rows at a time.

    Every block may take the vector of the block to its left, which costs next to nothing, or its own.
    """

    def __init__(
        self, target: Floats, estimate: Floats, sources: tuple[Floats | None, Floats | None], decisions: Shorts,
        slope: float,
    ) -> None:  # fmt: skip
        self.decisions, self.sources, self.slope = decisions, sources, slope
        self.target, self.estimate = target, estimate
        self.rows, self.columns, _ = decisions.shape
        self.weights = np.repeat((painter.window()[:, None] * painter.window()).ravel(), 3)

    def run(self) -> None:
        before = np.zeros((self.rows, FIELDS), np.int32)
        for column in range(self.columns):
            before = self._column(column, before)
            self.decisions[:, column] = before

    def _fetch(self, source: Floats, column: int, vectors: Ints | None = None) -> Floats:
        corners = np.stack([np.arange(self.rows), np.full(self.rows, column)], axis=1).astype(np.int32) * BLOCK
        corners -= painter.REACH
        return painter.fetch(source, corners, np.zeros((self.rows, 2), np.int32) if vectors is None else vectors)

    def _error(self, blocks: Floats, wanted: Floats) -> Floats:
        difference = blocks - wanted
        difference *= difference
        out: Floats = difference.reshape(self.rows, -1) @ self.weights
        return out

    def _column(self, column: int, before: Ints) -> Ints:
        wanted = self._fetch(self.target, column)
        own = self.decisions[:, column].astype(np.int32)
        change = np.full((4, self.rows), OTHER)
        change[before[:, 0], np.arange(self.rows)] = SAME
        blocks: list[list[tuple[Floats, Floats, Ints]]] = []
        costs = [self._error(self._fetch(self.estimate, column), wanted) + self.slope * change[MODEL]]
        choices = [_with_mode(before, MODEL)]
        for side, source in enumerate(self.sources):
            found = []
            place = slice(1 + 2 * side, 3 + 2 * side)
            for vectors in (before[:, place], own[:, place]):
                if source is None:
                    continue
                made = self._fetch(source, column, vectors)
                bits = bits_of(vectors - before[:, place])
                found.append((made, bits, vectors))
                costs.append(self._error(made, wanted) + self.slope * (change[PAST + side] + bits))
                choice = _with_mode(before, PAST + side)
                choice[:, place] = vectors
                choices.append(choice)
            blocks.append(found)
        for (a, bits, v), (b, more, w) in itertools.product(*blocks):
            costs.append(self._error((a + b) * np.float32(0.5), wanted) + self.slope * (change[BOTH] + bits + more))
            choices.append(np.concatenate([np.full((self.rows, 1), BOTH, np.int32), v, w], axis=1))
        best = np.argmin(costs, axis=0)
        out: Ints = np.stack(choices)[best, np.arange(self.rows)]
        return out


def _with_mode(decisions: Ints, mode: int) -> Ints:
    out = decisions.copy()
    out[:, 0] = mode
    return out
