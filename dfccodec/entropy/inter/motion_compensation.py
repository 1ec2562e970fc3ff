"""Integers of a frame as a picture, that picture moved, and the integers of what has moved (SPEC.md 7.7.2).

The code between integers and pictures is a fixed linear one, principal components of patches of 16×16 pixels: near to
what `mini` makes of its latents, and good enough to say where things have gone. All of it is exact in integers, so that
every machine expects the same.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

Ints = npt.NDArray[np.int32]
Shorts = npt.NDArray[np.int16]

PATCH = 16
"""Side of a cell in pixels."""

CHANNELS = 96
SUBPEL = 4
"""Vectors count quarters of a pixel."""

TAPS = np.array([(0, 16, 0, 0), (-1, 13, 5, -1), (-1, 9, 9, -1), (-1, 5, 13, -1)], np.int32)
"""Weights of four pixels in a row, for a place 0 … 3 quarters after the second of them."""

ONE = 896
"""Scale of the basis: its rows have this length."""

FINE = 16
"""Samples are rounded to 1 / (ONE / FINE) of a quantizer step."""

LARGEST = (1 << 20) - 1
"""Of a sample: with both filters the product fits 32 bits."""

_SHRINK = ONE * (ONE // FINE) * TAPS[0].sum() ** 2
_EDGE = 20
"""Pixels repeated around a picture: a window that lies farther out looks the same."""
_NEAR = 4
"""By how much codes may miss the table's entries, whose largest is 125."""
_MOST = 1024
"""Cells whose windows are held at once."""


@lru_cache(maxsize=1)
def basis() -> npt.NDArray[np.float64]:
    """(96, 768): what a step of each channel adds to the samples of a patch; order (row, column, colour)."""
    data = np.frombuffer(Path(__file__).with_name("basis.i8").read_bytes(), np.int8)
    return data.reshape(CHANNELS, -1).astype(np.float64)


def linear_transform() -> npt.NDArray[np.float32]:
    """(96, 768): the table as the nearest code with orthonormal rows."""
    left, _, right = np.linalg.svd(basis(), full_matrices=False)
    code: npt.NDArray[np.float32] = (left @ right).astype(np.float32)
    return code


def is_format_transform(code: np.ndarray) -> bool:
    """Whether a code (C, n) is the table's but for rounding."""
    return code.shape == basis().shape and bool(np.abs(code * ONE - basis()).max() < _NEAR)


@lru_cache(maxsize=1)
def _transposed() -> npt.NDArray[np.float64]:
    return np.ascontiguousarray(basis().T)


class LatentReconstruction:
    """A tile as it looks by the integers of its cells.

    Attributes:
        samples: (16 rows + 40, 16 columns + 40, 3) int32, edges repeated.
    """

    def __init__(self, values: Shorts, rows: int, columns: int) -> None:
        """`values` (rows · columns, 96), raster order."""
        self.rows, self.columns = rows, columns
        height, width = rows * PATCH + 2 * _EDGE, columns * PATCH + 2 * _EDGE
        self.samples: Ints = np.empty((height, width, 3), np.int32)
        for row in range(rows):  # a line at a time: whole pictures of float64 would be large
            made = values[row * columns : (row + 1) * columns].astype(np.float64) @ basis()
            made = np.floor((made + FINE // 2) / FINE)
            np.clip(made, -LARGEST, LARGEST, out=made)
            line = made.reshape(columns, PATCH, PATCH, 3).swapaxes(0, 1).reshape(PATCH, -1, 3)
            self.inner[row * PATCH : (row + 1) * PATCH] = line
        middle = self.samples[_EDGE:-_EDGE]
        middle[:, :_EDGE], middle[:, -_EDGE:] = middle[:, _EDGE, None], middle[:, -_EDGE - 1, None]
        self.samples[:_EDGE], self.samples[-_EDGE:] = self.samples[_EDGE], self.samples[-_EDGE - 1]

    @property
    def inner(self) -> Ints:
        """(16 rows, 16 columns, 3) int32, a view."""
        return self.samples[_EDGE:-_EDGE, _EDGE:-_EDGE]

    def motion_compensate(self, cells: npt.NDArray[np.intp], vectors: Shorts) -> Shorts:
        """What cells would be if they showed another place.

        Args:
            cells: (n,) raster numbers.
            vectors: (n, 2) down and right to what each shows, in quarter pixels.

        Returns:
            (n, 96) int16.
        """
        out = np.empty((len(cells), CHANNELS), np.int16)
        for first in range(0, len(cells), _MOST):
            part = slice(first, first + _MOST)
            exact = self.shifted(cells[part], vectors[part]).reshape(-1, _transposed().shape[0]) @ _transposed()
            rounded = np.floor((exact + _SHRINK // 2) / _SHRINK)
            out[part] = np.clip(rounded, -32768, 32767)
        return out

    def shifted(self, cells: npt.NDArray[np.intp], vectors: Shorts) -> Ints:
        """Samples of the places that cells show, times 256: (n, 16, 16, 3)."""
        whole, part = vectors >> 2, vectors & (SUBPEL - 1)
        windows = self._windows(cells, whole)
        down, right = TAPS[part[:, 0]], TAPS[part[:, 1]]
        return _filtered(_filtered(windows, down, 1), right, 2)

    def _windows(self, cells: npt.NDArray[np.intp], whole: Shorts) -> Ints:
        """(n, 19, 19, 3): from one pixel before each block to two after it."""
        height, width, _ = self.samples.shape
        top = np.clip(cells // self.columns * PATCH + whole[:, 0] + (_EDGE - 1), 0, height - PATCH - 3)
        left = np.clip(cells % self.columns * PATCH + whole[:, 1] + (_EDGE - 1), 0, width - PATCH - 3)
        a, b, c = self.samples.strides
        shape = (height - PATCH - 2, width - PATCH - 2, PATCH + 3, PATCH + 3, 3)
        found: Ints = as_strided(self.samples, shape, (a, b, a, b, c), writeable=False)[top, left]
        return found


def motion_compensate(values: Shorts, vectors: Shorts, grid: tuple[int, int, int]) -> Shorts:
    """What a frame's cells would be if each showed another place of its tile.

    Args:
        values: (cells, 96), raster order.
        vectors: (cells, 2) down and right, in quarter pixels.
        grid: (tiles, rows, columns).

    Returns:
        as `values`, which is left as it is.
    """
    tiles, rows, columns = grid
    out = values.copy()
    for tile in range(tiles):
        part = slice(tile * rows * columns, (tile + 1) * rows * columns)
        moving = np.flatnonzero(vectors[part].any(axis=1))
        if moving.size:
            out[part][moving] = LatentReconstruction(values[part], rows, columns).motion_compensate(
                moving, vectors[part][moving]
            )
    return out


def _filtered(windows: Ints, taps: Ints, axis: int) -> Ints:
    """Four pixels in a row weighted (n, 4), along an axis, which gets three shorter."""
    size = windows.shape[axis] - 3
    taps = taps[:, :, None, None, None]
    parts = [windows[:, i : i + size] if axis == 1 else windows[:, :, i : i + size] for i in range(4)]
    out: Ints = parts[0] * taps[:, 0]
    for number in (1, 2, 3):
        out += parts[number] * taps[:, number]
    return out
