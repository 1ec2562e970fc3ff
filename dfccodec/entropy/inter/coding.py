"""Inter coding of latents (SPEC.md 7.7): the range coding with motion-compensated prediction."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.entropy import context_tables, kernel_calls, mv_coding
from dfccodec.entropy.context_model import Coder, Shorts, code_latents
from dfccodec.entropy.hierarchical_scan import phases
from dfccodec.entropy.inter.motion_compensation import motion_compensate
from dfccodec.entropy.inter.motion_estimation import estimate_motion
from dfccodec.entropy.mv_coding import MVCandidates
from dfccodec.entropy.rans import RansDecoder, RansEncoder, check_declared_size
from dfccodec.entropy.zstd_coding import Grid


@lru_cache(maxsize=1)
def initial_counts() -> npt.NDArray[np.int64]:
    """Return the initial symbol counts, (contexts, SYMBOLS): contexts of the range coding, then contexts of vectors."""
    return np.concatenate([context_tables.initial_counts(), mv_coding.initial_counts()])


class InterPredictor:
    """Predictor that codes one motion vector for each cell and predicts from the previous kept frame.

    Args:
        grid: (tiles, rows, columns).
        coder: encodes or decodes vectors.
        mvs: (K, cells, 2) vectors to encode, raster order; None to decode.

    Attributes:
        known: vectors (cells, 2) of each kept frame so far.
    """

    def __init__(self, grid: Grid, coder: Coder, mvs: Shorts | None) -> None:
        self.grid, self.coder, self.mvs = grid, coder, mvs
        self.vectors = np.zeros((int(np.prod(grid)), 2), np.int16)
        self.known = [self.vectors.copy()]

    def predict(self, k: int, previous: Shorts) -> Shorts:
        """Code the vectors of kept frame k and predict it; see `Predictor.predict`.

        Raises:
            DamagedError: a decoded choice of a vector is invalid.
        """
        cells = self.grid[1] * self.grid[2]
        for first in range(0, len(previous), cells):
            part = slice(first, first + cells)
            self._code(self.vectors[part], None if self.mvs is None else self.mvs[k, part])
        self.known.append(self.vectors.copy())
        return motion_compensate(previous, self.vectors, self.grid)

    def _code(self, vectors: Shorts, mvs: Shorts | None) -> None:
        """Code the vectors of a tile: `vectors` (cells, 2) of the previous kept frame are replaced in place."""
        previous = vectors.copy()
        for phase in phases(*self.grid[1:]):
            old = previous[phase.cells]
            near = np.stack([old] * 4) if phase.neighbours is None else vectors[phase.neighbours]
            candidates = MVCandidates.from_neighbours(near, old, phase.adjacent, context_tables.CONTEXTS)
            vectors[phase.cells] = candidates.code(self.coder, None if mvs is None else mvs[phase.cells], "latents")


def encode_inter(values: np.ndarray, mvs: np.ndarray | None = None) -> bytes:
    """Encode the latents of a clip's kept frames.

    Args:
        values: (K, tiles, rows, columns, 96) int16.
        mvs: (K, cells, 2) motion vectors; None to estimate them.
    """
    if values.size == 0:
        return b""
    mvs = estimate_motion(values) if mvs is None else mvs
    coded = kernel_calls.encode(values, mvs, initial_counts())
    if coded is not None:
        return coded
    writer = RansEncoder(initial_counts())
    motion = InterPredictor(values.shape[1:4], writer, mvs)
    code_latents(values.shape, writer, values, predictor=motion)
    return writer.finish()


def decode_inter(data: bytes, kept: int, grid: Grid, channels: int) -> np.ndarray:
    """Decode the output of :func:`encode_inter`; arguments, result and errors as for `rans.decode_range`."""
    check_declared_size(data, kept, grid, channels)
    if not kept:
        return np.zeros((0, *grid, channels), np.int16)
    found = kernel_calls.decode(data, (kept, *grid, channels), True, initial_counts())
    return _decode(data, kept, grid, channels)[0] if found is None else found


def decode_mvs(data: bytes, kept: int, grid: Grid, channels: int) -> Shorts:
    """Decode the motion vectors in the output of :func:`encode_inter`, which takes as long as all of it.

    Returns:
        (K, cells, 2) int16, down and right in quarter pixels; 0 for the first kept frame.

    Raises:
        DamagedError, LimitError: as :func:`decode_inter`.
    """
    check_declared_size(data, kept, grid, channels)
    out = np.zeros((kept, int(np.prod(grid)), 2), np.int16)
    if kept and kernel_calls.decode(data, (kept, *grid, channels), True, initial_counts(), out) is None:
        return _decode(data, kept, grid, channels)[1]
    return out


def _decode(data: bytes, kept: int, grid: Grid, channels: int) -> tuple[np.ndarray, Shorts]:
    """Integers and vectors, without kernels."""
    reader = RansDecoder(data, initial_counts(), "latents")
    predictor = InterPredictor(grid, reader, None)
    values = code_latents((kept, *grid, channels), reader, predictor=predictor)
    reader.finish()
    return values, np.stack(predictor.known)
