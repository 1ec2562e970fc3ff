"""Coding order and contexts of a clip's quantized latents (SPEC.md 7.6.2 to 7.6.5).

Encoder and decoder run the same loop, :func:`code_latents`. An encoding coder takes each residual, a decoding coder
returns it. Contexts are computed for one pass at a time, from decoded integers, with integer arithmetic alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from dfccodec.entropy import context_tables as tables
from dfccodec.entropy.context_tables import FIXED_ONE, MAX_MEAN, MEAN_CONTEXT, MEAN_LEVELS
from dfccodec.errors import DamagedError

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int16]
Shape = tuple[int, int, int, int, int]
"""(K, tiles, rows, columns, C)."""


class Coder(Protocol):
    """Entropy coder of residuals, encoding or decoding."""

    def code(self, contexts: npt.NDArray[np.uint8], shifts: Ints | None, residuals: Ints | None) -> Ints:
        """Code one pass.

        Args:
            contexts: (n,) context of each symbol, in coding order.
            shifts: (n,) number of bypass-coded low bits of each residual; None if all are 0.
            residuals: (n,) residuals to encode; None to decode.

        Returns:
            The residuals, (n,) int32.
        """
        ...


class PassObserver(Protocol):
    """Callback of :func:`code_latents` that sees each pass; see `entropy.bit_costs`."""

    def observe(
        self, k: int, cells: slice, channels: slice, prediction: Ints, sign: Ints,
        contexts: npt.NDArray[np.uint8], shifts: Ints | None,
    ) -> None:  # fmt: skip
        """Called before each pass.

        Args:
            k: number of the kept frame.
            cells, channels: the part of the frame that the pass codes, in coding order.
            prediction: (cells, channels) prediction p of each integer v.
            sign: broadcastable to (cells, channels); the residual is (v − p) · sign.
            contexts, shifts: (cells, channels) contexts, and flat number of bypass-coded bits, as for `Coder.code`.
        """
        ...


class Predictor(Protocol):
    """Predictor of a kept frame from the previous one; see `entropy.inter`."""

    def predict(self, k: int, previous: Shorts) -> Shorts:
        """Return the prediction of kept frame k ≥ 1 from kept frame k − 1; both (cells, C), raster order."""
        ...


@dataclass(frozen=True)
class Band:
    """Rows of a frame that are coded together. Bands limit the memory of a pass for large pictures.

    Attributes:
        first, last: raster numbers of the first cell, and of the cell after the last one.
        even: number of cells with an even row + column. They come first in coding order, before the odd cells.
        order: (cells,) raster number of each cell relative to `first`, in coding order.
        neighbours: (4, odd cells) position in coding order of the neighbours above, left, right and below in the same
            tile and band. Neighbours of odd cells are even. If a neighbour does not exist, the entry is `even`.
        count: (odd cells,) number of neighbours of each odd cell, but at least 1.
    """

    first: int
    last: int
    even: int
    order: Longs
    neighbours: Longs
    count: Longs

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.last - self.first


def bands(tiles: int, rows: int, columns: int) -> Iterator[Band]:
    """Yield the bands of a frame from top to bottom."""
    height = max(tables.BAND_CELLS // columns, 1)
    for line in range(0, tiles * rows, height):
        yield _band(line, min(height, tiles * rows - line), rows, columns)


@lru_cache(maxsize=4)
def _band(line: int, height: int, rows: int, columns: int) -> Band:
    row = (line + np.arange(height)) % rows
    cells = height * columns
    odd = ((row[:, None] + np.arange(columns)) & 1).ravel()
    order = np.argsort(odd, kind="stable")
    place = np.empty(cells + 1, np.int64)
    place[order], place[-1] = np.arange(cells), cells
    padded = np.pad(np.arange(cells).reshape(height, columns), 1, constant_values=cells)
    above, below = padded[:-2, 1:-1].copy(), padded[2:, 1:-1].copy()
    above[row == 0] = below[row == rows - 1] = cells
    sides = (above, padded[1:-1, :-2], padded[1:-1, 2:], below)
    even = int(cells - odd.sum())
    neighbours = np.minimum(place[np.stack([side.ravel()[order[even:]] for side in sides])], even)
    count = np.maximum((neighbours < even).sum(axis=0), 1)
    return Band(line * columns, line * columns + cells, even, order, neighbours, count)


def code_latents(
    shape: Shape, coder: Coder, values: Shorts | None = None, observer: PassObserver | None = None,
    predictor: Predictor | None = None,
) -> Shorts:  # fmt: skip
    """Encode or decode all integers of a clip.

    Args:
        shape: (K, tiles, rows, columns, C), K at least 1.
        coder: encodes or decodes residuals.
        values: the integers to encode, of that shape; None to decode.
        observer: called before each pass.
        predictor: called before each kept frame except the first. If None, the prediction is the previous kept frame.

    Returns:
        The integers, int16 of that shape.

    Raises:
        DamagedError: the coder returns an invalid channel mean.
    """
    kept, tiles, rows, columns, channels = shape
    flat = (kept, tiles * rows * columns, channels)
    if values is not None:
        y = values.reshape(flat).astype(np.int16)
        to_coding_order(y, shape)
    else:
        y = np.zeros(flat, np.int16)
    means = _ChannelMeans(y, coder, values is not None)
    past: ReferenceContext | None = None
    for k in range(kept):
        if k:
            past = ReferenceContext(y[k - 1], past and past.prediction, _predict(y[k - 1], k, shape, predictor))
        for band in bands(tiles, rows, columns):
            _BandCoder(y[k], past, band, means.levels, coder, values is not None, observer, k).run()
        means.update(k)
    to_raster_order(y, shape)
    return y.reshape(shape)


def _predict(previous: Shorts, k: int, shape: Shape, predictor: Predictor | None) -> Shorts:
    """Return the prediction of kept frame k, (cells, C) in coding order."""
    if predictor is None:
        return previous
    raster = previous[None].copy()
    to_raster_order(raster, shape)
    prediction = np.array(predictor.predict(k, raster[0])[None])
    to_coding_order(prediction, shape)
    out: Shorts = prediction[0]
    return out


def to_coding_order(numbers: npt.NDArray[Any], shape: Shape) -> None:
    """Sort the cells of (K, cells, C) from raster into coding order, in place."""
    for band in bands(*shape[1:4]):
        part = numbers[:, band.first : band.last]
        part[:] = part[:, band.order]


def to_raster_order(numbers: npt.NDArray[Any], shape: Shape) -> None:
    """Undo :func:`to_coding_order`."""
    for band in bands(*shape[1:4]):
        part = numbers[:, band.first : band.last]
        part[:, band.order] = part.copy()


class ReferenceContext(NamedTuple):
    """Data from which a kept frame after the first is predicted, each (cells, C) in coding order.

    Attributes:
        previous: the previous kept frame.
        previous_prediction: the prediction that frame was coded with; None if it is the first kept frame.
        prediction: the prediction of the current kept frame.
    """

    previous: Shorts
    previous_prediction: Shorts | None
    prediction: Shorts


class _ChannelMeans:
    """Mean magnitude of each channel, an input of the context model.

    Attributes:
        levels: (C,) mean for the current kept frame, in 1/256.
    """

    def __init__(self, y: Shorts, coder: Coder, writing: bool) -> None:
        """Code the levels for the first kept frame, each as the difference to the previous channel."""
        self.y = y
        levels = np.array([(2 + (i & 1)) << (i >> 1) for i in range(MEAN_LEVELS)])
        steps = None
        if writing:
            nearest = np.abs(levels - self._mean_of(0)[:, None]).argmin(axis=1)
            steps = np.diff(nearest, prepend=0).astype(np.int32)
        number = np.cumsum(coder.code(np.full(y.shape[2], MEAN_CONTEXT, np.uint8), None, steps))
        if number.min() < 0 or number.max() >= MEAN_LEVELS:
            raise DamagedError(
                f"latents: channel mean levels from {int(number.min())} to {int(number.max())}; "
                f"only 0 to {MEAN_LEVELS - 1} are valid"
            )
        self.levels: Longs = levels[number]

    def update(self, k: int) -> None:
        """Compute the means for kept frame k + 1."""
        self.levels = self._mean_of(k) if k == 0 else (5 * self.levels + 3 * self._mean_of(k)) >> 3

    def _mean_of(self, k: int) -> Longs:
        frame = self.y[k]
        # Piece by piece: a complete frame as int32 may be large.
        pieces = (frame[i : i + tables.BAND_CELLS] for i in range(0, len(frame), tables.BAND_CELLS))
        total = sum(np.abs(piece.astype(np.int32)).sum(axis=0, dtype=np.int64) for piece in pieces)
        mean: Longs = np.clip(total * FIXED_ONE // len(frame), 2, MAX_MEAN)
        return mean


class _BandCoder:
    """Coding of one band of one kept frame. Arrays are (channels, cells), because most sums run over cells.

    There are two kinds of magnitudes: of the integers and, after the first kept frame, of the prediction errors. A
    magnitude is below 2^16, so the sum over 32 channels and four neighbours is below 2^23 and fits int32.
    """

    def __init__(
        self, y: Shorts, past: ReferenceContext | None, band: Band, means: Longs, coder: Coder, writing: bool,
        observer: PassObserver | None, k: int,
    ) -> None:  # fmt: skip
        self.y, self.k, self.band, self.coder, self.writing, self.observer = y, k, band, coder, writing, observer
        self.means = means.astype(np.int32)
        self.starts = tables.groups(y.shape[1])
        self.kinds = 2 if past else 1
        self.values = self._channels_first(y)
        # Sums of magnitudes over channels, (kinds, cells): of the previous group, and of all earlier groups with a
        # weight that halves from group to group.
        self.previous_group, self.earlier_groups = np.zeros((2, self.kinds, band.cells), np.int32)
        self.previous_group_mean, self.earlier_groups_mean = 1, 1
        if past:
            self._set_reference(past)

    def _channels_first(self, frame: Shorts) -> Ints:
        """Return the band of a frame as (C, cells) int32."""
        return frame[self.band.first : self.band.last].T.astype(np.int32, order="C")

    def _set_reference(self, past: ReferenceContext) -> None:
        """Compute all context terms from previous kept frames, for all groups at once."""
        self.prediction = self._channels_first(past.prediction)
        self.colocated = np.empty((2, *self.prediction.shape), np.int32)
        np.abs(self.prediction, out=self.colocated[0])
        error = self._channels_first(past.previous)
        if past.previous_prediction is not None:
            error -= self._channels_first(past.previous_prediction)
        np.abs(error, out=self.colocated[1])
        self.previous_frame = np.add.reduceat(self.colocated, self.starts[:-1], axis=1, dtype=np.int32)
        self.sign = (self.prediction >> 31) | 1
        self.nonzero_prediction = (self.prediction != 0).view(np.uint8) * np.uint8(tables.BUCKETS)

    def run(self) -> None:
        """Code all groups of the band."""
        for group, (first, last) in enumerate(itertools.pairwise(self.starts)):
            self.group, self.channels = group, slice(first, last)
            self.group_mean = int(self.means[self.channels].sum())
            even, cells = self.band.even, self.band.cells
            for phase, part in enumerate(
                [(0, even), (even, cells)] if group < tables.TWO_PHASE_GROUPS else [(0, cells)]
            ):
                self._pass(phase, slice(*part))
            self.previous_group = self._magnitudes(cells)[..., :cells].sum(axis=1, dtype=np.int32)
            self.earlier_groups = (self.earlier_groups >> 1) + self.previous_group
            self.previous_group_mean = self.group_mean
            self.earlier_groups_mean = (self.earlier_groups_mean >> 1) + self.group_mean if group else self.group_mean
        if not self.writing:
            self.y[self.band.first : self.band.last] = self.values.T

    def _pass(self, phase: int, cells: slice) -> None:
        """Code the cells of one phase of one group."""
        if cells.start == cells.stop:
            return
        place = self.channels, cells
        scales = self._scales(phase, cells)
        scale = scales[0]
        prediction = self._neighbour_mean() if phase and not self.group else np.zeros(scale.shape, np.int32)
        sign: Ints = np.ones(1, np.int32)
        if self.k:
            static = scales[1] < scale
            np.copyto(prediction, self.prediction[place], where=static)
            scale = np.minimum(scale, scales[1])
            sign = self.sign[place]
        contexts = tables.bucket_table().take(scale, mode="clip")
        if self.k:
            contexts += static.view(np.uint8) * np.uint8(2 * tables.BUCKETS)
            contexts += self.nonzero_prediction[place]
        large = int(scale.max()) >> (tables.TOP_OCTAVE + 1)
        shifts = tables.shift_table().take(scale, mode="clip").T.ravel() if large else None
        if self.observer is not None:
            there = slice(self.band.first + cells.start, self.band.first + cells.stop)
            self.observer.observe(self.k, there, self.channels, prediction.T, sign.T, contexts.T, shifts)
        residual = None
        if self.writing:
            residual = ((self.values[place] - prediction) * sign).T.astype(np.int16, order="C").astype(np.int32).ravel()
        coded = self.coder.code(contexts.T.ravel(), shifts, residual)
        if not self.writing:
            self.values[place] = (prediction + sign * coded.reshape(prediction.shape[::-1]).T).astype(np.int16)

    def _magnitudes(self, cells: int) -> Ints:
        """Return magnitudes of integers and prediction errors of the group's first `cells`: (kinds, channels, cells +
        1).

        The last column is 0 and stands for neighbours that do not exist.
        """
        now = self.values[self.channels, :cells]
        out = np.empty((self.kinds, len(now), cells + 1), np.int32)
        out[..., cells] = 0
        np.abs(now, out=out[0, :, :cells])
        if self.k:
            change = out[1, :, :cells]
            np.abs(np.subtract(now, self.prediction[self.channels, :cells], out=change), out=change)
        return out

    def _scales(self, phase: int, cells: slice) -> Ints:
        """Return the expected magnitude of residuals by each kind, (kinds, channels, cells) in 1/256."""
        mean, previous_group, earlier_groups, previous_frame, neighbours, colocated, same_channel, offset = (
            tables.weights(self.group, self.k > 0, phase)
        )
        ratio = previous_group * self.previous_group[:, cells] // self.previous_group_mean + mean
        ratio += earlier_groups * self.earlier_groups[:, cells] // self.earlier_groups_mean
        added: Ints = offset
        if self.k:
            ratio += previous_frame * self.previous_frame[:, self.group, cells] // self.group_mean
            added = self.colocated[:, self.channels, cells] * colocated + added
        if phase:
            known = self._magnitudes(self.band.even)
            sides = known.take(self.band.neighbours, axis=2).sum(axis=2, dtype=np.int32)
            sums = sides.sum(axis=1, dtype=np.int32)
            ratio += neighbours * sums // (self.group_mean * self.band.count)
            added = sides * same_channel + added
        ratio = np.minimum(ratio, tables.MAX_ACTIVITY).astype(np.int32)
        scales: Ints = ratio[:, None] * self.means[self.channels, None]
        scales >>= 8
        scales += added
        return scales

    def _neighbour_mean(self) -> Ints:
        """Return the mean of each odd cell's neighbours, rounded half up; 0 for a cell without neighbours."""
        known = np.pad(self.values[self.channels, : self.band.even], ((0, 0), (0, 1)))
        total, count = known.take(self.band.neighbours, axis=1).sum(axis=1, dtype=np.int64), self.band.count
        mean: Ints = ((2 * total + count) // (2 * count)).astype(np.int32)
        return mean
