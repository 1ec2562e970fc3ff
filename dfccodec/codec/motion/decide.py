"""The encoder of fill policy `motion`: vectors by search, then modes and vectors by choice (SPEC.md 6.7)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import BLOCK, SUB, Decisions, Sides
from dfccodec.codec.motion.choose import Pictures, choose
from dfccodec.codec.motion.search import GOOD, Effort, Pyramid, in_place, vectors_between

__all__ = ["Effort", "decide", "slope_of"]

Floats = npt.NDArray[np.float32]
Shorts = npt.NDArray[np.int16]

SLOPE = 4.0
"""Squared error a bit must save, in units of ln 2 / 6 · step². At high rates it would be 1; at those of use a bit of
the latents saves several times as much (measured on four training clips at QP 24 to 27, 6 of 32 kept: with 8 or with 2
the same quality takes about 2 % more bits in all)."""

STEP = 0.02
"""Of `mini` at QP 0, in samples of 0…1: what QP means in pixels, whatever the model's own steps are."""


def slope_of(qp: int) -> float:
    """λ: squared error, of samples in 0…1 added up, that one bit must save."""
    return SLOPE * math.log(2) / 6 * (STEP * 2 ** (qp / 8)) ** 2


def decide(
    frames: npt.NDArray[np.uint8], decoded: Floats, sides: Sides, slope: float, threads: int = 1,
    effort: Effort = Effort.NORMAL,
) -> Decisions:  # fmt: skip
    """Modes and vectors of every block of every dropped frame.

    Args:
        frames: (T, H, W, 3) as they should look.
        decoded: (T, H, W, 3) float32 in 0…1, what the model makes of all of them.
        sides: dropped frames and their kept neighbours.
        slope: λ, squared error (of samples in 0…1, added up) per bit.
        threads: to work with.
        effort: how long to search.
    """
    rows, columns = (-(-side // BLOCK) for side in frames.shape[1:3])
    with ThreadPoolExecutor(threads) as pool:
        around = sorted({*sides.past.tolist(), *sides.future.tolist()} - {-1})
        kept = dict(zip(around, pool.map(lambda frame: Pyramid(decoded[frame], SUB), around), strict=True))
        wanted = list(pool.map(lambda frame: Pyramid(_unit(frames[frame])), sides.dropped))
        estimate = np.stack(list(pool.map(_apart, wanted, (decoded[frame] for frame in sides.dropped))))
        searched = _search(wanted, kept, sides, estimate > GOOD * slope, slope, pool, effort)
        pictures = Pictures(
            lambda number: wanted[number].whole, {frame: kept[frame].whole for frame in around}, estimate,
            searched.reshape(*estimate.shape, 2, 2),
        )  # fmt: skip
        return choose(pictures, sides, rows, columns, slope, pool)


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
