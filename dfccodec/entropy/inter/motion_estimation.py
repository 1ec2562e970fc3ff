"""Motion estimation between kept frames, on latents. This is a non-normative encoder decision.

All errors and costs are integers, so that this code and its twin in C (native/latent_motion.c) find the same vectors.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from dfccodec.entropy.inter.motion_compensation import (
    PATCH,
    SUBPEL,
    TAPS,
    LatentReconstruction,
    Shorts,
    basis_bytes,
)
from dfccodec.native import kernels

Ints = npt.NDArray[np.int32]
Index = npt.NDArray[np.intp]

_DOWNSCALE = 4
"""Downscaling factor of the pictures in the full search."""
_SEARCH_RANGE = 8
"""Range of the full search, in downscaled pixels."""
_REFINEMENTS = ((SUBPEL, 3), (2, 1), (1, 1))
"""Refinements after the full search: (step in quarter pixels, steps to each side). Each starts at the best vector."""
_STRIPE_CELLS, _STRIPE_MARGIN = 960, 40
"""Maximum number of cells (in complete rows) whose sub-pel samples are in memory, and the margin in pixels for
vectors."""
_FILTER_BATCH = 1 << 13
"""Number of positions that are filtered at once. Their neighbourhoods are copied and should fit the cache."""
_RATE_SLOPE = 1.5
"""An integer with prediction error d takes about log2(1 + 1.5 |d|) bits."""
_BIT = 1024
"""Integer value of one bit."""
_NEW_VECTOR_BITS, _SHARED_VECTOR_BITS = 10 * _BIT, _BIT + _BIT // 2
"""Bits of a new vector, and of a vector equal to that of a neighbour, in 1 / _BIT."""


def estimate_motion(values: np.ndarray, workers: int = 1) -> Shorts:
    """Estimate a motion vector for each cell of each kept frame.

    Args:
        values: (K, tiles, rows, columns, 96) int16, K at least 1.
        workers: number of threads; it does not affect the result.

    Returns:
        (K, tiles · rows · columns, 2) int16, down and right in quarter pixels; 0 for the first kept frame.
    """
    kept, tiles, rows, columns, channels = values.shape
    out = np.zeros((kept, tiles, rows * columns, 2), np.int16)
    flat = values.reshape(kept, tiles, -1, channels)

    def run(tile: int, first: int, end: int) -> None:
        """Estimate the vectors of kept frames `first` to `end` − 1; each frame is the reference of the next."""
        before = _Frame(flat[first - 1, tile], rows, columns) if kernels is None else None
        for k in range(first, end):
            if kernels is not None:
                old, new = (np.ascontiguousarray(flat[n, tile], np.int16) for n in (k - 1, k))
                kernels.estimate_latents(rows, columns, old, new, basis_bytes(), _bit_table(), out[k, tile])
                continue
            now = _Frame(flat[k, tile], rows, columns)
            assert before is not None
            if (now.values != before.values).any():
                out[k, tile] = _FramePair(before, now).vectors()
            before = now

    ends = np.linspace(1, kept, min(workers, max(kept - 1, 1)) + 1).astype(int)
    with ThreadPoolExecutor(workers) as pool:
        runs = [pool.submit(run, tile, *part) for tile in range(tiles) for part in pairwise(ends.tolist())]
    for done in runs:
        done.result()
    return out.reshape(kept, -1, 2)


class _Frame:
    """A tile of a kept frame: latents, their reconstruction, and its grey picture."""

    def __init__(self, values: Shorts, rows: int, columns: int) -> None:
        self.values, self.picture = values, LatentReconstruction(values, rows, columns)
        self.edge = (self.picture.samples.shape[0] - rows * PATCH) // 2
        red, green, blue = np.moveaxis(self.picture.samples, 2, 0)
        self.grey: Ints = np.ascontiguousarray(red + green + blue)


class _FramePair:
    """Motion estimation of a tile from the previous kept frame."""

    def __init__(self, before: _Frame, now: _Frame) -> None:
        self.before, self.old, self.new = before.picture, before.values, now.values.astype(np.int32)
        self.rows, self.columns, self.edge = self.before.rows, self.before.columns, now.edge
        self.intra_bits: Ints = _bit_table()[np.abs(self.new)].sum(axis=1, dtype=np.int32)
        self.cells = np.arange(self.rows * self.columns)
        self.source, self.target = before.grey, now.grey[now.edge : -now.edge, now.edge : -now.edge]

    def vectors(self) -> Shorts:
        """Return the chosen vectors, (cells, 2) int16."""
        zero_bits = self._bits(self.old)
        # In all other cells, a new vector costs more than it can save.
        candidates = np.flatnonzero(zero_bits + _SHARED_VECTOR_BITS > _NEW_VECTOR_BITS)
        found = (
            self._refine(candidates, self._coarse_search()[candidates])
            if candidates.size
            else np.zeros((0, 2), np.int16)
        )
        return self._choose_vectors(zero_bits, candidates, found)

    def _coarse_search(self) -> Index:
        """Return the best vectors of the full search on downscaled pictures, (cells, 2) in pixels."""
        inner = self.source[self.edge : -self.edge, self.edge : -self.edge]
        source, target = (_downscale(plane) for plane in (inner, self.target))
        height, width = target.shape
        padded = np.pad(source, _SEARCH_RANGE, mode="edge")
        least = np.full((self.rows, self.columns), np.iinfo(np.int32).max, np.int32)
        found = np.zeros((self.rows, self.columns, 2), np.intp)
        per = PATCH // _DOWNSCALE
        near = np.array(sorted(range(-_SEARCH_RANGE, _SEARCH_RANGE + 1), key=abs))  # prefer short vectors
        for down in near.tolist():
            lines = sliding_window_view(padded[_SEARCH_RANGE + down :][:height], width, axis=1)[:, near + _SEARCH_RANGE]
            lines -= target[:, None]
            error = np.abs(lines, out=lines).reshape(self.rows, per, -1).sum(axis=1, dtype=np.int32)
            error = error.reshape(-1, per).sum(axis=1, dtype=np.int32).reshape(self.rows, len(near), self.columns)
            best = error.argmin(axis=1)
            error = np.take_along_axis(error, best[:, None], axis=1)[:, 0]
            better = error < least
            least[better] = error[better]
            found[better, 0], found[better, 1] = down, near[best[better]]
        return found.reshape(-1, 2) * _DOWNSCALE

    def _refine(self, cells: Index, vectors: Index) -> Shorts:
        """Refine vectors of some cells (n, 2) from pixels to quarter pixels: integer-pel, half-pel, quarter-pel."""
        now = vectors * SUBPEL
        blocks = self.target.reshape(self.rows, PATCH, self.columns, PATCH).swapaxes(1, 2)
        lines = max(_STRIPE_CELLS // self.columns, 1)
        for first in range(0, self.rows, lines):
            part = slice(*np.searchsorted(cells, [first * self.columns, (first + lines) * self.columns]))
            positions = np.stack(np.divmod(cells[part], self.columns), axis=1)
            if len(positions):
                stripe = self._stripe(first, lines)
                for step, reach in _REFINEMENTS:
                    moves = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T * step
                    targets = blocks[positions[:, 0], positions[:, 1]]
                    now[part] = stripe.refine(positions * PATCH, targets, now[part], moves)
                del stripe  # free its memory before the next one is created
        return now.astype(np.int16)

    def _stripe(self, first: int, lines: int) -> _Stripe:
        """Return the reference samples of `lines` rows of cells from row `first` on."""
        top = max(first * PATCH + self.edge - _STRIPE_MARGIN, 0)
        bottom = (first + lines) * PATCH + self.edge + _STRIPE_MARGIN
        return _Stripe(self.source[top:bottom], self.edge - top, self.edge)

    def _choose_vectors(self, zero_bits: Ints, candidates: Index, found: Shorts) -> Shorts:
        """Choose the cheapest of the zero vector, the vectors found, and vectors of neighbours; (cells, 2)."""
        vectors, bits = np.zeros((len(self.cells), 2), np.int16), zero_bits.copy()
        moved = self._compensated_bits(candidates, found)
        saving = np.flatnonzero(moved + _NEW_VECTOR_BITS < zero_bits[candidates] + _SHARED_VECTOR_BITS)
        vectors[candidates[saving]], bits[candidates[saving]] = found[saving], moved[saving]
        for neighbour in self._neighbours():
            neighbour_vectors = vectors[neighbour]
            own = np.where(self._has_same_neighbour(vectors), _SHARED_VECTOR_BITS, _NEW_VECTOR_BITS)
            other = np.flatnonzero((neighbour_vectors != vectors).any(axis=1) & neighbour_vectors.any(axis=1))
            cost = self._compensated_bits(other, neighbour_vectors[other])
            better = cost + _SHARED_VECTOR_BITS < bits[other] + own[other]
            vectors[other[better]], bits[other[better]] = neighbour_vectors[other[better]], cost[better]
        reset = ~self._has_same_neighbour(vectors) & (zero_bits + _SHARED_VECTOR_BITS < bits + _NEW_VECTOR_BITS)
        vectors[reset] = 0
        return vectors

    def _neighbours(self) -> list[Index]:
        """Return raster numbers of the left, right, upper and lower neighbours; at an edge, of the cell itself."""
        grid = np.pad(self.cells.reshape(self.rows, self.columns), 1, mode="edge")
        return [side.ravel() for side in (grid[1:-1, :-2], grid[1:-1, 2:], grid[:-2, 1:-1], grid[2:, 1:-1])]

    def _has_same_neighbour(self, vectors: Shorts) -> npt.NDArray[np.bool_]:
        """Whether a neighbour has the same vector, (cells,)."""
        out: npt.NDArray[np.bool_] = np.zeros(len(vectors), bool)
        for neighbour in self._neighbours():
            out |= (vectors[neighbour] == vectors).all(axis=1) & (neighbour != self.cells)
        return out

    def _compensated_bits(self, cells: Index, vectors: Shorts) -> Ints:
        return self._bits(self.before.motion_compensate(cells, vectors), cells)

    def _bits(self, prediction: Shorts, cells: Index | slice = slice(None)) -> Ints:
        """Estimate the bits of cells (n,) with a prediction (n, 96), or with prediction 0 if that is cheaper."""
        bits: Ints = _bit_table()[np.abs(self.new[cells] - prediction)].sum(axis=1, dtype=np.int32)
        return np.minimum(bits, self.intra_bits[cells])


class _Stripe:
    """Some rows of cells (16×16 pixels each) of the reference frame, interpolated to quarter-pel.

    A complete large picture would take too much memory.
    """

    def __init__(self, source: Ints, down: int, right: int) -> None:
        """Compute the quarter-pel samples of these rows, times 256.

        Args:
            source: (height, width) int32 grey pixels with a margin, C-contiguous.
            down, right: position of the first cell in `source`.
        """
        self.corner = np.array([down - 1, right - 1])
        height, width = source.shape[0] - 3, source.shape[1]
        taps = TAPS.astype(np.float64)  # in which all products are exact
        weights = np.einsum("yi,xj->yxij", taps, taps).reshape(SUBPEL * SUBPEL, -1)
        # Rows are filtered as one array. The last three positions of each row mix two rows and are never used.
        positions = height * width - 3
        around = as_strided(source, (4, 4, positions), (*source.strides, source.itemsize), writeable=False)
        planes = np.empty((SUBPEL * SUBPEL, positions), np.int32)
        for first in range(0, positions, _FILTER_BATCH):
            part = slice(first, first + _FILTER_BATCH)
            planes[:, part] = weights @ around[:, :, part].reshape(-1, planes[:, part].shape[1]).astype(np.float64)
        shape = (SUBPEL, SUBPEL, height - PATCH + 1, width - PATCH - 2, PATCH, PATCH)
        strides = (SUBPEL * planes.strides[0], planes.strides[0], *source.strides, *source.strides)
        self.windows = as_strided(planes, shape, strides, writeable=False)

    def refine(self, positions: Index, targets: Ints, vectors: Index, moves: Index) -> Index:
        """Add to each vector (n, 2) the move with the smallest sum of absolute differences."""
        least = np.full(len(vectors), np.iinfo(np.int64).max, np.int64)
        targets = targets * np.int32(TAPS[0].sum() ** 2)
        out, last = vectors.copy(), np.array(self.windows.shape[2:4]) - 1
        for move in moves[np.argsort(np.abs(moves).sum(axis=1), kind="stable")]:
            here = vectors + move
            integer, part = np.clip(positions + self.corner + (here >> 2), 0, last), here & (SUBPEL - 1)
            found = self.windows[part[:, 0], part[:, 1], integer[:, 0], integer[:, 1]]
            found -= targets
            error = np.abs(found, out=found).reshape(len(found), -1).sum(axis=1, dtype=np.int64)
            better = error < least
            least[better], out[better] = error[better], here[better]
        return out


def _downscale(plane: Ints) -> Ints:
    """Sums of _DOWNSCALE² pixels."""
    height, width = plane.shape
    lines = plane.reshape(height // _DOWNSCALE, _DOWNSCALE, width).sum(axis=1, dtype=np.int32)
    out: Ints = lines.reshape(height // _DOWNSCALE, width // _DOWNSCALE, _DOWNSCALE).sum(axis=2, dtype=np.int32)
    return out


@lru_cache(maxsize=1)
def _bit_table() -> Ints:
    """Estimated bits of an integer by its magnitude, (65536,) in 1 / _BIT."""
    table: Ints = np.rint(_BIT * np.log2(1 + _RATE_SLOPE * np.arange(1 << 16))).astype(np.int32)
    return table
