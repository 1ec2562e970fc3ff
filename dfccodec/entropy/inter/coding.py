"""The inter coding of a clip's integers (SPEC.md 7.7): the range coding, but expecting what has moved."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.entropy import context_tables, mv_coding
from dfccodec.entropy.context_model import Coder, Shorts, code_latents
from dfccodec.entropy.hierarchical_scan import phases
from dfccodec.entropy.inter.motion_compensation import motion_compensate
from dfccodec.entropy.inter.motion_estimation import estimate_motion
from dfccodec.entropy.mv_coding import MVCandidates
from dfccodec.entropy.rans import RansDecoder, RansEncoder, check_declared_size
from dfccodec.entropy.zstd_coding import Grid


@lru_cache(maxsize=1)
def initial_counts() -> npt.NDArray[np.int64]:
    """(contexts, SYMBOLS): those of the range coding, then those of vectors."""
    return np.concatenate([context_tables.initial_counts(), mv_coding.initial_counts()])


class InterPredictor:
    """Expects each kept frame to be the one before, its cells moved; codes by how much.

    Args:
        grid: (tiles, rows, columns).
        coder: takes or gives vectors.
        own: (K, cells, 2) what to write, raster order; None to read.
    """

    def __init__(self, grid: Grid, coder: Coder, mvs: Shorts | None) -> None:
        self.grid, self.coder, self.own = grid, coder, mvs
        self.vectors = np.zeros((int(np.prod(grid)), 2), np.int16)

    def predict(self, k: int, before: Shorts) -> Shorts:
        """As `Forecast.frame`.

        Raises:
            DamagedError: the coder gives a symbol that no writer makes.
        """
        cells = self.grid[1] * self.grid[2]
        for first in range(0, len(before), cells):
            part = slice(first, first + cells)
            self._code(self.vectors[part], None if self.own is None else self.own[k, part])
        return motion_compensate(before, self.vectors, self.grid)

    def _code(self, now: Shorts, mvs: Shorts | None) -> None:
        """Code the vectors of a tile; `now` (cells, 2) is those of the kept frame before, and becomes these."""
        before = now.copy()
        for phase in phases(*self.grid[1:]):
            old = before[phase.cells]
            near = np.stack([old] * 4) if phase.neighbours is None else now[phase.neighbours]
            known = MVCandidates.of(near, old, phase.adjacent, context_tables.CONTEXTS)
            now[phase.cells] = known.code(self.coder, None if mvs is None else mvs[phase.cells], "latents")


def encode_inter(values: np.ndarray, mvs: np.ndarray | None = None) -> bytes:
    """Code the integers of a clip's kept frames.

    Args:
        values: (K, tiles, rows, columns, 96) int16.
        mvs: (K, cells, 2) vectors; None to search for them.
    """
    if values.size == 0:
        return b""
    writer = RansEncoder(initial_counts())
    motion = InterPredictor(values.shape[1:4], writer, estimate_motion(values) if mvs is None else mvs)
    code_latents(values.shape, writer, values, predictor=motion)
    return writer.finish()


def decode_inter(data: bytes, kept: int, grid: Grid, channels: int) -> np.ndarray:
    """Undo :func:`encode_inter`; arguments, result and errors as of `range_coding.decode_range`."""
    check_declared_size(data, kept, grid, channels)
    if not kept:
        return np.zeros((0, *grid, channels), np.int16)
    reader = RansDecoder(data, initial_counts(), "latents")
    values = code_latents((kept, *grid, channels), reader, predictor=InterPredictor(grid, reader, None))
    reader.finish()
    return values
