"""Vectors of blocks between two pictures: everywhere at a quarter of the size, then finer, smooth by D + λR."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from dfccodec.codec.motion.compose import WIDE, window
from dfccodec.codec.motion.payload import BLOCK, SUB

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

COARSE = 4
RANGE = 12
"""Pixels at a quarter of the size that the first search goes in each direction: 48 of the picture's."""
FAR = 128
"""Pixels from the picture that this encoder can look; vectors handed on from frame to frame stop at half of it."""
AROUND = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]


@dataclass(frozen=True)
class Level:
    """A grey picture at one scale, with `edge` pixels repeated around it, and its phases between pixels.

    Attributes:
        phases: (n·n, height, width) float32: moved by 0 … n−1 n-ths of a pixel down, then right.
        block, wide: sides of a block and of its window here.
        rows, columns: of blocks.
    """

    phases: Floats
    block: int
    wide: int
    edge: int
    rows: int
    columns: int

    @cached_property
    def corners(self) -> tuple[Ints, Ints]:
        """Of the windows of all blocks, in the picture with its edge."""
        first = self.edge - (self.wide - self.block) // 2
        y, x = np.mgrid[: self.rows, : self.columns].astype(np.int32) * self.block + first
        return y, x

    @cached_property
    def weights(self) -> Floats:
        """(wide, wide) of the window, squared errors are weighted by it."""
        step = WIDE // self.wide
        side = window().reshape(-1, step).mean(axis=1)
        out: Floats = side[:, None] * side
        return out

    def windows(self, vectors: Ints | None = None) -> Floats:
        """Windows (rows, columns, wide, wide) of all blocks, moved by vectors (rows, columns, 2) in phases."""
        count, height, width = self.phases.shape
        per = round(count**0.5)
        y, x = self.corners
        if vectors is None:
            number = np.zeros((1, 1), np.int32)
        else:
            limit = self.edge - self.wide
            whole = np.clip(vectors // per, -limit, limit - 1)
            part = vectors % per
            number = part[..., 0] * per + part[..., 1]
            y, x = y + whole[..., 0], x + whole[..., 1]
        a, b, c = self.phases.strides
        shape = (count, height - self.wide + 1, width - self.wide + 1, self.wide, self.wide)
        view = as_strided(self.phases, shape, (a, b, c, b, c), writeable=False)
        out: Floats = view[number, y, x]
        return out


class Pyramid:
    """A picture at quarter, half and whole size."""

    def __init__(self, frame: Floats, per: int = 1) -> None:
        """`frame` (H, W, 3) in 0…1; `per` positions from one pixel to the next at whole size."""
        height, width = frame.shape[:2]
        self.rows, self.columns, self.per = -(-height // BLOCK), -(-width // BLOCK), per
        pad = ((0, self.rows * BLOCK - height), (0, self.columns * BLOCK - width))
        # Grey whose squared differences are about those of the three colours together.
        self.grey = np.pad(frame.mean(axis=2) * np.float32(3**0.5), pad, mode="edge")

    @cached_property
    def whole(self) -> Level:
        return self._level(1, self.per)

    @cached_property
    def half(self) -> Level:
        return self._level(2, 1)

    @cached_property
    def quarter(self) -> Floats:
        return _smaller(self.grey, COARSE)

    def _level(self, scale: int, per: int) -> Level:
        edge = (FAR + WIDE) // scale
        grey = np.pad(_smaller(self.grey, scale), edge, mode="edge")
        phases = np.stack([_moved(grey, i / per, j / per) for i in range(per) for j in range(per)])
        return Level(phases, BLOCK // scale, WIDE // scale, edge, self.rows, self.columns)


def _smaller(grey: Floats, scale: int) -> Floats:
    height, width = grey.shape
    out: Floats = grey.reshape(height // scale, scale, width // scale, scale).mean(axis=(1, 3))
    return out


def _moved(grey: Floats, down: float, right: float) -> Floats:
    """Linear between pixels."""
    if down:
        grey = grey + (np.concatenate([grey[1:], grey[-1:]]) - grey) * np.float32(down)
    if right:
        grey = grey + (np.concatenate([grey[:, 1:], grey[:, -1:]], axis=1) - grey) * np.float32(right)
    return grey


ZERO, FIRST, EACH = 0.1, 2.0, 1.5
"""About the bits of a difference d: ZERO for none, else FIRST and EACH times log2(1 + |d|) on top."""


def bits_of(differences: Ints) -> Floats:
    """About the bits of vectors' differences (…, 2) to what is expected."""
    size = np.abs(differences, dtype=np.float32)
    out: Floats = (ZERO + FIRST * (size > 0) + EACH * np.log2(1 + size)).sum(axis=-1)
    return out


def expected(vectors: Ints) -> Ints:
    """What the payload predicts vectors (rows, columns, 2) from: the block to the left, or above."""
    out = np.zeros_like(vectors)
    out[:, 1:] = vectors[:, :-1]
    out[1:, 0] = vectors[:-1, 0]
    return out


class _Field:
    """The best vectors so far at one scale."""

    def __init__(self, now: Level, then: Level, slope: float, start: Ints) -> None:
        self.target, self.then, self.slope = now.windows(), then, slope
        self.vectors, self.guess = start, expected(start)
        self.error = self._error(start)
        self.cost = self.error + slope * bits_of(start - self.guess)

    def _error(self, vectors: Ints) -> Floats:
        difference = self.then.windows(vectors)
        difference -= self.target
        difference *= difference
        rows, columns = vectors.shape[:2]
        out: Floats = difference.reshape(rows, columns, -1) @ self.then.weights.ravel()
        return out

    def offer(self, vectors: Ints) -> None:
        error = self._error(vectors)
        cost = error + self.slope * bits_of(vectors - self.guess)
        better = cost < self.cost
        self.vectors = np.where(better[..., None], vectors, self.vectors)
        self.cost = np.where(better, cost, self.cost)

    def around(self, step: int = 1) -> None:
        """Offer the eight vectors around the best."""
        centre = self.vectors
        for move in AROUND:
            self.offer(centre + np.array(move, np.int32) * step)

    def spread(self) -> None:
        """Offer the neighbours' vectors, and count bits from them anew."""
        self.guess = expected(self.vectors)
        self.cost = self._error(self.vectors) + self.slope * bits_of(self.vectors - self.guess)
        for axis in (0, 1):
            for step in (-1, 1):
                moved = np.roll(self.vectors, step, axis)
                self.offer(moved)
        self.offer(self.guess)


def vectors_between(now: Pyramid, then: Pyramid, slope: float, hint: Ints | None = None) -> Ints:
    """Where in `then` each block of `now` is found.

    Args:
        now: the picture to predict.
        then: the picture to predict it from.
        slope: λ, squared error per bit.
        hint: vectors (rows, columns, 2) to try first.

    Returns:
        (rows, columns, 2) int32 in units of 1 / SUB pixel.
    """
    if hint is not None:
        hint = np.clip(hint, -FAR * SUB // 2, FAR * SUB // 2)
    alone, smooth = _everywhere(now, then, slope)
    field = _Field(now.half, then.half, slope / 4, smooth * 2)
    field.offer(alone * 2)
    field.offer(np.zeros_like(smooth))
    if hint is not None:
        field.offer((hint + SUB) // (2 * SUB))
    field.around()
    field.spread()
    field = _Field(now.whole, then.whole, slope, field.vectors * 2 * SUB)
    if hint is not None:
        field.offer(hint)
    field.offer(np.zeros_like(smooth))
    field.around(SUB)
    field.around()
    field.spread()
    field.around()
    return field.vectors


def _everywhere(now: Pyramid, then: Pyramid, slope: float) -> tuple[Ints, Ints]:
    """The best whole vectors at a quarter of the size: by the block alone, and by its neighbourhood."""
    grey = now.quarter
    height, width = grey.shape
    framed = np.pad(then.quarter, RANGE, mode="edge")
    side = BLOCK // COARSE
    best = [np.full((now.rows, now.columns), np.inf, np.float32) for _ in range(2)]
    found = [np.zeros((now.rows, now.columns), np.int32) for _ in range(2)]
    span = 2 * RANGE + 1
    views = np.lib.stride_tricks.sliding_window_view(framed, (height, width))
    distance = np.abs(np.arange(-RANGE, RANGE + 1, dtype=np.float32))
    for y in range(span):
        error = views[y] - grey
        error *= error
        error = np.sum([error[:, i::side] for i in range(side)], axis=0)
        error = np.sum([error[:, :, i::side] for i in range(side)], axis=0)
        error += (slope / 16 * (np.log2(1 + distance) + np.log2(1 + distance[y])))[:, None, None]
        for number, costs in enumerate((error, _wider(error))):
            x = costs.argmin(axis=0)
            least = np.take_along_axis(costs, x[None], axis=0)[0]
            better = least < best[number]
            best[number][better] = least[better]
            found[number][better] = (y * span + x)[better]
    alone, smooth = (np.stack(np.divmod(f, span), axis=-1).astype(np.int32) - RANGE for f in found)
    return alone, smooth


def _wider(error: Floats) -> Floats:
    """Errors of blocks with half of those beside them."""
    for axis in (1, 2):
        padded = np.pad(error, [(int(a == axis),) * 2 for a in range(3)], mode="edge")
        ends = [padded.take(range(i, i + error.shape[axis]), axis) for i in range(3)]
        error = ends[1] + np.float32(0.5) * (ends[0] + ends[2])
    return error
