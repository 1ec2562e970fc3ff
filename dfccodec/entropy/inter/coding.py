"""The inter coding of a clip's integers (SPEC.md 7.7): the range coding, but expecting what has moved."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.entropy import range_tables, vectors
from dfccodec.entropy.inter.picture import moved
from dfccodec.entropy.inter.search import search
from dfccodec.entropy.latents import Grid
from dfccodec.entropy.lattice import phases
from dfccodec.entropy.range_coding import RangeReader, RangeWriter, check_range_claim
from dfccodec.entropy.range_model import Coder, Shorts, walk
from dfccodec.entropy.vectors import Known


@lru_cache(maxsize=1)
def first_counts() -> npt.NDArray[np.int64]:
    """(contexts, SYMBOLS): those of the range coding, then those of vectors."""
    return np.concatenate([range_tables.first_counts(), vectors.first_counts()])


class Motion:
    """Expects each kept frame to be the one before, its cells moved; codes by how much.

    Args:
        grid: (tiles, rows, columns).
        coder: takes or gives vectors.
        own: (K, cells, 2) what to write, raster order; None to read.
    """

    def __init__(self, grid: Grid, coder: Coder, own: Shorts | None) -> None:
        self.grid, self.coder, self.own = grid, coder, own
        self.vectors = np.zeros((int(np.prod(grid)), 2), np.int16)

    def frame(self, k: int, before: Shorts) -> Shorts:
        """As `Forecast.frame`.

        Raises:
            DamagedError: the coder gives a symbol that no writer makes.
        """
        cells = self.grid[1] * self.grid[2]
        for first in range(0, len(before), cells):
            part = slice(first, first + cells)
            self._code(self.vectors[part], None if self.own is None else self.own[k, part])
        return moved(before, self.vectors, self.grid)

    def _code(self, now: Shorts, own: Shorts | None) -> None:
        """Code the vectors of a tile; `now` (cells, 2) is those of the kept frame before, and becomes these."""
        before = now.copy()
        for phase in phases(*self.grid[1:]):
            old = before[phase.cells]
            near = np.stack([old] * 4) if phase.near is None else now[phase.near]
            known = Known.of(near, old, phase.close, range_tables.CONTEXTS)
            now[phase.cells] = known.code(self.coder, None if own is None else own[phase.cells], "latents")


def encode_inter(values: np.ndarray, own: np.ndarray | None = None) -> bytes:
    """Code the integers of a clip's kept frames.

    Args:
        values: (K, tiles, rows, columns, 96) int16.
        own: (K, cells, 2) vectors; None to search for them.
    """
    if values.size == 0:
        return b""
    writer = RangeWriter(first_counts())
    motion = Motion(values.shape[1:4], writer, search(values) if own is None else own)
    walk(values.shape, writer, values, forecast=motion)
    return writer.finish()


def decode_inter(data: bytes, kept: int, grid: Grid, channels: int) -> np.ndarray:
    """Undo :func:`encode_inter`; arguments, result and errors as of `range_coding.decode_range`."""
    check_range_claim(data, kept, grid, channels)
    if not kept:
        return np.zeros((0, *grid, channels), np.int16)
    reader = RangeReader(data, first_counts(), "latents")
    values = walk((kept, *grid, channels), reader, forecast=Motion(grid, reader, None))
    reader.finish()
    return values
