"""The order in which the blocks of a frame are coded: a coarse grid, then what lies between (SPEC.md 7.5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp]

COARSEST = 8
"""Blocks from one to the next in the first phase, down and right."""


@dataclass(frozen=True)
class Phase:
    """Blocks of a frame that are coded together.

    Attributes:
        cells: (n,) raster numbers.
        neighbours: (4, n) raster numbers of the neighbours; None in the first phase.
        adjacent: whether neighbours share a side with their block.
    """

    cells: Index
    neighbours: Index | None
    adjacent: bool


@lru_cache(maxsize=4)
def phases(rows: int, columns: int) -> tuple[Phase, ...]:
    """All phases of a frame: a coarse grid, then in turn the middles of its squares and of their sides."""
    y, x = np.mgrid[:rows, :columns]
    step = COARSEST
    found = [Phase(np.flatnonzero((y % step == 0) & (x % step == 0)), None, False)]
    while step > 1:
        step //= 2
        on = (y % step == 0) & (x % step == 0)
        down, right = y // step % 2 == 1, x // step % 2 == 1
        for cells, moves in (
            (np.flatnonzero(on & down & right), [(-1, -1), (-1, 1), (1, -1), (1, 1)]),
            (np.flatnonzero(on & (down != right)), [(-1, 0), (0, -1), (0, 1), (1, 0)]),
        ):
            near = np.stack([_beside(cells, step * i, step * j, rows, columns) for i, j in moves])
            found.append(Phase(cells, near, step == 1 and 0 in moves[0]))
    return tuple(phase for phase in found if phase.cells.size)


def _beside(cells: Index, down: int, right: int, rows: int, columns: int) -> Index:
    """Raster numbers of neighbours; outside of the picture, that on the other side, or else none: the own line."""
    place = []
    for at, move, size in ((cells // columns, down, rows), (cells % columns, right, columns)):
        sides = [np.where((n >= 0) & (n < size), n, -1) for n in (at + move, at - move)]
        there = np.where(sides[0] >= 0, sides[0], sides[1])
        place.append(np.where(there >= 0, there, at))
    return place[0] * columns + place[1]
