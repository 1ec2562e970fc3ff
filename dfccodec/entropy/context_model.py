"""The order in which the range coder visits a clip's integers, and the context of each (SPEC.md 7.6.2 to 7.6.5).

Writer and reader run the same walk: the writer's coder is handed each residual, the reader's hands it back. Contexts
are computed a whole pass at a time from integers that are already known, with integer arithmetic alone.
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
from dfccodec.entropy.context_tables import FIXED_ONE, MAX_MEAN, MEAN_CONTEXT, MEANS
from dfccodec.errors import DamagedError

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int16]
Shape = tuple[int, int, int, int, int]
"""(K, tiles, rows, columns, C)."""


class Coder(Protocol):
    """What the walk needs of a coder."""

    def code(self, contexts: npt.NDArray[np.uint8], shifts: Ints | None, residuals: Ints | None) -> Ints:
        """Code one pass.

        Args:
            contexts: number of the statistics of each symbol, in order.
            shifts: low bits of each residual that are coded raw; None where all are 0.
            residuals: what to write; None to read.

        Returns:
            the residuals.
        """
        ...


class PassObserver(Protocol):
    """Somebody who wants to know what other integers would cost; see `entropy.prices`."""

    def observe(
        self, k: int, cells: slice, channels: slice, prediction: Ints, sign: Ints,
        contexts: npt.NDArray[np.uint8], shifts: Ints | None,
    ) -> None:  # fmt: skip
        """Before a pass is coded: its place, how residuals come from integers, and all a coder knows."""
        ...


class Predictor(Protocol):
    """Somebody who expects other integers than those of the kept frame before; see `entropy.inter`."""

    def predict(self, k: int, before: Shorts) -> Shorts:
        """What is expected of kept frame k, at least 1, from the one `before`: both (cells, C), raster order."""
        ...


@dataclass(frozen=True)
class Band:
    """Some lines of a frame that are coded together, so that what a pass needs stays small whatever the picture.

    Attributes:
        first, last: raster numbers of its first cell and after its last one.
        even: how many of its cells have an even row + column; they come first in coding order, then the odd ones.
        order: (cells,) raster number of each, from `first`, in coding order.
        near: (4, odd cells) places of the neighbours above, left, right and below in the same tile and band, all of
            them even; `even` where there is none.
        count: (odd cells,) how many neighbours each has, at least 1.
    """

    first: int
    last: int
    even: int
    order: Longs
    near: Longs
    count: Longs

    @property
    def cells(self) -> int:
        """How many it has."""
        return self.last - self.first


def bands(tiles: int, rows: int, columns: int) -> Iterator[Band]:
    """The bands of a frame, from the top."""
    height = max(tables.BAND // columns, 1)
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
    framed = np.pad(np.arange(cells).reshape(height, columns), 1, constant_values=cells)
    above, below = framed[:-2, 1:-1].copy(), framed[2:, 1:-1].copy()
    above[row == 0] = below[row == rows - 1] = cells
    sides = (above, framed[1:-1, :-2], framed[1:-1, 2:], below)
    even = int(cells - odd.sum())
    near = np.minimum(place[np.stack([side.ravel()[order[even:]] for side in sides])], even)
    count = np.maximum((near < even).sum(axis=0), 1)
    return Band(line * columns, line * columns + cells, even, order, near, count)


def code_latents(
    shape: Shape, coder: Coder, values: Shorts | None = None, observer: PassObserver | None = None,
    predictor: Predictor | None = None,
) -> Shorts:  # fmt: skip
    """Visit every integer of a clip once.

    Args:
        shape: (K, tiles, rows, columns, C), K at least 1.
        coder: takes or gives residuals.
        values: the integers to write; None to read.
        observer: asked before each pass.
        predictor: asked before each kept frame but the first; None where each is expected to be like the one before.

    Returns:
        the integers, int16 of that shape.

    Raises:
        DamagedError: what the coder reads is impossible.
    """
    kept, tiles, rows, columns, channels = shape
    flat = (kept, tiles * rows * columns, channels)
    if values is not None:
        y = values.reshape(flat).astype(np.int16)
        to_coding_order(y, shape)
    else:
        y = np.zeros(flat, np.int16)
    means = _Means(y, coder, values is not None)
    past: ReferenceContext | None = None
    for k in range(kept):
        if k:
            past = ReferenceContext(y[k - 1], past and past.prediction, _expected(y[k - 1], k, shape, predictor))
        for band in bands(tiles, rows, columns):
            _BandWalk(y[k], past, band, means.now, coder, values is not None, observer, k).run()
        means.learn(k)
    to_raster_order(y, shape)
    return y.reshape(shape)


def _expected(before: Shorts, k: int, shape: Shape, predictor: Predictor | None) -> Shorts:
    """Of kept frame k, (cells, C) in coding order."""
    if predictor is None:
        return before
    raster = before[None].copy()
    to_raster_order(raster, shape)
    expected = np.array(predictor.predict(k, raster[0])[None])
    to_coding_order(expected, shape)
    found: Shorts = expected[0]
    return found


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
    """What is known before a kept frame, each (cells, C) in coding order.

    Attributes:
        previous: the kept frame before.
        previous_prediction: what was expected of that; None of the first.
        prediction: what is expected now.
    """

    previous: Shorts
    previous_prediction: Shorts | None
    prediction: Shorts


class _Means:
    """The mean magnitude of each channel, in 1/256, that a kept frame is coded with."""

    def __init__(self, y: Shorts, coder: Coder, writing: bool) -> None:
        """Levels for the first kept frame are in the file, each as the difference to that of the channel before."""
        self.y = y
        levels = np.array([(2 + (i & 1)) << (i >> 1) for i in range(MEANS)])
        steps = None
        if writing:
            nearest = np.abs(levels - self._of(0)[:, None]).argmin(axis=1)
            steps = np.diff(nearest, prepend=0).astype(np.int32)
        number = np.cumsum(coder.code(np.full(y.shape[2], MEAN_CONTEXT, np.uint8), None, steps))
        if number.min() < 0 or number.max() >= MEANS:
            raise DamagedError(f"latents: a mean of level {int(number.min())} or {int(number.max())}: 0 to {MEANS - 1}")
        self.now: Longs = levels[number]

    def learn(self, k: int) -> None:
        """Means for the kept frame after `k`."""
        self.now = self._of(k) if k == 0 else (5 * self.now + 3 * self._of(k)) >> 3

    def _of(self, k: int) -> Longs:
        frame = self.y[k]
        # In pieces, since the whole frame as int32 may be large.
        pieces = (frame[i : i + tables.BAND] for i in range(0, len(frame), tables.BAND))
        total = sum(np.abs(piece.astype(np.int32)).sum(axis=0, dtype=np.int64) for piece in pieces)
        mean: Longs = np.clip(total * FIXED_ONE // len(frame), 2, MAX_MEAN)
        return mean


class _BandWalk:
    """One band of one kept frame, channels first, (channels, cells): most arithmetic is of a cell with its channels.

    Magnitudes are of two kinds: of integers and, after the first kept frame, of their difference to what is expected.
    One is below 2^16, so the sum of a group's 32 channels over four neighbours is below 2^23: int32 will do.
    """

    def __init__(
        self, y: Shorts, past: ReferenceContext | None, band: Band, means: Longs, coder: Coder, writing: bool,
        observer: PassObserver | None, k: int,
    ) -> None:  # fmt: skip
        self.y, self.k, self.band, self.coder, self.writing, self.question = y, k, band, coder, writing, observer
        self.means = means.astype(np.int32)
        self.starts = tables.groups(y.shape[1])
        self.kinds = 2 if past else 1
        self.now = self._lines(y)
        # Summed over channels, (kinds, cells): of the group before, and of all before, halved from group to group.
        self.near, self.far = np.zeros((2, self.kinds, band.cells), np.int32)
        self.near_mean, self.far_mean = 1, 1
        if past:
            self._look_back(past)

    def _lines(self, frame: Shorts) -> Ints:
        """(C, cells)."""
        return frame[self.band.first : self.band.last].T.astype(np.int32, order="C")

    def _look_back(self, past: ReferenceContext) -> None:
        """All that the kept frames before say, for every group at once."""
        self.old = self._lines(past.prediction)
        self.own = np.empty((2, *self.old.shape), np.int32)
        np.abs(self.old, out=self.own[0])
        missed = self._lines(past.previous)
        if past.previous_prediction is not None:
            missed -= self._lines(past.previous_prediction)
        np.abs(missed, out=self.own[1])
        self.past = np.add.reduceat(self.own, self.starts[:-1], axis=1, dtype=np.int32)
        self.sign = (self.old >> 31) | 1
        self.nonzero_prediction = (self.old != 0).view(np.uint8) * np.uint8(tables.BUCKETS)

    def run(self) -> None:
        for group, (first, last) in enumerate(itertools.pairwise(self.starts)):
            self.group, self.channels = group, slice(first, last)
            self.own_mean = int(self.means[self.channels].sum())
            even, cells = self.band.even, self.band.cells
            for phase, part in enumerate([(0, even), (even, cells)] if group < tables.PHASED else [(0, cells)]):
                self._pass(phase, slice(*part))
            self.near = self._magnitudes(cells)[..., :cells].sum(axis=1, dtype=np.int32)
            self.far = (self.far >> 1) + self.near
            self.near_mean = self.own_mean
            self.far_mean = (self.far_mean >> 1) + self.own_mean if group else self.own_mean
        if not self.writing:
            self.y[self.band.first : self.band.last] = self.now.T

    def _pass(self, phase: int, cells: slice) -> None:
        """Code the cells of one phase of one group."""
        if cells.start == cells.stop:
            return
        place = self.channels, cells
        scales = self._scales(phase, cells)
        scale = scales[0]
        guess = self._between() if phase and not self.group else np.zeros(scale.shape, np.int32)
        flip: Ints = np.ones(1, np.int32)
        if self.k:
            static = scales[1] < scale
            np.copyto(guess, self.old[place], where=static)
            scale = np.minimum(scale, scales[1])
            flip = self.sign[place]
        contexts = tables.bucket_table().take(scale, mode="clip")
        if self.k:
            contexts += static.view(np.uint8) * np.uint8(2 * tables.BUCKETS)
            contexts += self.nonzero_prediction[place]
        large = int(scale.max()) >> (tables.TOP_OCTAVE + 1)
        shifts = tables.shift_table().take(scale, mode="clip").T.ravel() if large else None
        if self.question is not None:
            there = slice(self.band.first + cells.start, self.band.first + cells.stop)
            self.question.observe(self.k, there, self.channels, guess.T, flip.T, contexts.T, shifts)
        residual = None
        if self.writing:
            residual = ((self.now[place] - guess) * flip).T.astype(np.int16, order="C").astype(np.int32).ravel()
        coded = self.coder.code(contexts.T.ravel(), shifts, residual)
        if not self.writing:
            self.now[place] = (guess + flip * coded.reshape(guess.shape[::-1]).T).astype(np.int16)

    def _magnitudes(self, cells: int) -> Ints:
        """Of the integers of this group in its first `cells`, and of their change: (kinds, channels, cells + 1).

        The last column is 0, for neighbours that are not there.
        """
        now = self.now[self.channels, :cells]
        out = np.empty((self.kinds, len(now), cells + 1), np.int32)
        out[..., cells] = 0
        np.abs(now, out=out[0, :, :cells])
        if self.k:
            change = out[1, :, :cells]
            np.abs(np.subtract(now, self.old[self.channels, :cells], out=change), out=change)
        return out

    def _scales(self, phase: int, cells: slice) -> Ints:
        """How large residuals are to be expected by each kind, (kinds, channels, cells) in 1/256."""
        mean, near, far, past, around, own, beside, least = tables.weights(self.group, self.k > 0, phase)
        ratio = near * self.near[:, cells] // self.near_mean + mean
        ratio += far * self.far[:, cells] // self.far_mean
        added: Ints = least
        if self.k:
            ratio += past * self.past[:, self.group, cells] // self.own_mean
            added = self.own[:, self.channels, cells] * own + added
        if phase:
            known = self._magnitudes(self.band.even)
            sides = known.take(self.band.near, axis=2).sum(axis=2, dtype=np.int32)
            sums = sides.sum(axis=1, dtype=np.int32)
            ratio += around * sums // (self.own_mean * self.band.count)
            added = sides * beside + added
        ratio = np.minimum(ratio, tables.MAX_ACTIVITY).astype(np.int32)
        scales: Ints = ratio[:, None] * self.means[self.channels, None]
        scales >>= 8
        scales += added
        return scales

    def _between(self) -> Ints:
        """The mean of an odd cell's neighbours, rounded half up; 0 where there is none."""
        known = np.pad(self.now[self.channels, : self.band.even], ((0, 0), (0, 1)))
        total, count = known.take(self.band.near, axis=1).sum(axis=1, dtype=np.int64), self.band.count
        mean: Ints = ((2 * total + count) // (2 * count)).astype(np.int32)
        return mean
