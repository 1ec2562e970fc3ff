"""Importance of the frames of a clip, computed and not learned.

If the decoder interpolates latents, the error of dropped frames is a sum over the gaps between kept frames. The
optimal selection of any number of frames is therefore a shortest path (Bellman 1957). Optimal selections of different
sizes are not nested, but a file stores a single order of importance, so that it can be trimmed later. This order
contains the optimal selection of the requested size. From there, sizes are doubled and halved: each selection is the
best one that contains, or is contained in, the previous one. Frames between two selections are ordered greedily.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

_RATIO_EXPONENT = 0.35  # maps cost ratios of 1:1000 and 1000:1 to 0.08 and 0.92, which 8 bits can resolve

_GRAM_COLUMNS = 1 << 14
"""Values of each frame that are processed at once, to limit memory."""


def gap_costs(latents: np.ndarray) -> np.ndarray:
    """Return the squared error of interpolating all frames strictly between two kept frames.

    Args:
        latents: (T, D) float, one row per frame.

    Returns:
        (T + 2, T + 2) float64. Entry (i, j), i < j, is for kept frames i − 1 and j − 1. Index 0 means "no kept frame
        before", T + 1 means "no kept frame after"; then the other kept frame is held. Impossible entries are infinite.
    """
    return _gap_costs(_gram(latents))


def _gram(latents: np.ndarray) -> np.ndarray:
    """Inner products of all rows, (T, T) float64."""
    gram = np.zeros((len(latents), len(latents)))
    for start in range(0, latents.shape[1], _GRAM_COLUMNS):  # a complete float64 copy would need too much memory
        part = latents[:, start : start + _GRAM_COLUMNS].astype(np.float64)
        gram += part @ part.T
    return gram


def _gap_costs(gram: np.ndarray) -> np.ndarray:
    """As :func:`gap_costs`, from the inner products (T, T) of the rows."""
    t, square = len(gram), np.diag(gram)
    entry, inside, past, future, weight = _gaps(t)
    before, after = 1 - weight, weight
    mix = before**2 * square[past] + after**2 * square[future] + 2 * after * before * gram[past, future]
    cross = before * gram[inside, past] + after * gram[inside, future]
    cost = np.where(np.tri(t + 2, dtype=bool), np.inf, 0.0)
    cost[0, t + 1] = np.inf
    error = np.bincount(entry, square[inside] + mix - 2 * cross, minlength=cost.size)
    return cost + np.maximum(error, 0).reshape(cost.shape)


@lru_cache(maxsize=4)
def _gaps(t: int) -> tuple[np.ndarray, ...]:
    """All frames of all gaps in a clip of `t` frames.

    Returns:
        five arrays (N,): flat index of the gap in the result of `gap_costs`, frame in the gap, kept frames before and
        after it, position of the frame between them, 0…1.
    """
    rows = []
    for i in range(t + 1):
        for j in range(i + 2, t + 2 - (i == 0)):
            past, future = (j - 1 if i == 0 else i - 1), (i - 1 if j == t + 1 else j - 1)
            for frame in range(i, j - 1):  # strictly between kept frames i - 1 and j - 1
                weight = 0.0 if past == future else (frame - past) / (future - past)
                rows.append((i * (t + 2) + j, frame, past, future, weight))
    columns = np.array(rows, np.float64).reshape(-1, 5).T
    return (*columns[:4].astype(np.int64), columns[4])


def optimal_selection(
    cost: np.ndarray, count: int, required: np.ndarray | None = None, allowed: np.ndarray | None = None
) -> np.ndarray:
    """Return the selection of `count` frames with the smallest error, by dynamic programming.

    Args:
        cost: (T + 2, T + 2) result of :func:`gap_costs`.
        count: number of frames, 1 to T.
        required: (T,) bool, frames that must be selected; at most `count`.
        allowed: (T,) bool, frames that may be selected; at least `count`.

    Returns:
        (T,) bool with `count` True entries.
    """
    t = len(cost) - 2
    step = np.where(np.tri(t + 2, dtype=bool), np.inf, cost)  # forward steps only
    for frame in np.flatnonzero(required) if required is not None else ():
        step[: frame + 1, frame + 2 :] = np.inf  # no gap may span a required frame
    if allowed is not None:
        outside = np.flatnonzero(~allowed) + 1
        step[outside] = np.inf
        step[:, outside] = np.inf
    reached = step[0]
    came_from = []
    for _ in range(count - 1):
        through = reached[:, None] + step
        through[[0, -1]] = np.inf
        came_from.append(through.argmin(axis=0))
        reached = through.min(axis=0)
    last = int((reached + step[:, -1])[1:-1].argmin()) + 1
    chosen = np.zeros(t, bool)
    chosen[last - 1] = True
    for sources in reversed(came_from):
        last = int(sources[last])
        chosen[last - 1] = True
    return chosen


def removal_order(cost: np.ndarray, anchor: int) -> list[int]:
    """Return all T frames in the order in which they should be dropped. The last `anchor` frames are optimal.

    Args:
        cost: (T + 2, T + 2) result of :func:`gap_costs`.
        anchor: 1 to T.
    """
    t = len(cost) - 2
    choices = [optimal_selection(cost, anchor)]
    while (size := int(choices[0].sum())) < t:
        choices.insert(0, optimal_selection(cost, min(t, 2 * size), required=choices[0]))
    while (size := int(choices[-1].sum())) > 1:
        choices.append(optimal_selection(cost, size // 2, allowed=choices[-1]))
    order: list[int] = []
    for larger, smaller in pairwise(choices):
        order += _drop_one_by_one(cost, larger, smaller)
    return order + np.flatnonzero(choices[-1]).tolist()


def _drop_one_by_one(cost: np.ndarray, larger: np.ndarray, smaller: np.ndarray) -> list[int]:
    """Return the frames of `larger` not in `smaller`, greedily ordered: the smallest increase of error first."""
    kept = [0, *(np.flatnonzero(larger) + 1).tolist(), len(cost) - 1]
    stays = np.concatenate([[True], smaller, [True]])
    order = []
    for _ in range(int(larger.sum() - smaller.sum())):
        a, m, b = np.array(kept[:-2]), np.array(kept[1:-1]), np.array(kept[2:])
        rise = np.where(stays[m], np.inf, cost[a, b] - cost[a, m] - cost[m, b])
        order.append(kept.pop(int(np.argmin(rise)) + 1) - 1)
    return order


def removal_costs(cost: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Return the squared error added by each frame when frames are dropped in an order.

    Args:
        cost: (T + 2, T + 2) result of :func:`gap_costs`.
        order: all T frames; the first one is dropped first.

    Returns:
        (T,) float64, non-decreasing along the order (running maximum); infinite for the last frame.
    """
    t = len(cost) - 2
    kept = list(range(t + 2))
    drop_cost = np.full(t, np.inf)
    reached = 0.0
    for frame in order[:-1]:
        k = kept.index(frame + 1)
        a, m, b = kept[k - 1 : k + 2]
        reached = max(reached, float(cost[a, b] - cost[a, m] - cost[m, b]))
        drop_cost[frame] = reached
        del kept[k]
    return drop_cost


