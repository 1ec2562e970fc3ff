"""The order in which the range coder visits a clip's integers, and the context of each (SPEC.md 7.4.2 to 7.4.5).

Writer and reader run the same walk: the writer's coder is handed each residual, the reader's hands it back. Contexts
are computed a whole pass at a time from integers that are already known, with integer arithmetic alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dfccodec.entropy import range_tables as tables
from dfccodec.entropy.range_tables import MAX_MEAN, MEAN_CONTEXT, MEANS, ONE, Weights
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


class Question(Protocol):
    """Somebody who wants to know what other integers would cost; see `entropy.prices`."""

    def ask(
        self, k: int, cells: slice, channels: slice, guess: Ints, flip: Ints | int,
        contexts: npt.NDArray[np.uint8], shifts: Ints | None,
    ) -> None:  # fmt: skip
        """Before a pass is coded: its place, how residuals come from integers, and all a coder knows."""
        ...


@dataclass(frozen=True)
class Band:
    """Some lines of a frame that are coded together, so that what a pass needs stays small whatever the picture.

    Attributes:
        first, last: raster numbers of its first cell and after its last one.
        even: how many of its cells have an even row + column; they come first in coding order, then the odd ones.
        order: (cells,) raster number of each, from `first`, in coding order.
        near: (4, cells) places of the neighbours above, left, right and below in the same tile and band; the number
            of cells where there is none.
        count: (cells,) how many neighbours each has, at least 1.
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
    near = place[np.stack([side.ravel()[order] for side in sides])]
    count = np.maximum((near < cells).sum(axis=0), 1)
    return Band(line * columns, line * columns + cells, int(cells - odd.sum()), order, near, count)


@dataclass
class Activity:
    """Magnitudes of one kind (of integers, or of their change since the kept frame before) summed over channels.

    Attributes:
        near: (cells,) of the group before in this frame.
        far: (cells,) of all groups before, halved from group to group.
    """

    near: Longs
    far: Longs

    def add(self, magnitudes: Ints) -> None:
        """Go on to the next group; `magnitudes` (cells, channels) are those of the group just coded."""
        self.near = magnitudes.sum(axis=1, dtype=np.int64)
        self.far = (self.far >> 1) + self.near


def walk(shape: Shape, coder: Coder, values: Shorts | None = None, question: Question | None = None) -> Shorts:
    """Visit every integer of a clip once.

    Args:
        shape: (K, tiles, rows, columns, C), K at least 1.
        coder: takes or gives residuals.
        values: the integers to write; None to read.
        question: asked before each pass.

    Returns:
        the integers, int16 of that shape.

    Raises:
        DamagedError: what the coder reads is impossible.
    """
    kept, tiles, rows, columns, channels = shape
    flat = (kept, tiles * rows * columns, channels)
    if values is not None:
        y = values.reshape(flat).astype(np.int16)
        put_in_order(y, shape)
    else:
        y = np.zeros(flat, np.int16)
    means = _Means(y, coder, values is not None)
    for k in range(kept):
        for band in bands(tiles, rows, columns):
            _BandWalk(y, k, band, means.now, coder, values is not None, question).run()
        means.learn(k)
    put_back(y, shape)
    return y.reshape(shape)


def put_in_order(numbers: npt.NDArray[Any], shape: Shape) -> None:
    """Sort the cells of (K, cells, C) from raster into coding order, in place."""
    for band in bands(*shape[1:4]):
        part = numbers[:, band.first : band.last]
        part[:] = part[:, band.order]


