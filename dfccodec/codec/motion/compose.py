"""The picture part of fill policy `motion`: blocks of kept frames, shifted, overlapped and added (SPEC.md 6.7)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import BLOCK, BOTH, FUTURE, MODEL, PAST, SUB, Decisions

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
REACH = BLOCK // 2
"""Pixels by which a block's window reaches into each neighbour."""
WIDE = BLOCK + 2 * REACH


def compose(frames: Floats, decisions: Decisions, threads: int = 1) -> None:
    """Put the decisions of a clip into its dropped frames.

    Args:
        frames: (T, H, W, 3) float32 in 0…1, what the model made of every frame; dropped ones are replaced.
        decisions: as `payload.read` gives them.
        threads: to work with.
    """

    sides = decisions.sides

    def paint(number: int) -> None:
        chosen, frame = decisions.blocks[number], sides.dropped[number]
        if chosen[..., 0].any():
            past, future = frames[sides.past[number]], frames[sides.future[number]]
            frames[frame] = composed(frames[frame], past, future, chosen)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(paint, range(len(sides.dropped))))


def composed(estimate: Floats, past: Floats, future: Floats, decisions: npt.NDArray[np.int16]) -> Floats:
    """One dropped frame (H, W, 3) from the model's estimate and its neighbours; a missing one is never looked at."""
    rows, columns, _ = decisions.shape
    modes = decisions[..., 0].ravel()
    vectors = decisions[..., 1:].reshape(-1, 4).astype(np.int32)
    corners = np.stack(np.divmod(np.arange(rows * columns), columns), axis=1).astype(np.int32) * BLOCK - REACH
    blocks = np.empty((rows * columns, WIDE, WIDE, 3), np.float32)
    for mode, source, vector in ((PAST, past, vectors[:, :2]), (FUTURE, future, vectors[:, 2:])):
        where = np.flatnonzero(modes == mode)
        if where.size:
            blocks[where] = fetch(source, corners[where], vector[where])
    where = np.flatnonzero(modes == MODEL)
    if where.size:
        blocks[where] = fetch(estimate, corners[where], np.zeros((where.size, 2), np.int32))
    where = np.flatnonzero(modes == BOTH)
    if where.size:
        mean = fetch(past, corners[where], vectors[where, :2])
        mean += fetch(future, corners[where], vectors[where, 2:])
        mean *= np.float32(0.5)
        blocks[where] = mean
    height, width = estimate.shape[:2]
    return overlap(blocks.reshape(rows, columns, WIDE, WIDE, 3), height, width)


def fetch(source: Floats, corners: Ints, vectors: Ints) -> Floats:
    """Squares of WIDE pixels of (H, W, 3) at `corners` (n, 2) + `vectors` (n, 2) / SUB, linear between pixels.

    Whatever lies outside of the picture is its nearest pixel.
    """
    height, width = source.shape[:2]
    whole, part = vectors // SUB, vectors % SUB
    start = corners + whole
    more = int(part.any())
    reach = np.arange(WIDE + more, dtype=np.int32)
    y = np.clip(start[:, :1] + reach, 0, height - 1)
    x = np.clip(start[:, 1:] + reach, 0, width - 1)
    out: Floats = source.reshape(-1, 3).take(y[:, :, None] * width + x[:, None, :], axis=0)
    if more:
        weight = part.astype(np.float32) / np.float32(SUB)
        out = out[:, :-1] + (out[:, 1:] - out[:, :-1]) * weight[:, 0, None, None, None]
        out = out[:, :, :-1] + (out[:, :, 1:] - out[:, :, :-1]) * weight[:, 1, None, None, None]
    return out


@lru_cache(maxsize=1)
def window() -> Floats:
    """(WIDE,) weights of a block along one side; with those of the next block they add up to 1."""
    rise = np.sin(np.pi / 2 * (np.arange(2 * REACH) + 0.5) / (2 * REACH)) ** 2
    return np.concatenate([rise, np.ones(BLOCK - 2 * REACH), rise[::-1]]).astype(np.float32)


def overlap(blocks: Floats, height: int, width: int) -> Floats:
    """Add (rows, columns, WIDE, WIDE, 3) windowed squares up -> (height, width, 3), divided by the sum of weights."""
    rows, columns = blocks.shape[:2]
    blocks = blocks * (window()[:, None] * window())[..., None]
    total = np.zeros((rows + 1, BLOCK, columns + 1, BLOCK, 3), np.float32)
    parts = blocks.reshape(rows, columns, 2, BLOCK, 2, BLOCK, 3)
    for i in (0, 1):
        for j in (0, 1):
            total[i : i + rows, :, j : j + columns] += parts[:, :, i, :, j].swapaxes(1, 2)
    flat = total.reshape((rows + 1) * BLOCK, (columns + 1) * BLOCK, 3)
    out: Floats = flat[REACH : REACH + height, REACH : REACH + width]
    return out / (_sums(rows, height)[:, None] * _sums(columns, width))[..., None]


def _sums(count: int, length: int) -> Floats:
    """Sum of all windows that reach each pixel of a side: 1 but for the first and last half block."""
    total = np.zeros((count + 1, BLOCK), np.float32)
    total[:count] += window()[:BLOCK]
    total[1:] += window()[BLOCK:]
    return total.ravel()[REACH : REACH + length]
