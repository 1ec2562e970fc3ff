"""Motion compensation of latents: inverse transform, quarter-pel interpolation, forward transform (SPEC.md 7.7.2).

The transform is a fixed PCA of patches of 16×16 pixels. It approximates the network of `mini` well enough for motion
compensation. All arithmetic is exact in integers, so that all machines compute the same prediction.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from dfccodec.native import kernels

Ints = npt.NDArray[np.int32]
Shorts = npt.NDArray[np.int16]

PATCH = 16
"""Side of a cell in pixels."""

CHANNELS = 96
SUBPEL = 4
"""Units of a vector in a pixel (quarter-pel)."""

TAPS = np.array([(0, 16, 0, 0), (-1, 13, 5, -1), (-1, 9, 9, -1), (-1, 5, 13, -1)], np.int32)
"""Interpolation filters over four adjacent pixels, for positions 0 … 3 quarters after the second pixel."""

BASIS_SCALE = 896
"""Euclidean norm of the rows of the basis."""

SAMPLE_DIVISOR = 16
"""Samples are divided by this number: their unit is SAMPLE_DIVISOR / BASIS_SCALE of a quantizer step."""

MAX_SAMPLE = (1 << 20) - 1
"""Maximum magnitude of a sample. After both filters, it still fits 32 bits."""

_RESULT_SCALE = BASIS_SCALE * (BASIS_SCALE // SAMPLE_DIVISOR) * TAPS[0].sum() ** 2
_PADDING = 20
"""Width of the padding with repeated edge pixels. Windows farther outside have the same content."""
_BASIS_TOLERANCE = 4
"""Maximum deviation of a transform from the table, whose largest entry is 125."""
_BATCH_CELLS = 1024
"""Number of cells that are compensated at once, to limit memory."""


@lru_cache(maxsize=1)
def basis() -> npt.NDArray[np.float64]:
    """Return the PCA basis (96, 768): row c is the change of a 16×16×3 patch if latent c grows by 1.

    The samples of the patch are in the order row, column, colour.
    """
    return basis_bytes().astype(np.float64)


@lru_cache(maxsize=1)
def basis_bytes() -> npt.NDArray[np.int8]:
    """Return the basis as integers, (96, 768)."""
    return np.frombuffer(Path(__file__).with_name("basis.i8").read_bytes(), np.int8).reshape(CHANNELS, -1)


def linear_transform() -> npt.NDArray[np.float32]:
    """Return the nearest transform to the basis with orthonormal rows, (96, 768)."""
    left, _, right = np.linalg.svd(basis(), full_matrices=False)
    transform: npt.NDArray[np.float32] = (left @ right).astype(np.float32)
    return transform


def is_format_transform(transform: np.ndarray) -> bool:
    """Whether a transform (C, n) is the format's basis, except for rounding."""
    if transform.shape != basis().shape:
        return False
    return bool(np.abs(transform * BASIS_SCALE - basis()).max() < _BASIS_TOLERANCE)


@lru_cache(maxsize=1)
def _transposed() -> npt.NDArray[np.float64]:
    return np.ascontiguousarray(basis().T)


