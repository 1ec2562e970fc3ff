"""Coding order of the blocks of a frame: a coarse grid, then finer grids between its blocks (SPEC.md 7.5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp]

COARSEST_STEP = 8
"""Distance between adjacent blocks of the first phase, in blocks, in both directions."""


@dataclass(frozen=True)
class Phase:
    """Blocks of a frame that are coded together.

    Attributes:
        cells: (n,) raster numbers of the blocks.
        neighbours: (4, n) raster numbers of their neighbours; None in the first phase.
        adjacent: whether neighbours share an edge with their block.
        number: 0 to 6; phases without blocks are left out.
    """

    cells: Index
    neighbours: Index | None
    adjacent: bool
    number: int


@lru_cache(maxsize=4)
def phases(rows: int, columns: int) -> tuple[Phase, ...]:
    """Return all phases of a frame: the coarse grid, then alternately centres of its squares and of their edges."""
    y, x = np.mgrid[:rows, :columns]
    step = COARSEST_STEP
    out = [Phase(np.flatnonzero((y % step == 0) & (x % step == 0)), None, False, 0)]
    while step > 1:
        step //= 2
        on = (y % step == 0) & (x % step == 0)
        down, right = y // step % 2 == 1, x // step % 2 == 1
        for cells, moves in (
            (np.flatnonzero(on & down & right), [(-1, -1), (-1, 1), (1, -1), (1, 1)]),
            (np.flatnonzero(on & (down != right)), [(-1, 0), (0, -1), (0, 1), (1, 0)]),
        ):
            neighbours = np.stack([_neighbours(cells, step * i, step * j, rows, columns) for i, j in moves])
            out.append(Phase(cells, neighbours, step == 1 and 0 in moves[0], len(out)))
    return tuple(phase for phase in out if phase.cells.size)


def _neighbours(cells: Index, down: int, right: int, rows: int, columns: int) -> Index:
    """Return the raster numbers of neighbours.

    If the row of a neighbour is outside the picture, the row on the other side of the block is taken; if that is
    outside too, the row of the block itself. The same holds for columns.
    """
    place = []
    for at, move, size in ((cells // columns, down, rows), (cells % columns, right, columns)):
        sides = [np.where((n >= 0) & (n < size), n, -1) for n in (at + move, at - move)]
        there = np.where(sides[0] >= 0, sides[0], sides[1])
        place.append(np.where(there >= 0, there, at))
    return place[0] * columns + place[1]
