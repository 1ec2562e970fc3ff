"""Where the cells of a kept frame were in the one before: the encoder's choice, any is right."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from dfccodec.entropy.inter.motion_compensation import PATCH, SUBPEL, TAPS, LatentReconstruction, Shorts

Floats = npt.NDArray[np.float32]
Index = npt.NDArray[np.intp]

_COARSE = 4
"""Pixels of one at the scale where all vectors are tried."""
_FAR = 8
"""How far they go there."""
_STEPS = ((SUBPEL, 3), (2, 1), (1, 1))
"""Quarter pixels, and how many of them all around, that are tried next: what is best is the middle of the next."""
_HELD, _REACH = 960, 40
"""Cells whose subpixels are held at once, in whole lines, and pixels beyond them that vectors reach."""
_PLACES = 1 << 13
"""Places that are filtered together: their surroundings are copied, and should stay in the cache."""
_SHARP = np.float32(1.5)
"""Bits of an integer that misses what is expected by d are about log2(1 + 1.5 d)."""
_NEW, _SAME = np.float32(10), np.float32(1.5)
"""Bits of a vector of its own, and of one that a neighbour has."""


def estimate_motion(values: np.ndarray, workers: int = 1) -> Shorts:
    """Vectors for each cell of each kept frame.

    Args:
        values: (K, tiles, rows, columns, 96) int16, K at least 1.
        workers: threads; the vectors do not depend on them.

    Returns:
        (K, tiles · rows · columns, 2) int16, down and right in quarter pixels; 0 of the first kept frame.
    """
    kept, tiles, rows, columns, channels = values.shape
    out = np.zeros((kept, tiles, rows * columns, 2), np.int16)
    flat = values.reshape(kept, tiles, -1, channels)

    def run(tile: int, first: int, end: int) -> None:
        """Kept frames from `first` to `end`, one after the other: what one is, the next has before it."""
        before = _Frame(flat[first - 1, tile], rows, columns)
        for k in range(first, end):
            now = _Frame(flat[k, tile], rows, columns)
            if (now.values != before.values).any():
                out[k, tile] = _Pair(before, now).best()
            before = now

    ends = np.linspace(1, kept, min(workers, max(kept - 1, 1)) + 1).astype(int)
    with ThreadPoolExecutor(workers) as pool:
        runs = [pool.submit(run, tile, *part) for tile in range(tiles) for part in pairwise(ends.tolist())]
    for done in runs:
        done.result()
    return out.reshape(kept, -1, 2)


class _Frame:
    """A tile of a kept frame: its integers, what they look like, and that in grey."""

    def __init__(self, values: Shorts, rows: int, columns: int) -> None:
        self.values, self.picture = values, LatentReconstruction(values, rows, columns)
        self.edge = (self.picture.samples.shape[0] - rows * PATCH) // 2
        red, green, blue = np.moveaxis(self.picture.samples, 2, 0)
        self.grey: Floats = (red + green + blue).astype(np.float32, order="C")


class _Pair:
    """A kept frame and the one before it."""

    def __init__(self, before: _Frame, now: _Frame) -> None:
        self.before, self.old, self.new = before.picture, before.values, now.values.astype(np.int32)
        self.rows, self.columns, self.edge = self.before.rows, self.before.columns, now.edge
        self.alone: Floats = np.log2(1 + _SHARP * np.abs(self.new)).sum(axis=1, dtype=np.float32)
        self.cells = np.arange(self.rows * self.columns)
        self.source, self.target = before.grey, now.grey[now.edge : -now.edge, now.edge : -now.edge]

    def best(self) -> Shorts:
        """(cells, 2) int16."""
        still = self._bits(self.old)
        lively = np.flatnonzero(still + _SAME > _NEW)  # no vector of its own pays for any other cell
        found = self._fine(lively, self._coarse()[lively]) if lively.size else np.zeros((0, 2), np.int16)
        return self._decided(still, lively, found)

    def _coarse(self) -> Index:
        """(cells, 2) in pixels: the best of all vectors of whole coarse pixels."""
        inner = self.source[self.edge : -self.edge, self.edge : -self.edge]
        source, target = (_shrunk(plane) for plane in (inner, self.target))
        height, width = target.shape
        framed = np.pad(source, _FAR, mode="edge")
        least = np.full((self.rows, self.columns), np.inf, np.float32)
        found = np.zeros((self.rows, self.columns, 2), np.intp)
        per = PATCH // _COARSE
        ones = np.ones(per, np.float32)
        near = np.array(sorted(range(-_FAR, _FAR + 1), key=abs))  # among equals, what is near
        for down in near.tolist():
            lines = sliding_window_view(framed[_FAR + down :][:height], width, axis=1)[:, near + _FAR]
            lines -= target[:, None]
            error = np.abs(lines, out=lines).reshape(self.rows, per, -1).sum(axis=1)
            error = (error.reshape(-1, per) @ ones).reshape(self.rows, len(near), self.columns)
            best = error.argmin(axis=1)
            error = np.take_along_axis(error, best[:, None], axis=1)[:, 0]
            better = error < least
            least[better] = error[better]
            found[better, 0], found[better, 1] = down, near[best[better]]
        return found.reshape(-1, 2) * _COARSE

    def _fine(self, cells: Index, vectors: Index) -> Shorts:
        """(n, 2) in quarter pixels: the best around these of some cells, in whole pixels, halves, quarters."""
        now = vectors * SUBPEL
        blocks = self.target.reshape(self.rows, PATCH, self.columns, PATCH).swapaxes(1, 2)
        lines = max(_HELD // self.columns, 1)
        for first in range(0, self.rows, lines):
            part = slice(*np.searchsorted(cells, [first * self.columns, (first + lines) * self.columns]))
            places = np.stack(np.divmod(cells[part], self.columns), axis=1)
            if len(places):
                stripe = self._stripe(first, lines)
                for step, reach in _STEPS:
                    moves = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1).T * step
                    wanted = blocks[places[:, 0], places[:, 1]]
                    now[part] = stripe.nearest(places * PATCH, wanted, now[part], moves)
                del stripe  # before the next one is made
        return now.astype(np.int16)

    def _stripe(self, first: int, lines: int) -> _Stripe:
        """What cells of so many lines may show."""
        top = max(first * PATCH + self.edge - _REACH, 0)
        bottom = (first + lines) * PATCH + self.edge + _REACH
        return _Stripe(self.source[top:bottom], self.edge - top, self.edge)

    def _decided(self, still: Floats, lively: Index, found: Shorts) -> Shorts:
        """What pays, of nothing, the vectors found for some cells, and those of neighbours."""
        vectors, bits = np.zeros((len(self.cells), 2), np.int16), still.copy()
        moved = self._moved_bits(lively, found)
        pays = np.flatnonzero(moved + _NEW < still[lively] + _SAME)
        vectors[lively[pays]], bits[lively[pays]] = found[pays], moved[pays]
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
        return self._bits(self.before.motion_compensate(cells, vectors), cells)

    def _bits(self, expected: Shorts, cells: Index | slice = slice(None)) -> Floats:
        """About what the integers of cells cost (n,), where these are expected (n, 96), or nothing if that is less."""
        missed: Floats = np.log2(1 + _SHARP * np.abs(self.new[cells] - expected)).sum(axis=1, dtype=np.float32)
        return np.minimum(missed, self.alone[cells])


class _Stripe:
    """Some lines of the frame before, moved by quarters of a pixel: all of a large picture would take much memory."""

    def __init__(self, source: Floats, down: int, right: int) -> None:
        """`source` is grey, contiguous, with pixels around; the first cell is `down` and `right` of its first pixel."""
        self.corner = np.array([down - 1, right - 1])
        height, width = source.shape[0] - 3, source.shape[1]
        taps = (TAPS / TAPS[0].sum()).astype(np.float32)
        weights = np.einsum("yi,xj->yxij", taps, taps).reshape(SUBPEL * SUBPEL, -1)
        # Lines run on into the next: the last three places of each are of both, and never asked for.
        places = height * width - 3
        around = as_strided(source, (4, 4, places), (*source.strides, source.itemsize), writeable=False)
        planes = np.empty((SUBPEL * SUBPEL, places), np.float32)
        for first in range(0, places, _PLACES):
            part = slice(first, first + _PLACES)
            np.matmul(weights, around[:, :, part].reshape(-1, planes[:, part].shape[1]), out=planes[:, part])
        shape = (SUBPEL, SUBPEL, height - PATCH + 1, width - PATCH - 2, PATCH, PATCH)
        strides = (SUBPEL * planes.strides[0], planes.strides[0], *source.strides, *source.strides)
        self.windows = as_strided(planes, shape, strides, writeable=False)

    def nearest(self, places: Index, wanted: Floats, vectors: Index, moves: Index) -> Index:
        """Each of the vectors (n, 2) with that of the moves that makes the sum of absolute differences least."""
        least = np.full(len(vectors), np.inf, np.float32)
        out, last = vectors.copy(), np.array(self.windows.shape[2:4]) - 1
        for move in moves[np.argsort(np.abs(moves).sum(axis=1), kind="stable")]:
            here = vectors + move
            whole, part = np.clip(places + self.corner + (here >> 2), 0, last), here & (SUBPEL - 1)
            found = self.windows[part[:, 0], part[:, 1], whole[:, 0], whole[:, 1]]
            found -= wanted
            error = np.abs(found, out=found).reshape(len(found), -1).sum(axis=1)
            better = error < least
            least[better], out[better] = error[better], here[better]
        return out


def _shrunk(plane: Floats) -> Floats:
    height, width = plane.shape
    lines = plane.reshape(height // _COARSE, _COARSE, width).sum(axis=1)
    out: Floats = lines.reshape(height // _COARSE, width // _COARSE, _COARSE).sum(axis=2) / _COARSE**2
    return out
