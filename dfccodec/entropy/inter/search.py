"""Where the cells of a kept frame were in the one before: the encoder's choice, any is right."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from dfccodec.entropy.inter.picture import PATCH, SUB, TAPS, Picture, Shorts

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]

_COARSE = 4
"""Pixels of one at the scale where all vectors are tried."""
_FAR = 8
"""How far they go there."""
_NEAR = 3
"""Pixels around the best of them that are tried next."""
_STRIPE, _REACH = 8, 40
"""Lines of cells whose subpixels are held at once, and pixels beyond them that vectors reach."""
_SHARP = np.float32(1.5)
"""Bits of an integer that misses what is expected by d are about log2(1 + 1.5 d)."""
_NEW, _SAME = np.float32(10), np.float32(1.5)
"""Bits of a vector of its own, and of one that a neighbour has."""


def search(values: np.ndarray) -> Shorts:
    """Vectors for each cell of each kept frame.

    Args:
        values: (K, tiles, rows, columns, 96) int16, K at least 1.

    Returns:
        (K, tiles · rows · columns, 2) int16, down and right in quarter pixels; 0 of the first kept frame.
    """
    kept, tiles, rows, columns, channels = values.shape
    out = np.zeros((kept, tiles, rows * columns, 2), np.int16)
    for tile in range(tiles):
        flat = values[:, tile].reshape(kept, -1, channels)
        before = Picture(flat[0], rows, columns) if kept > 1 else None
        for k in range(1, kept):
            assert before is not None
            now = Picture(flat[k], rows, columns)
            if (flat[k] != flat[k - 1]).any():
                out[k, tile] = _Pair(before, now, flat[k - 1], flat[k]).best()
            before = now
    return out.reshape(kept, -1, 2)


class _Pair:
    """A kept frame and the one before it."""

    def __init__(self, before: Picture, now: Picture, old: Shorts, new: Shorts) -> None:
        self.before, self.old, self.new = before, old, new.astype(np.int32)
        self.rows, self.columns = now.rows, now.columns
        self.alone: Floats = np.log2(1 + _SHARP * np.abs(self.new)).sum(axis=1, dtype=np.float32)
        self.cells = np.arange(self.rows * self.columns)
        self.source = before.samples.sum(axis=2, dtype=np.int32).astype(np.float32)
        self.target = now.inner.sum(axis=2, dtype=np.int32).astype(np.float32)
        self.edge = (self.source.shape[0] - self.target.shape[0]) // 2

    def best(self) -> Shorts:
        """(cells, 2) int16."""
        return self._decided(self._fine(self._coarse()))

    def _coarse(self) -> Index:
        """(cells, 2) in pixels: the best of all vectors of whole coarse pixels."""
        inner = self.source[self.edge : -self.edge, self.edge : -self.edge]
        source, target = (_shrunk(plane) for plane in (inner, self.target))
        height, width = target.shape
        framed = np.pad(source, _FAR, mode="edge")
        least = np.full((self.rows, self.columns), np.inf, np.float32)
        found = np.zeros((self.rows, self.columns, 2), np.intp)
        per = PATCH // _COARSE
        order = sorted(np.ndindex(2 * _FAR + 1, 2 * _FAR + 1), key=lambda at: abs(at[0] - _FAR) + abs(at[1] - _FAR))
        for down, right in order:
            apart = np.abs(framed[down : down + height, right : right + width] - target)
            error = apart.reshape(self.rows, per, self.columns, per).sum(axis=(1, 3))
            better = error < least
            least[better] = error[better]
            found[better] = down - _FAR, right - _FAR
        return found.reshape(-1, 2) * _COARSE

    def _fine(self, vectors: Index) -> Shorts:
        """(cells, 2) in quarter pixels: the best around these, in whole pixels, halves, quarters."""
        now = vectors * SUB
        for first in range(0, self.rows, _STRIPE):
            last = min(first + _STRIPE, self.rows)
            part = slice(first * self.columns, last * self.columns)
            top = max(first * PATCH + self.edge - _REACH, 0)
            stripe = _Stripe(self.source[top : last * PATCH + self.edge + _REACH], self.edge - top, self.edge)
            wanted = self.target[first * PATCH : last * PATCH].reshape(-1, PATCH, self.columns, PATCH).swapaxes(1, 2)
            for step, reach in ((SUB, _NEAR), (2, 1), (1, 1)):
                moves = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T * step
                places = np.stack([self.cells[part] // self.columns, self.cells[part] % self.columns], axis=1) * PATCH
                now[part] = stripe.nearest(places, wanted.reshape(-1, PATCH, PATCH), now[part], moves)
        return now.astype(np.int16)

    def _decided(self, found: Shorts) -> Shorts:
        """What pays, of nothing, the vectors found, and those of neighbours."""
        still = self._bits(self.old)
        moved = self._moved_bits(self.cells, found)
        pays = moved + _NEW < still + _SAME
        vectors = np.where(pays[:, None], found, np.int16(0))
        bits = np.where(pays, moved, still)
        for beside in self._beside():
            theirs = vectors[beside]
            own = np.where(self._shared(vectors), _SAME, _NEW)
            other = np.flatnonzero((theirs != vectors).any(axis=1) & theirs.any(axis=1))
            cost = self._moved_bits(other, theirs[other])
            better = cost + _SAME < bits[other] + own[other]
            vectors[other[better]], bits[other[better]] = theirs[other[better]], cost[better]
        lonely = ~self._shared(vectors) & (still + _SAME < bits + _NEW)
        vectors[lonely] = 0
        return vectors

    def _beside(self) -> list[Index]:
        """Raster numbers of the cells left, right, above and below, or of the cell itself."""
        grid = np.pad(self.cells.reshape(self.rows, self.columns), 1, mode="edge")
        return [side.ravel() for side in (grid[1:-1, :-2], grid[1:-1, 2:], grid[:-2, 1:-1], grid[2:, 1:-1])]

    def _shared(self, vectors: Shorts) -> npt.NDArray[np.bool_]:
        """Whether a neighbour has the same vector."""
        out: npt.NDArray[np.bool_] = np.zeros(len(vectors), bool)
        for beside in self._beside():
            out |= (vectors[beside] == vectors).all(axis=1) & (beside != self.cells)
        return out

    def _moved_bits(self, cells: Index, vectors: Shorts) -> Floats:
        return self._bits(self.before.moved(cells, vectors), cells)

    def _bits(self, expected: Shorts, cells: Index | slice = slice(None)) -> Floats:
        """About what the integers of cells cost (n,), where these are expected (n, 96), or nothing if that is less."""
        missed: Floats = np.log2(1 + _SHARP * np.abs(self.new[cells] - expected)).sum(axis=1, dtype=np.float32)
        return np.minimum(missed, self.alone[cells])


class _Stripe:
    """Some lines of the frame before, moved by quarters of a pixel: all of a large picture would take much memory."""

    def __init__(self, source: Floats, down: int, right: int) -> None:
        """`source` is grey, with lines and pixels around; the first cell is `down` and `right` of its first pixel."""
        self.corner = np.array([down - 1, right - 1])
        planes = np.empty((SUB, SUB, source.shape[0] - 3, source.shape[1] - 3), np.float32)
        weights = TAPS.astype(np.float32) / TAPS[0].sum()
        for y, taps in enumerate(weights):
            lines = sum(source[i : i + planes.shape[2]] * tap for i, tap in enumerate(taps) if tap)
            for x, row in enumerate(weights):
                planes[y, x] = sum(lines[:, i : i + planes.shape[3]] * tap for i, tap in enumerate(row) if tap)
        shape = (SUB, SUB, planes.shape[2] - PATCH + 1, planes.shape[3] - PATCH + 1, PATCH, PATCH)
        self.windows = as_strided(planes, shape, (*planes.strides, *planes.strides[2:]), writeable=False)

    def nearest(self, places: Index, wanted: Floats, vectors: Index, moves: Index) -> Index:
        """Each of the vectors (n, 2) with that of the moves that makes the sum of absolute differences least."""
        least = np.full(len(vectors), np.inf, np.float32)
        out, last = vectors.copy(), np.array(self.windows.shape[2:4]) - 1
        for move in moves[np.argsort(np.abs(moves).sum(axis=1), kind="stable")]:
            here = vectors + move
            whole, part = np.clip(places + self.corner + (here >> 2), 0, last), here & (SUB - 1)
            found = self.windows[part[:, 0], part[:, 1], whole[:, 0], whole[:, 1]]
            error = np.abs(found - wanted).sum(axis=(1, 2))
            better = error < least
            least[better], out[better] = error[better], here[better]
        return out


def _shrunk(plane: Floats) -> Floats:
    height, width = plane.shape
    out: Floats = plane.reshape(height // _COARSE, _COARSE, width // _COARSE, _COARSE).mean(axis=(1, 3))
    return out
