"""The picture part of fill policy `motion`: blocks of kept frames, shifted, overlapped and added (SPEC.md 7.8)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from dfccodec.codec.motion.blocks import BLOCK, BOTH, MODEL, SUB, Decisions, uses

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
REACH = BLOCK // 2
"""Pixels by which a block's window reaches into each neighbour."""
WIDE = BLOCK + 2 * REACH
EDGE = BLOCK + 1
"""Pixels repeated around a picture: whatever lies outside is its nearest pixel, so farther out all is the same."""


class Composer:
    """Puts the decisions of a clip into its dropped frames, which come after its kept ones."""

    def __init__(self, decisions: Decisions) -> None:
        sides = decisions.sides
        self._decisions = decisions
        self._number = {int(frame): number for number, frame in enumerate(sides.dropped)}
        self._beside = {*sides.past.tolist(), *sides.future.tolist()}
        self._kept: dict[int, Floats] = {}

    def know(self, frame: int, picture: Floats) -> None:
        """Kept frame `frame` of the clip is (H, W, 3) in 0…1."""
        if frame in self._beside:
            self._kept[frame] = framed(picture)

    def painted(self, frame: int, estimate: Floats) -> Floats:
        """Dropped frame `frame` of the clip, of which the model made (H, W, 3) in 0…1."""
        number, sides = self._number[frame], self._decisions.sides
        chosen = self._decisions.blocks[number]
        if not chosen[..., 0].any():
            return estimate
        past, future = (self._kept.get(int(side[number])) for side in (sides.past, sides.future))
        return composed(estimate, past, future, chosen)


def framed(picture: Floats) -> Floats:
    """(H, W, 3) with EDGE pixels repeated around; contiguous, as `fetch` needs it.

    np.pad keeps the order of axes in memory, and a model's picture need not have ours: one a pixel high does not.
    """
    return np.ascontiguousarray(np.pad(picture, ((EDGE, EDGE), (EDGE, EDGE), (0, 0)), mode="edge"))


def composed(
    estimate: Floats, past: Floats | None, future: Floats | None, decisions: npt.NDArray[np.int16]
) -> Floats:  # fmt: skip
    """One dropped frame (H, W, 3) from the model's estimate and its `framed` neighbours, where there are any.

    The picture falls into squares of BLOCK pixels between the middles of four blocks. Most often the four agree, and
    one prediction is the sum of all. Blocks outside of the picture are like those at its edge: so the weights there
    add up to 1 as well.
    """
    height, width = estimate.shape[:2]
    rows, columns, _ = decisions.shape
    padded = np.pad(decisions, ((1, 1), (1, 1), (0, 0)), mode="edge")
    four = np.stack([padded[i : i + rows + 1, j : j + columns + 1] for i in (0, 1) for j in (0, 1)]).reshape(4, -1, 5)
    agreed = (four[1:] == four[0]).all(axis=(0, 2))
    corners = np.stack(np.divmod(np.arange(len(agreed)), columns + 1), axis=1).astype(np.int32) * BLOCK - REACH
    model, kept = framed(estimate), (past, future)
    squares = np.empty((len(agreed), BLOCK, BLOCK, 3), np.float32)
    one, many = np.flatnonzero(agreed), np.flatnonzero(~agreed)
    squares[one] = predicted(model, kept, corners[one], four[0, one])
    total = np.zeros((many.size, BLOCK, BLOCK, 3), np.float32)
    for weights, chosen in zip(quarters(), four, strict=True):
        total += predicted(model, kept, corners[many], chosen[many]) * weights
    squares[many] = total
    whole = squares.reshape(rows + 1, columns + 1, BLOCK, BLOCK, 3).swapaxes(1, 2)
    whole = whole.reshape((rows + 1) * BLOCK, (columns + 1) * BLOCK, 3)
    out: Floats = whole[REACH : REACH + height, REACH : REACH + width]
    return out


def predicted(
    estimate: Floats, kept: tuple[Floats | None, Floats | None], corners: Ints, decisions: npt.NDArray[np.int16]
) -> Floats:
    """Squares of BLOCK pixels at `corners` (n, 2) by `decisions` (n, 5), of `framed` pictures."""
    out = np.zeros((len(corners), BLOCK, BLOCK, 3), np.float32)
    modes, vectors = decisions[:, 0].astype(np.uint8), decisions[:, 1:].astype(np.int32).reshape(-1, 2, 2)
    where = np.flatnonzero(modes == MODEL)
    out[where] = fetch(estimate, corners[where], np.zeros((where.size, 2), np.int32))
    used = uses(modes)
    for side, source in enumerate(kept):
        where = np.flatnonzero(used[:, side])
        if source is not None:
            out[where] += fetch(source, corners[where], vectors[where, side])
    out[modes == BOTH] *= np.float32(0.5)
    return out


def fetch(source: Floats, corners: Ints, vectors: Ints) -> Floats:
    """Squares of BLOCK pixels of a `framed` picture at `corners` (n, 2) + `vectors` (n, 2) / SUB, linear between."""
    assert source.flags.c_contiguous  # else the view below would reach beyond it
    height, width = source.shape[:2]
    whole, part = vectors // SUB, vectors % SUB
    # Beyond the edge all is the same, so that there it does not matter how far.
    y, x = (np.clip(corners + whole, -EDGE, (height - 2 * EDGE, width - 2 * EDGE)) + EDGE).T
    side = BLOCK + int(part.any())
    a, b, c = source.strides
    shape = (height - side + 1, width - side + 1, side, side * 3)
    out: Floats = as_strided(source, shape, (a, b, a, c), writeable=False)[y, x].reshape(len(y), side, side, 3)
    if side > BLOCK:
        weight = part.astype(np.float32) / np.float32(SUB)
        out = out[:, :-1] + (out[:, 1:] - out[:, :-1]) * weight[:, 0, None, None, None]
        out = out[:, :, :-1] + (out[:, :, 1:] - out[:, :, :-1]) * weight[:, 1, None, None, None]
    return out


@lru_cache(maxsize=1)
def window() -> Floats:
    """(WIDE,) weights of a block along one side; with those of the next block they add up to 1."""
    out: Floats = (np.sin(np.pi * (np.arange(WIDE) + 0.5) / WIDE) ** 2).astype(np.float32)
    return out


@lru_cache(maxsize=1)
def quarters() -> Floats:
    """(4, BLOCK, BLOCK, 1): what counts in a square between the block above left, above right, below left, below."""
    sides = window()[BLOCK:], window()[:BLOCK]
    return np.stack([down[:, None] * right for down in sides for right in sides])[..., None]
