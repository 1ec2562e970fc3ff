"""Motion estimation between two pictures: full search at 1/4 resolution, then hierarchical refinement by D + λR.

All errors and costs are integers, so that this code and its twin in C (native/motion.c) find the same vectors.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from dfccodec.codec.motion.blocks import BLOCK
from dfccodec.codec.motion.obmc import WINDOW_SIZE
from dfccodec.codec.motion.pyramid import COARSE, COARSE_UNIT, ERROR_UNIT, Pyramid, PyramidLevel, block_errors
from dfccodec.errors import UsageError
from dfccodec.native import kernels

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int16]
Index = npt.NDArray[np.intp]


class Effort(IntEnum):
    """Effort of the motion search.

    FAST has a search range of 32 pixels instead of 48 and refines less: 75 % of the time, for a loss of a few
    hundredths of a decibel.
    """

    FAST = 0
    NORMAL = 1

    @classmethod
    def parse(cls, name: str) -> Effort:
        """Parse the `--effort` option.

        Raises:
            UsageError: the name is unknown.
        """
        try:
            return cls[name.upper()]
        except KeyError:
            names = " or ".join(effort.name.lower() for effort in cls)
            raise UsageError(f"effort {name!r} is unknown: give {names}") from None


RANGES = {Effort.FAST: 8, Effort.NORMAL: 12}
"""Range of the full search in pixels at 1/4 resolution: ±32 and ±48 pixels of the picture."""
PEAKS = 3
"""Peaks of the phase correlation that are tried."""
MAX_NEAR = 6
"""Camera motion in pixels at 1/4 resolution, along both axes, up to which the full search is around zero."""
MIN_CAMERA_GAIN = 0.6
"""Squared difference of the pictures moved along the camera motion, relative to that of the pictures as they are, below
which the full search is around it."""
MIN_SAVING_BITS = 10
"""Minimum saving in bits for which a block is searched."""
STRIP = 16
"""Blocks searched in one matrix product; larger strips compute more unused positions."""
KERNEL_SPAN = 32
"""Vectors in a row of the full search that the kernel computes together."""
SQUARE_PATTERN = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x], np.int32)
CROSS_PATTERN = SQUARE_PATTERN[[1, 3, 4, 6]]


ZERO, FIRST, EACH = 0.1, 2.0, 1.5
"""Estimated bits of a vector difference d: ZERO for 0; otherwise ZERO + FIRST + EACH · log2(1 + |d|)."""


MAX_DIFFERENCE = (1 << 12) - 1
"""Larger components of a vector difference count as this one."""


def mvd_rates(rd_lambda: float) -> Longs:
    """Estimated cost λR (MAX_DIFFERENCE + 1,) of a component of a vector difference by its size, in 1 / ERROR_UNIT."""
    size = np.arange(MAX_DIFFERENCE + 1)
    bits = ZERO + FIRST * (size > 0) + EACH * np.log2(1 + size)
    return np.rint(rd_lambda * ERROR_UNIT * bits).astype(np.int64)


class _Field:
    """Best vectors so far at one scale; only some blocks are searched."""

    def __init__(self, now: PyramidLevel, then: PyramidLevel, rates: Longs, start: Ints, cells: Index) -> None:
        """`rates` are as from `mvd_rates`, `start` is (rows · columns, 2); `cells` (n,) are the blocks to search."""
        self.now, self.then, self.rates, self.cells, self.vectors = now, then, rates, cells, start.copy()
        y, x = np.divmod(cells, then.columns)
        sides = [(y, np.maximum(x - 1, 0)), (y, np.minimum(x + 1, then.columns - 1)), (np.maximum(y - 1, 0), x)]
        self.near = [i * then.columns + j for i, j in [*sides, (np.minimum(y + 1, then.rows - 1), x)]]
        self.error = block_errors(now, then, cells, start[cells])
        self._predict()

    def _predict(self) -> None:
        self.prediction = np.sort([self.vectors[near] for near in self.near[:3]], axis=0)[1]
        self.cost = self.error + self._rate(self.vectors[self.cells] - self.prediction)

    def _rate(self, differences: Ints) -> Longs:
        out: Longs = self.rates[np.minimum(np.abs(differences), MAX_DIFFERENCE)].sum(axis=-1)
        return out

    def offer(self, vectors: Ints) -> None:
        """Offer vectors (n, 2), one for each searched block; better ones are taken."""
        new = np.flatnonzero((vectors != self.vectors[self.cells]).any(axis=1))
        if not new.size:
            return
        error = block_errors(self.now, self.then, self.cells[new], vectors[new])
        cost = error + self._rate(vectors[new] - self.prediction[new])
        better = cost < self.cost[new]
        new = new[better]
        self.vectors[self.cells[new]] = vectors[new]
        self.error[new], self.cost[new] = error[better], cost[better]

    def around(self, moves: Ints) -> None:
        """Offer the vectors of a search pattern around the best ones."""
        centre = self.vectors[self.cells]
        for move in moves:
            self.offer(centre + move)

    def spread(self) -> None:
        """Offer the vectors of the neighbours and update the predictions."""
        self._predict()
        for near in self.near:
            self.offer(self.vectors[near])


def estimate_motion(
    now: Pyramid, then: Pyramid, rd_lambda: float, predictors: Ints | None = None, effort: Effort = Effort.NORMAL,
    mask: npt.NDArray[np.bool_] | None = None,
) -> Ints:  # fmt: skip
    """Estimate the motion vectors of the blocks of a picture.

    Where the camera moves far, what it follows does not: both are searched.

    Args:
        now: the target picture.
        then: the reference picture, with samples between pixels.
        rd_lambda: λ, squared error per bit.
        predictors: vectors (rows, columns, 2) to try first.
        effort: effort of the search.
        mask: (rows, columns) blocks to search, all by default; the others get zero vectors.

    Returns:
        vectors (rows, columns, 2) int32 in units of 1 / `then.full.subpel` pixel.
    """
    centre = camera_motion(now, then)
    if centre != (0, 0):
        predictors = _search_around((0, 0), now, then, rd_lambda, predictors, effort, mask)
    return _search_around(centre, now, then, rd_lambda, predictors, effort, mask)


def _search_around(
    centre: tuple[int, int], now: Pyramid, then: Pyramid, rd_lambda: float, predictors: Ints | None, effort: Effort,
    mask: npt.NDArray[np.bool_] | None,
) -> Ints:  # fmt: skip
    """As :func:`estimate_motion`, with a full search around `centre`, in pixels at 1/4 resolution."""
    shape, subpel = (now.rows, now.columns, 2), then.full.subpel
    known = None if predictors is None else predictors.reshape(-1, 2)
    rates, half_rates = mvd_rates(rd_lambda), mvd_rates(rd_lambda / 4)
    coarse, least = _coarse_rates(rd_lambda, RANGES[effort]), math.ceil(MIN_SAVING_BITS * rd_lambda * ERROR_UNIT)
    if kernels is not None:
        out = np.empty(shape, np.int32)
        target, places = _coarse_pictures(now, then, RANGES[effort], centre)
        kernels.search(
            now.full.for_kernel, then.full.for_kernel, now.half.for_kernel, then.half.for_kernel,
            target, target.shape[1], places, places.shape[1], len(coarse), _padded_rates(coarse), rates, half_rates,
            least, effort > Effort.FAST, *centre,
            np.ones(shape[:2], np.uint8) if mask is None else np.ascontiguousarray(mask, np.uint8),
            np.zeros(0, np.int32) if known is None else np.ascontiguousarray(known, np.int32), out,
        )  # fmt: skip
        return out
    still = np.zeros((now.rows * now.columns, 2), np.int32)
    cells = np.arange(len(still)) if mask is None else np.flatnonzero(mask)
    cells = cells[block_errors(now.full, then.full, cells, still[cells]) > least]
    if not cells.size:
        return still.reshape(shape)
    needs_search = np.zeros(len(still), bool)
    needs_search[cells] = True
    needs_search = needs_search.reshape(shape[:2])
    alone, smooth = (found.reshape(-1, 2) for found in _full_search(now, then, coarse, centre, needs_search))
    field = _Field(now.half, then.half, half_rates, smooth * 2, cells)
    field.offer(alone[cells] * 2)
    field.offer(still[cells])
    if known is not None:
        field.offer((known[cells] + subpel) // (2 * subpel))
    field.around(SQUARE_PATTERN if effort > Effort.FAST else CROSS_PATTERN)
    field.spread()
    field = _Field(now.full, then.full, rates, field.vectors * 2 * subpel, cells)
    if known is not None:
        field.offer(known[cells])
    field.offer(still[cells])
    if effort > Effort.FAST:
        field.spread()
    near = SQUARE_PATTERN if effort > Effort.FAST else CROSS_PATTERN
    field.around(SQUARE_PATTERN * subpel)
    if subpel > 2:
        field.around(near * 2)
    field.around(near)
    return field.vectors.reshape(shape)


def _coarse_rates(rd_lambda: float, reach: int) -> Ints:
    """Cost λR (span, span) of the vectors of the full search, in 1 / COARSE_UNIT²."""
    distance = np.log2(1 + np.abs(np.arange(-reach, reach + 1)))
    out: Ints = np.rint(rd_lambda / COARSE**2 * COARSE_UNIT**2 * (distance[:, None] + distance)).astype(np.int32)
    return out


def _padded_rates(rates: Ints) -> Ints:
    """Rates (span, 32) for the kernel, which computes rows of 32 vectors."""
    return np.pad(rates, ((0, 0), (0, KERNEL_SPAN - rates.shape[1])))


def camera_motion(now: Pyramid, then: Pyramid) -> tuple[int, int]:
    """Displacement down and right, in pixels at 1/4 resolution, by which all of a picture moves; 0 if that is not far.

    Of the highest peaks of the phase correlation (Kuglin and Hines 1975, "The phase correlation image alignment
    method") the one with which the pictures differ least, if that is much less. Blocks are searched around it, so fast
    pans are found however far they go.
    """
    product = np.conj(now.spectrum) * then.spectrum
    height, width = now.quarter.shape[0] // 2, now.quarter.shape[1] // 2
    correlation = np.fft.irfft2(product / np.maximum(np.abs(product), 1e-9), (height, width))
    first = np.argpartition(correlation, -min(PEAKS, correlation.size), axis=None)[-PEAKS:]
    down, right = np.divmod(first[np.argsort(correlation.ravel()[first])], width)
    down, right = (2 * np.where(at > side // 2, at - side, at) for at, side in ((down, height), (right, width)))
    if max(abs(int(down[-1])), abs(int(right[-1]))) <= MAX_NEAR:
        return 0, 0
    vectors = list(zip(down.tolist(), right.tolist(), strict=True))
    errors = [_difference(now.quarter, then.quarter, *vector) for vector in vectors]
    least = int(np.argmin(errors))
    return vectors[least] if errors[least] < MIN_CAMERA_GAIN * _difference(now.quarter, then.quarter, 0, 0) else (0, 0)


def _difference(now: Shorts, then: Shorts, down: int, right: int) -> float:
    """Mean squared difference of two pictures where they overlap, the second one displaced."""
    height, width = now.shape
    a = now[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    b = then[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
    return float(np.mean((a.astype(np.float32) - b) ** 2)) if a.size else math.inf


def _displaced(picture: Shorts, down: int, right: int) -> Shorts:
    """A picture displaced, with its edges repeated."""
    if not (down or right):
        return picture
    height, width = picture.shape
    lines, places = np.arange(height) + down, np.arange(width) + right
    out: Shorts = picture.take(lines.clip(0, height - 1), axis=0).take(places.clip(0, width - 1), axis=1)
    return out


def _coarse_pictures(now: Pyramid, then: Pyramid, reach: int, centre: tuple[int, int]) -> tuple[Shorts, Shorts]:
    """Target and reference picture at 1/4 resolution, padded for the kernel; the latter displaced by `centre`."""
    beyond = (WINDOW_SIZE - BLOCK) // COARSE // 2
    margin = beyond + reach
    right = margin + max(KERNEL_SPAN - 2 * reach, 0)
    target = np.pad(now.quarter, beyond, "edge")
    places = np.pad(_displaced(then.quarter, *centre), ((margin,) * 2, (margin, right)), "edge")
    return np.ascontiguousarray(target), np.ascontiguousarray(places)


def _full_search(
    now: Pyramid, then: Pyramid, rates: Ints, centre: tuple[int, int], mask: npt.NDArray[np.bool_]
) -> tuple[Ints, Ints]:  # fmt: skip
    """Full search at 1/4 resolution around `centre`: best integer-pel vectors by the block alone, and by its
    neighbourhood.

    Both are (rows, columns, 2): the first for the blocks in `mask` (rows, columns), the second for their neighbours
    too.
    """
    span = len(rates)
    near = _dilate(mask)
    errors = _Errors(now, then, rates, centre, _dilate(near))
    alone, smooth = (np.full((now.rows, now.columns), rates.size // 2, np.intp) for _ in range(2))
    for row in np.flatnonzero(near.any(axis=1)).tolist():
        here = errors[row]
        column = np.flatnonzero(mask[row])
        alone[row, column] = here[column].argmin(axis=1)
        # Row by row, so that everything stays in the cache. Neighbours count half, but all numbers are doubled.
        tall = errors[max(row - 1, 0)] + errors[min(row + 1, now.rows - 1)] + 2 * here
        column = np.flatnonzero(near[row])
        adjacent = tall[np.maximum(column - 1, 0)] + tall[np.minimum(column + 1, now.columns - 1)] + 2 * tall[column]
        smooth[row, column] = adjacent.argmin(axis=1)
    first, second = (
        np.stack(np.divmod(found, span), axis=-1).astype(np.int32) - span // 2 for found in (alone, smooth)
    )
    first[mask] += np.array(centre, np.int32)
    second[near] += np.array(centre, np.int32)
    return first, second


def _dilate(cells: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Dilate a mask (rows, columns) by one in all eight directions."""
    padded = np.pad(cells, 1)
    tall = padded[:-2] | padded[1:-1] | padded[2:]
    return tall[:, :-2] | tall[:, 1:-1] | tall[:, 2:]


class _Errors:
    """Squared differences of windows at 1/4 resolution for all vectors, by rows of blocks: (columns, span²).

    |a − b|² = |a|² − 2ab + |b|². |a|² is the same for all vectors, so matrix products do most of the work.
    """

    def __init__(
        self, now: Pyramid, then: Pyramid, rates: Ints, centre: tuple[int, int], mask: npt.NDArray[np.bool_]
    ) -> None:  # fmt: skip
        """`mask` (rows, columns) selects the blocks to compute; `rates` (span, span) are added to all errors."""
        wide, self.block, self.span = WINDOW_SIZE // COARSE, BLOCK // COARSE, len(rates)
        beyond, reach = (wide - self.block) // 2, len(rates) // 2
        # float32, in which the matrix products are fast and, for numbers of this size, exact.
        earlier, later = (x.astype(np.float32) for x in (_displaced(then.quarter, *centre), now.quarter))
        target = sliding_window_view(np.pad(later, beyond, mode="edge"), (wide, wide))
        self.target = target[:: self.block, :: self.block].reshape(now.rows, now.columns, wide * wide)
        places = sliding_window_view(np.pad(earlier, beyond + reach, mode="edge"), (wide, wide))
        self.places = places.reshape(*places.shape[:2], wide * wide)
        self.size = np.einsum("yxi,yxi->yx", self.places, self.places)
        self.wanted, self.rates = mask, rates.ravel()
        self.rows: dict[int, Ints] = {}

    def __getitem__(self, row: int) -> Ints:
        """Errors of a row of blocks. Ask for rows in order; a row may use its two neighbours."""
        if row not in self.rows:
            self.rows = {number: errors for number, errors in self.rows.items() if number > row - 3}
            self.rows[row] = self._row(row)
        return self.rows[row]

    def _row(self, row: int) -> Ints:
        block, span = self.block, self.span
        out = np.zeros((len(self.target[row]), span, span), np.int32)
        lines = slice(row * block, row * block + span)
        for column in range(0, len(out), STRIP):
            if not self.wanted[row, column : column + STRIP].any():
                continue
            blocks = self.target[row, column : column + STRIP]
            part = slice(column * block, column * block + (len(blocks) - 1) * block + span)
            product = self.places[lines, part] @ (-2 * blocks.T) + self.size[lines, part, None]
            a, b, c = product.strides
            out[column : column + STRIP] = as_strided(
                product, (len(blocks), span, span), (b * block + c, a, b), writeable=False
            )
        flat = out.reshape(len(out), -1)
        flat += self.rates
        return flat
