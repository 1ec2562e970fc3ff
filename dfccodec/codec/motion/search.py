"""Motion estimation between two pictures: full search at 1/4 resolution, then hierarchical refinement by D + λR.

All errors and costs are integers, so that this code and its twin in C (native/motion.c) find the same vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from dfccodec.codec.motion.blocks import BLOCK, SUBPEL
from dfccodec.codec.motion.obmc import WINDOW_SIZE, window
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


UNIT = 512
"""Integer value of a sample of 1.0 in pictures and their sub-pel phases."""

WEIGHT_UNIT = 32
"""Integer value of a weight of 1.0 of a window along one axis. Weight times difference fits 16 bits."""

ERROR_UNIT = UNIT**2 * WEIGHT_UNIT**2
"""Integer value of a squared error of 1.0."""

COARSE_UNIT = 256
"""As UNIT, at 1/4 resolution. Sums of a window then are exact in float32."""

CHANNEL_SCALES = np.float32(UNIT / 3**0.5), np.float32(UNIT / 2**0.5)
"""Scales of two channels: sum, and red minus blue. Their squared differences approximate those of RGB in two thirds of
the time. The sum alone would miss edges between colours of equal brightness."""

COARSE = 4
"""Downscaling factor of the full search."""
RANGES = {Effort.FAST: 8, Effort.NORMAL: 12}
"""Range of the full search in pixels at 1/4 resolution: ±32 and ±48 pixels of the picture."""
MAX_OVERHANG = 64
"""Maximum pixels by which a vector of this encoder points outside the picture."""
MIN_SAVING_BITS = 10
"""Minimum saving in bits for which a block is searched."""
STRIP = 16
"""Blocks searched in one matrix product; larger strips compute more unused positions."""
KERNEL_SPAN = 32
"""Vectors in a row of the full search that the kernel computes together."""
SQUARE_PATTERN = np.array([(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x], np.int32)
CROSS_PATTERN = SQUARE_PATTERN[[1, 3, 4, 6]]


@dataclass(frozen=True)
class PyramidLevel:
    """A picture at one scale with edge padding and sub-pel phases.

    Attributes:
        phases: (1 or SUBPEL², height, width, channels) int16: shifted by 0 … SUBPEL − 1 fractions of a pixel down, then
            right.
        block, wide: sides of a block and of its window at this scale.
        edge: pixels of edge padding.
        rows, columns: numbers of block rows and columns.
    """

    phases: Shorts
    block: int
    wide: int
    edge: int
    rows: int
    columns: int

    @cached_property
    def corners(self) -> tuple[Ints, Ints]:
        """Top left corners (rows · columns,) of all windows in the padded picture: down and right."""
        first = self.edge - (self.wide - self.block) // 2
        y, x = np.mgrid[: self.rows, : self.columns].reshape(2, -1).astype(np.int32) * self.block + first
        return y, x

    @cached_property
    def weights(self) -> Shorts:
        """Weights (wide, channels) of a window along one axis, in 1 / WEIGHT_UNIT; the same for all channels."""
        side = np.rint(WEIGHT_UNIT * window().reshape(-1, WINDOW_SIZE // self.wide).mean(axis=1))
        return np.repeat(side.astype(np.int16)[:, None], self.phases.shape[-1], axis=1)

    @cached_property
    def for_kernel(self) -> tuple[Shorts, Shorts, int, int, int, int, int, int, int, int]:
        """The level as an argument of the kernels."""
        count, height, width, _ = self.phases.shape
        sizes = count, height, width, self.edge, self.block, self.wide, self.rows, self.columns
        return (self.phases, self.weights, *sizes)

    def windows(self, cells: Index, vectors: Ints | None = None) -> Shorts:
        """Windows (n, wide · wide · channels) of the blocks `cells` (n,), displaced by vectors (n, 2)."""
        count, height, width, channels = self.phases.shape
        y, x = self.corners[0][cells], self.corners[1][cells]
        number: Ints | int = 0
        if vectors is not None:
            limit = self.edge - self.wide
            whole = vectors if count == 1 else vectors >> 1
            whole = np.maximum(np.minimum(whole, limit - 1), -limit)
            y, x = y + whole[:, 0], x + whole[:, 1]
            if count > 1:
                number = (vectors[:, 0] & 1) * SUBPEL + (vectors[:, 1] & 1)
        a, b, c, d = self.phases.strides
        shape = (count, height - self.wide + 1, width - self.wide + 1, self.wide, self.wide * channels)
        view = as_strided(self.phases, shape, (a, b, c, b, d), writeable=False)
        out: Shorts = view[number, y, x].reshape(len(cells), self.wide * self.wide * channels)
        return out


def block_errors(
    now: PyramidLevel, past: PyramidLevel, cells: Index, vectors: Ints | None = None,
    future: PyramidLevel | None = None, future_vectors: Ints | None = None,
) -> Longs:  # fmt: skip
    """Weighted squared errors (n,) of blocks, in 1 / ERROR_UNIT.

    Args:
        now: the target picture.
        past: a reference picture.
        cells: (n,) raster numbers of the blocks.
        vectors: (n, 2) vectors into `past`; None for zero vectors.
        future, future_vectors: a second reference picture and vectors into it; the prediction is the mean of both.
    """
    if kernels is not None:
        out = np.empty(len(cells), np.int64)
        one, other = (
            np.zeros(0, np.int32) if mvs is None else np.ascontiguousarray(mvs, np.int32)
            for mvs in (vectors, future_vectors)
        )
        kernels.errors(
            now.for_kernel, past.for_kernel, one, future and future.for_kernel, other, cells.astype(np.int32), out
        )
        return out
    prediction = past.windows(cells, vectors)
    if future is not None:
        prediction = (prediction + future.windows(cells, future_vectors)) >> 1
    difference = np.subtract(now.windows(cells), prediction).astype(np.float64)  # exact: sums are below 2^53
    difference *= difference
    side = past.weights[:, 0].astype(np.float64)
    weights = np.repeat((side[:, None] * side).ravel(), past.weights.shape[1])
    return (difference @ weights).astype(np.int64)


class Pyramid:
    """A picture at full, 1/2 and 1/4 resolution.

    Attributes:
        rows, columns: numbers of block rows and columns.
        full, half: levels at full and 1/2 resolution.
        quarter: (height, width) int16, the sum channel at 1/4 resolution, in 1 / COARSE_UNIT.
    """

    def __init__(self, frame: Floats, per: int = 1) -> None:
        """`frame` is (H, W, 3) in 0…1. `per` is the number of sub-pel phases per pixel at full resolution: SUBPEL for a
        reference picture, 1 for a target, which needs less padding."""
        planes = _planes(frame)
        edge = WINDOW_SIZE if per == 1 else MAX_OVERHANG + WINDOW_SIZE
        self.full = _level(planes, 1, per, edge)
        self.half = _level(_downscale(planes, 2), 2, 1, edge)
        coarse = _downscale(planes[:1], COARSE)[0] * np.float32(COARSE_UNIT / UNIT)
        self.quarter: Shorts = np.rint(coarse).astype(np.int16)
        self.rows, self.columns = self.full.rows, self.full.columns


def undisplaced_level(frame: Floats) -> PyramidLevel:
    """Level of a picture (H, W, 3) in 0…1 without displacement."""
    return _level(_planes(frame), 1, 1, WINDOW_SIZE)


def _planes(frame: Floats) -> Floats:
    """Channels (channels, height, width) padded to complete blocks, in units of 1 / UNIT."""
    height, width = frame.shape[:2]
    pad = ((0, -height % BLOCK), (0, -width % BLOCK))
    red, green, blue = np.moveaxis(frame, -1, 0)
    planes = (red + green + blue) * CHANNEL_SCALES[0], (red - blue) * CHANNEL_SCALES[1]
    return np.stack([np.pad(plane, pad, mode="edge") for plane in planes])


def _level(planes: Floats, scale: int, per: int, edge: int) -> PyramidLevel:
    """Level of planes (channels, height, width) at 1 / scale; `edge` is in pixels at full resolution."""
    edge //= scale
    block = BLOCK // scale
    if kernels is not None:
        height, width = planes.shape[1:]
        phases = np.empty((per * per, height + 2 * edge, width + 2 * edge, 2), np.int16)
        kernels.level(np.ascontiguousarray(planes), height, width, edge, per, phases)
        return PyramidLevel(phases, block, WINDOW_SIZE // scale, edge, height // block, width // block)
    padded = np.pad(planes, ((0, 0), (edge, edge), (edge, edge)), mode="edge")
    phases = np.empty((per * per, *padded.shape[1:], len(planes)), np.int16)
    for number in range(per * per):
        shifted = _shift(padded, number // per / per, number % per / per)
        phases[number] = np.moveaxis(np.rint(shifted), 0, -1)
    return PyramidLevel(phases, block, WINDOW_SIZE // scale, edge, planes.shape[1] // block, planes.shape[2] // block)


def _downscale(planes: Floats, scale: int) -> Floats:
    """Downscale by the mean of `scale`² pixels; adding slices is ten times faster in NumPy than reducing small axes."""
    lines = planes[:, ::scale]
    for move in range(1, scale):
        lines = lines + planes[:, move::scale]
    out = lines[..., ::scale]
    for move in range(1, scale):
        out = out + lines[..., move::scale]
    return out * np.float32(1 / scale**2)


def _shift(planes: Floats, down: float, right: float) -> Floats:
    """Shift planes by a fraction of a pixel, linearly interpolated."""
    if down:
        planes = planes + (np.concatenate([planes[:, 1:], planes[:, -1:]], axis=1) - planes) * np.float32(down)
    if right:
        planes = planes + (np.concatenate([planes[..., 1:], planes[..., -1:]], axis=2) - planes) * np.float32(right)
    return planes


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

    Args:
        now: the target picture.
        then: the reference picture, with SUBPEL phases.
        rd_lambda: λ, squared error per bit.
        predictors: vectors (rows, columns, 2) to try first.
        effort: effort of the search.
        mask: (rows, columns) blocks to search, all by default; the others get zero vectors.

    Returns:
        vectors (rows, columns, 2) int32 in units of 1 / SUBPEL pixel.
    """
    shape = now.rows, now.columns, 2
    known = None if predictors is None else predictors.reshape(-1, 2)
    rates, half_rates = mvd_rates(rd_lambda), mvd_rates(rd_lambda / 4)
    coarse, least = _coarse_rates(rd_lambda, RANGES[effort]), math.ceil(MIN_SAVING_BITS * rd_lambda * ERROR_UNIT)
    if kernels is not None:
        out = np.empty(shape, np.int32)
        target, places = _coarse_pictures(now, then, RANGES[effort])
        kernels.search(
            now.full.for_kernel, then.full.for_kernel, now.half.for_kernel, then.half.for_kernel,
            target, target.shape[1], places, places.shape[1], len(coarse), _padded_rates(coarse), rates, half_rates,
            least, effort > Effort.FAST,
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
    alone, smooth = (found.reshape(-1, 2) for found in _full_search(now, then, coarse, needs_search))
    field = _Field(now.half, then.half, half_rates, smooth * 2, cells)
    field.offer(alone[cells] * 2)
    field.offer(still[cells])
    if known is not None:
        field.offer((known[cells] + SUBPEL) // (2 * SUBPEL))
    field.around(SQUARE_PATTERN if effort > Effort.FAST else CROSS_PATTERN)
    field.spread()
    field = _Field(now.full, then.full, rates, field.vectors * 2 * SUBPEL, cells)
    if known is not None:
        field.offer(known[cells])
    field.offer(still[cells])
    if effort > Effort.FAST:
        field.spread()
    field.around(SQUARE_PATTERN * SUBPEL)
    field.around(SQUARE_PATTERN if effort > Effort.FAST else CROSS_PATTERN)
    return field.vectors.reshape(shape)


def _coarse_rates(rd_lambda: float, reach: int) -> Ints:
    """Cost λR (span, span) of the vectors of the full search, in 1 / COARSE_UNIT²."""
    distance = np.log2(1 + np.abs(np.arange(-reach, reach + 1)))
    out: Ints = np.rint(rd_lambda / COARSE**2 * COARSE_UNIT**2 * (distance[:, None] + distance)).astype(np.int32)
    return out


def _padded_rates(rates: Ints) -> Ints:
    """Rates (span, 32) for the kernel, which computes rows of 32 vectors."""
    return np.pad(rates, ((0, 0), (0, KERNEL_SPAN - rates.shape[1])))


def _coarse_pictures(now: Pyramid, then: Pyramid, reach: int) -> tuple[Shorts, Shorts]:
    """Target and reference picture at 1/4 resolution, padded for the kernel."""
    beyond = (WINDOW_SIZE - BLOCK) // COARSE // 2
    margin = beyond + reach
    right = margin + max(KERNEL_SPAN - 2 * reach, 0)
    target, places = np.pad(now.quarter, beyond, "edge"), np.pad(then.quarter, ((margin,) * 2, (margin, right)), "edge")
    return np.ascontiguousarray(target), np.ascontiguousarray(places)


def _full_search(
    now: Pyramid, then: Pyramid, rates: Ints, mask: npt.NDArray[np.bool_]
) -> tuple[Ints, Ints]:  # fmt: skip
    """Full search at 1/4 resolution: best integer-pel vectors by the block alone, and by its neighbourhood.

    Both are (rows, columns, 2): the first for the blocks in `mask` (rows, columns), the second for their neighbours
    too.
    """
    span = len(rates)
    near = _dilate(mask)
    errors = _Errors(now, then, rates, _dilate(near))
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

    def __init__(self, now: Pyramid, then: Pyramid, rates: Ints, mask: npt.NDArray[np.bool_]) -> None:
        """`mask` (rows, columns) selects the blocks to compute; `rates` (span, span) are added to all errors."""
        wide, self.block, self.span = WINDOW_SIZE // COARSE, BLOCK // COARSE, len(rates)
        beyond, reach = (wide - self.block) // 2, len(rates) // 2
        # float32, in which the matrix products are fast and, for numbers of this size, exact.
        earlier, later = (picture.quarter.astype(np.float32) for picture in (then, now))
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