class LatentReconstruction:
    """Picture of a tile, reconstructed from its latents with the inverse PCA transform.

    Args:
        values: (rows · columns, 96) latents, raster order.
        rows, columns: size of the tile in cells.

    Attributes:
        samples: (16 rows + 40, 16 columns + 40, 3) int32, padded with repeated edge pixels.
    """

    def __init__(self, values: Shorts, rows: int, columns: int) -> None:
        self.rows, self.columns = rows, columns
        height, width = rows * PATCH + 2 * _PADDING, columns * PATCH + 2 * _PADDING
        self.samples: Ints = np.empty((height, width, 3), np.int32)
        for row in range(rows):  # one row at a time: a complete picture as float64 would be large
            made = values[row * columns : (row + 1) * columns].astype(np.float64) @ basis()
            made = np.floor((made + SAMPLE_DIVISOR // 2) / SAMPLE_DIVISOR)
            np.clip(made, -MAX_SAMPLE, MAX_SAMPLE, out=made)
            line = made.reshape(columns, PATCH, PATCH, 3).swapaxes(0, 1).reshape(PATCH, -1, 3)
            self.inner[row * PATCH : (row + 1) * PATCH] = line
        middle = self.samples[_PADDING:-_PADDING]
        middle[:, :_PADDING], middle[:, -_PADDING:] = middle[:, _PADDING, None], middle[:, -_PADDING - 1, None]
        self.samples[:_PADDING], self.samples[-_PADDING:] = self.samples[_PADDING], self.samples[-_PADDING - 1]

    @property
    def inner(self) -> Ints:
        """The samples without padding, (16 rows, 16 columns, 3) int32, a view."""
        return self.samples[_PADDING:-_PADDING, _PADDING:-_PADDING]

    def motion_compensate(self, cells: npt.NDArray[np.intp], vectors: Shorts) -> Shorts:
        """Return motion-compensated latents of some cells.

        Args:
            cells: (n,) raster numbers.
            vectors: (n, 2) motion vectors, down and right, in quarter pixels.

        Returns:
            (n, 96) int16.
        """
        out = np.empty((len(cells), CHANNELS), np.int16)
        for first in range(0, len(cells), _BATCH_CELLS):
            part = slice(first, first + _BATCH_CELLS)
            exact = self.interpolate(cells[part], vectors[part]).reshape(-1, _transposed().shape[0]) @ _transposed()
            rounded = np.floor((exact + _RESULT_SCALE // 2) / _RESULT_SCALE)
            out[part] = np.clip(rounded, -32768, 32767)
        return out

    def interpolate(self, cells: npt.NDArray[np.intp], vectors: Shorts) -> Ints:
        """Return the interpolated blocks at the cells' vectors, (n, 16, 16, 3): samples times 256."""
        integer, part = vectors >> 2, vectors & (SUBPEL - 1)
        windows = self._windows(cells, integer)
        down, right = TAPS[part[:, 0]], TAPS[part[:, 1]]
        return _filter(_filter(windows, down, 1), right, 2)

    def _windows(self, cells: npt.NDArray[np.intp], integer: Shorts) -> Ints:
        """Return the blocks at integer vectors with a margin of one pixel before and two after, (n, 19, 19, 3)."""
        height, width, _ = self.samples.shape
        top = np.clip(cells // self.columns * PATCH + integer[:, 0] + (_PADDING - 1), 0, height - PATCH - 3)
        left = np.clip(cells % self.columns * PATCH + integer[:, 1] + (_PADDING - 1), 0, width - PATCH - 3)
        a, b, c = self.samples.strides
        shape = (height - PATCH - 2, width - PATCH - 2, PATCH + 3, PATCH + 3, 3)
        found: Ints = as_strided(self.samples, shape, (a, b, a, b, c), writeable=False)[top, left]
        return found


def motion_compensate(values: Shorts, vectors: Shorts, grid: tuple[int, int, int]) -> Shorts:
    """Return the motion-compensated latents of a frame.

    Args:
        values: (cells, 96) latents of the reference frame, raster order; not modified.
        vectors: (cells, 2) motion vectors within the tile, down and right, in quarter pixels.
        grid: (tiles, rows, columns).

    Returns:
        (cells, 96) int16.
    """
    tiles, rows, columns = grid
    out = values.copy()
    if kernels is not None:
        values, vectors = (np.ascontiguousarray(numbers, np.int16) for numbers in (values, vectors))
        kernels.compensate_latents(tiles, rows, columns, values, vectors, basis_bytes(), out)
        return out
    for tile in range(tiles):
        part = slice(tile * rows * columns, (tile + 1) * rows * columns)
        moving = np.flatnonzero(vectors[part].any(axis=1))
        if moving.size:
            out[part][moving] = LatentReconstruction(values[part], rows, columns).motion_compensate(
                moving, vectors[part][moving]
            )
    return out


def _filter(windows: Ints, taps: Ints, axis: int) -> Ints:
    """Filter (n, 4) taps along an axis, which becomes three pixels shorter."""
    size = windows.shape[axis] - 3
    taps = taps[:, :, None, None, None]
    parts = [windows[:, i : i + size] if axis == 1 else windows[:, :, i : i + size] for i in range(4)]
    out: Ints = parts[0] * taps[:, 0]
    for number in (1, 2, 3):
        out += parts[number] * taps[:, number]
    return out