def part_height(width: int, patch: int, channels: int) -> int:
    """Height in pixels, a multiple of `patch`, of the parts of pictures of that width for :func:`clip_importance`."""
    return max(1, _GRAM_COLUMNS * patch // (channels * width)) * patch


def clip_importance(parts: Iterable[np.ndarray], step: float, keep: int | None = None) -> np.ndarray:
    """Return the importance of each frame of a clip. Above 0.5, the frame is worth its bits.

    The importance compares the squared error of dropping a frame with λ times its bits. λ = ln 2 / 6 · step² is the
    slope of the high-rate rate–distortion curve at this quantizer step. Bits are estimated from the latents.

    Args:
        parts: arrays (T, D) float, each with a row per frame: the latents of a part of all pictures, in units where
            squared error equals squared error of pixels. One part is in memory at a time.
        step: quantizer step.
        keep: number of frames to be kept, for which the selection is optimal. If None, a quarter of the clip.

    Returns:
        (T,) float32 in 0…1. Values differ after rounding to 8 bits and are in the order of the drop costs.
    """
    gram, bits = np.zeros((1, 1)), np.zeros(1)
    for latents in parts:
        bits = bits + [np.log2(1 + 2 * np.abs(row) / step).sum(dtype=np.float64) for row in latents]
        gram = gram + _gram(latents)
    bit_cost = math.log(2) / 6 * step**2 * np.maximum(bits, 1.0)
    cost, t = _gap_costs(gram), len(gram)
    order = removal_order(cost, min(t, keep or max(1, int(t / 4 + 0.5))))
    drop_cost = removal_costs(cost, order)
    with np.errstate(divide="ignore"):
        raw = 1.0 / (1.0 + (bit_cost / np.maximum(drop_cost, 1e-12)) ** _RATIO_EXPONENT)
    return _to_distinct_bytes(np.minimum(raw, 1.0), np.array(order))


def _to_distinct_bytes(p: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Round p to multiples of 1/255 that strictly increase along `order`."""
    target = np.rint(p[order] * 255)
    n = len(target)
    place = np.arange(n)
    rising = np.maximum.accumulate(target - place) + place
    rising = np.minimum(rising, 255 - (n - 1 - place))
    out = np.empty(n, dtype=np.float32)
    out[order] = rising / 255
    return out