def put_back(numbers: npt.NDArray[Any], shape: Shape) -> None:
    """Undo :func:`put_in_order`."""
    for band in bands(*shape[1:4]):
        part = numbers[:, band.first : band.last]
        part[:, band.order] = part.copy()


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
        mean: Longs = np.clip(total * ONE // len(frame), 2, MAX_MEAN)
        return mean


class _BandWalk:
    """One band of one kept frame."""

    def __init__(
        self, y: Shorts, k: int, band: Band, means: Longs, coder: Coder, writing: bool, question: Question | None
    ) -> None:
        self.now = y[k, band.first : band.last]
        self.before = y[k - 1, band.first : band.last] if k else None
        self.earlier = y[k - 2, band.first : band.last] if k > 1 else None
        self.band, self.means, self.coder, self.writing = band, means, coder, writing
        self.k, self.question = k, question
        self.size, self.change = (Activity(*(np.zeros(band.cells, np.int64) for _ in range(2))) for _ in range(2))
        self.near_mean, self.far_mean = 1, 1

    def run(self) -> None:
        starts = tables.groups(self.now.shape[1])
        for group, (first, last) in enumerate(itertools.pairwise(starts)):
            self.channels = slice(first, last)
            self.own_mean = int(self.means[self.channels].sum())
            even, cells = self.band.even, self.band.cells
            for phase, part in enumerate([(0, even), (even, cells)] if group < tables.PHASED else [(0, cells)]):
                self._pass(group, phase, slice(*part))
            found = self.now[:, self.channels].astype(np.int32)
            self.size.add(np.abs(found))
            if self.before is not None:
                self.change.add(np.abs(found - self.before[:, self.channels]))
            self.near_mean = self.own_mean
            self.far_mean = (self.far_mean >> 1) + self.own_mean if group else self.own_mean

    def _pass(self, group: int, phase: int, cells: slice) -> None:
        """Code the cells of one phase of one group."""
        if cells.start == cells.stop:
            return
        row = tables.weights(group, self.before is not None, phase)
        found = self.now[:, self.channels]
        old = None if self.before is None else self.before[cells, self.channels].astype(np.int32)
        scale = self._scale(row.size, self.size, cells, old, self._known(phase, found))
        guess = self._between(found, cells) if phase and group == 0 else np.zeros(scale.shape, np.int32)
        contexts = np.zeros(scale.shape, np.uint8)
        flip: Ints | int = 1
        if old is not None and self.before is not None:
            moved = old if self.earlier is None else old - self.earlier[cells, self.channels]
            still = self._scale(
                row.change, self.change, cells, moved, self._known(phase, found, self.before[:, self.channels])
            )
            static = still < scale
            guess = np.where(static, old, guess)
            scale = np.minimum(scale, still)
            contexts += static.view(np.uint8) * np.uint8(2 * tables.BUCKETS)
            contexts += (old != 0).view(np.uint8) * np.uint8(tables.BUCKETS)
            flip = (old >> 31) | 1
        contexts += tables.bucket_table().take(scale, mode="clip")
        large = int(scale.max()) >> (tables.TOP_OCTAVE + 1)
        shifts = tables.shift_table().take(scale, mode="clip").ravel() if large else None
        if self.question is not None:
            place = slice(self.band.first + cells.start, self.band.first + cells.stop)
            self.question.ask(self.k, place, self.channels, guess, flip, contexts, shifts)
        residual = None
        if self.writing:
            residual = ((found[cells] - guess) * flip).astype(np.int16).astype(np.int32).ravel()
        coded = self.coder.code(contexts.ravel(), shifts, residual)
        if not self.writing:
            found[cells] = (guess + flip * coded.reshape(guess.shape)).astype(np.int16)

    def _known(self, phase: int, found: Shorts, before: Shorts | None = None) -> Ints | None:
        """In phase 1 the magnitudes of the even cells, or of their change; the last row, 0, is no neighbour."""
        if not phase:
            return None
        even = self.band.even
        out = np.zeros((self.band.cells + 1, found.shape[1]), np.int32)
        out[:even] = found[:even]
        if before is not None:
            out[:even] -= before[:even]
        return np.abs(out)

    def _scale(self, weights: Weights, activity: Activity, cells: slice, own: Ints | None, known: Ints | None) -> Ints:
        """How large residuals are to be expected, (cells, channels) in 1/256."""
        ratio = np.full(cells.stop - cells.start, weights.mean, np.int64)
        ratio += weights.near * ONE * activity.near[cells] // self.near_mean
        ratio += weights.far * ONE * activity.far[cells] // self.far_mean
        added: Ints | int = weights.least
        if own is not None:
            own = np.abs(own)
            ratio += weights.past * ONE * own.sum(axis=1, dtype=np.int64) // self.own_mean
            added = own * weights.own + added
        if known is not None:
            beside = known[self.band.near[:, cells]].sum(axis=0, dtype=np.int32)
            around = beside.sum(axis=1, dtype=np.int64)
            ratio += weights.around * ONE * around // (self.own_mean * self.band.count[cells])
            added = beside * weights.beside + added
        ratio = np.minimum(ratio, tables.MAX_ACTIVITY).astype(np.int32)
        scale: Ints = ratio[:, None] * self.means[self.channels].astype(np.int32)
        scale >>= 8
        scale += added
        return scale

    def _between(self, found: Shorts, cells: slice) -> Ints:
        """The mean of the neighbours, rounded half up; 0 where there is none."""
        near, count = self.band.near[:, cells], self.band.count[cells, None]
        padded = np.append(found, np.zeros((1, found.shape[1]), np.int16), axis=0)
        total = padded[near].sum(axis=0, dtype=np.int64)
        mean: Ints = ((2 * total + count) // (2 * count)).astype(np.int32)
        return mean
