"""The encoder of fill policy `motion`: vectors by search, then modes and vectors by choice (SPEC.md 7.8)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from types import TracebackType

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import BLOCK, SUB, Decisions, Sides
from dfccodec.codec.motion.choose import Pictures, choose
from dfccodec.codec.motion.search import GOOD, Effort, Pyramid, in_place, vectors_between
from dfccodec.codec.runtime import small_products
from dfccodec.codec.together import Together

__all__ = ["Effort", "MotionSearch", "slope_of"]

Floats = npt.NDArray[np.float32]
Shorts = npt.NDArray[np.int16]

SLOPE = 4.0
"""Squared error a bit must save, in units of ln 2 / 6 · step². At high rates it would be 1; at those of use a bit of
the latents saves several times as much (measured on four training clips at QP 24 to 27, 6 of 32 kept: with 8 or with 2
the same quality takes about 2 % more bits in all)."""

STEP = 0.02
"""Of `mini` at QP 0, in samples of 0…1: what QP means in pixels, whatever the model's own steps are."""

ALONE = 1 << 17
"""Pixels below which a second thread makes the search slower: NumPy's calls are then so short that threads wait for the
interpreter more than they work. Eight clips of 256×256 took 0.87 s each with one and 0.97 with two; from 512×288 on two
gain."""


def slope_of(qp: int) -> float:
    """λ: squared error, of samples in 0…1 added up, that one bit must save."""
    return SLOPE * math.log(2) / 6 * (STEP * 2 ** (qp / 8)) ** 2


class MotionSearch:
    """Finds modes and vectors of every block of every dropped frame of a clip.

    What the model makes of the clip is shown to it frame by frame, so that it need not be held.

    Args:
        frames: (T, H, W, 3) as they should look.
        sides: dropped frames and their kept neighbours.
        slope: λ, squared error (of samples in 0…1, added up) per bit.
        threads: to work with.
        effort: how long to search.
    """

    def __init__(
        self,
        frames: npt.NDArray[np.uint8],
        sides: Sides,
        slope: float,
        threads: int = 1,
        effort: Effort = Effort.NORMAL,
    ) -> None:
        self._frames, self._sides, self._slope, self._effort = frames, sides, slope, effort
        self._rows, self._columns = (-(-side // BLOCK) for side in frames.shape[1:3])
        self._numbers = {frame: number for number, frame in enumerate(sides.dropped.tolist())}
        self._around = {*sides.past.tolist(), *sides.future.tolist()} - {-1}
        self._kept: dict[int, Pyramid] = {}
        self._wanted: dict[int, Pyramid] = {}
        self._estimate = np.empty((len(sides.dropped), self._rows * self._columns), np.float32)
        alone = frames.shape[1] * frames.shape[2] < ALONE
        self._jobs = Together(1 if alone else threads, 4 * frames[0].size)
        self._alone = small_products()

    def __enter__(self) -> MotionSearch:
        self._alone.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._jobs.__exit__(kind, error, at)
        self._alone.__exit__(kind, error, at)

    def show(self, frame: int, picture: Floats) -> None:
        """What the model makes of a frame of the clip: (H, W, 3) in 0…1."""
        self._jobs.add(partial(self._look_at, frame, picture))

    def _look_at(self, frame: int, picture: Floats) -> None:
        if frame in self._around:
            self._kept[frame] = Pyramid(picture, SUB)
        elif frame in self._numbers:
            number = self._numbers[frame]
            self._wanted[number] = Pyramid(_unit(self._frames[frame]))
            self._estimate[number] = _apart(self._wanted[number], picture)

    def decisions(self) -> Decisions:
        """What was found, once all frames have been shown."""
        self._jobs.finish()
        pool, sides, slope, estimate = self._jobs.pool, self._sides, self._slope, self._estimate
        wanted = [self._wanted[number] for number in range(len(estimate))]
        kept = {frame: self._kept[frame] for frame in sorted(self._around)}
        searched = _search(wanted, kept, sides, estimate > GOOD * slope, slope, pool, self._effort)
        pictures = Pictures(
            lambda number: wanted[number].whole, {frame: kept[frame].whole for frame in kept}, estimate,
            searched.reshape(*estimate.shape, 2, 2),
        )  # fmt: skip
        return choose(pictures, sides, self._rows, self._columns, slope, pool)


def _apart(wanted: Pyramid, estimate: Floats) -> Floats:
    """Squared errors (rows · columns,) of the model's estimate."""
    cells = np.arange(wanted.rows * wanted.columns)
    return wanted.whole.apart(wanted.whole.windows(cells), in_place(estimate).windows(cells))


def _search(
    wanted: list[Pyramid], kept: dict[int, Pyramid], sides: Sides, poor: npt.NDArray[np.bool_], slope: float,
    pool: Executor, effort: Effort,
) -> Shorts:  # fmt: skip
    """The best vectors (D, rows, columns, 2, 2) of blocks that the model does not know well enough.

    Outwards from each kept frame: every field is a hint for the next.
    """
    out = np.zeros((len(wanted), wanted[0].rows, wanted[0].columns, 2, 2), np.int16)

    def chain(job: tuple[int, Iterable[int], int]) -> None:
        frame, numbers, side = job
        hint = None
        for number in numbers:
            distance = abs(int(sides.dropped[number]) - frame)
            found = vectors_between(
                wanted[number], kept[frame], slope, hint, effort, poor[number].reshape(out.shape[1:3])
            )  # fmt: skip
            out[number, :, :, side] = found
            hint = np.rint(found * ((distance + 1) / distance)).astype(np.int32)

    jobs: list[tuple[int, Iterable[int], int]] = []
    for side, (near, order) in enumerate(((sides.past, 1), (sides.future, -1))):
        jobs += [(frame, np.flatnonzero(near == frame)[::order].tolist(), side) for frame in kept if frame in near]
    list(pool.map(chain, jobs))
    return out


def _unit(frame: npt.NDArray[np.uint8]) -> Floats:
    out: Floats = frame.astype(np.float32) / np.float32(255)
    return out
