"""How much each frame of a clip is worth, measured rather than learned.

What dropping frames costs is known exactly if the decoder interpolates latents: it is a sum over the gaps between kept
frames. So the best choice of any number of frames is a shortest path (Bellman 1957). Choices of different sizes are
not nested, yet a file carries one order of importance, so that it can be trimmed later: the order goes through
the best choice of the size that is asked for, and from there up and down by the best choices that contain it or are
contained in it, size by doubled size; what lies between is ordered greedily.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

_SPREAD = 0.35  # exponent that maps cost ratios of 1:1000 and 1000:1 to 0.08 and 0.92, so that bytes resolve them

_BAND = 1 << 16
"""Numbers of each frame that are looked at together."""


def gap_costs(latents: np.ndarray) -> np.ndarray:
    """Squared error of interpolating everything strictly between two kept frames.

    Args:
        latents: (T, D) float, one row a frame.

    Returns:
        (T + 2, T + 2) float64: entry (i, j), i < j, for kept frames i - 1 and j - 1, where 0 stands for "nothing
        before" and T + 1 for "nothing after" (the one kept side is then held); infinite where nothing is kept.
    """
    t = len(latents)
    gram = np.zeros((t, t))
    for start in range(0, latents.shape[1], _BAND):  # the whole in float64 would be the most that an encode holds
        part = latents[:, start : start + _BAND].astype(np.float64)
        gram += part @ part.T
    square = np.diag(gram)
    cost = np.full((t + 2, t + 2), np.inf)
    for i in range(t + 1):
        for j in range(i + 1, t + 2):
            inside = np.arange(i, j - 1)  # frames strictly between kept frames i - 1 and j - 1
            if len(inside) == 0:
                cost[i, j] = 0.0
            elif i == 0 and j == t + 1:
                continue
            else:
                a, b = (j - 1 if i == 0 else i - 1), (i - 1 if j == t + 1 else j - 1)
                w = np.zeros(len(inside)) if a == b else (inside - a) / (b - a)
                mix = (1 - w) ** 2 * square[a] + w**2 * square[b] + 2 * w * (1 - w) * gram[a, b]
                cross = (1 - w) * gram[inside, a] + w * gram[inside, b]
                cost[i, j] = max(float(np.sum(square[inside] + mix - 2 * cross)), 0.0)
    return cost


def optimal_selection(
    cost: np.ndarray, count: int, required: np.ndarray | None = None, allowed: np.ndarray | None = None
) -> np.ndarray:
    """The choice of `count` frames with the least error, by dynamic programming.

    Args:
        cost: what :func:`gap_costs` returns, (T + 2, T + 2).
        count: 1…T.
        required: (T,) bool, frames that must be in the choice; at most `count`.
        allowed: (T,) bool, frames that may be; at least `count`.

    Returns:
        (T,) bool with `count` set.
    """
    t = len(cost) - 2
    step = np.where(np.tri(t + 2, dtype=bool), np.inf, cost)  # only forward
    for frame in np.flatnonzero(required) if required is not None else ():
        step[: frame + 1, frame + 2 :] = np.inf  # no gap jumps over it
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
    """Frames in the order they are best dropped, the last one last; the choice of `anchor` frames is the best there is.

    Args:
        cost: what :func:`gap_costs` returns, (T + 2, T + 2).
        anchor: 1…T.
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
    """From one choice to another inside it, always the frame whose absence hurts least."""
    kept = [0, *(np.flatnonzero(larger) + 1).tolist(), len(cost) - 1]
    stays = np.concatenate([[True], smaller, [True]])
    order = []
    for _ in range(int(larger.sum() - smaller.sum())):
        a, m, b = np.array(kept[:-2]), np.array(kept[1:-1]), np.array(kept[2:])
        rise = np.where(stays[m], np.inf, cost[a, b] - cost[a, m] - cost[m, b])
        order.append(kept.pop(int(np.argmin(rise)) + 1) - 1)
    return order


def removal_costs(cost: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """Price of each frame when frames are removed in that order.

    Args:
        cost: what :func:`gap_costs` returns, (T + 2, T + 2).
        order: all T frames, the first to go first.

    Returns:
        (T,) float64, never falling along the order; the frame that is left last is infinite.
    """
    t = len(cost) - 2
    kept = list(range(t + 2))
    price = np.full(t, np.inf)
    reached = 0.0
    for frame in order[:-1]:
        k = kept.index(frame + 1)
        a, m, b = kept[k - 1 : k + 2]
        reached = max(reached, float(cost[a, b] - cost[a, m] - cost[m, b]))
        price[frame] = reached
        del kept[k]
    return price


def clip_importance(latents: np.ndarray, step: float, keep: int | None = None) -> np.ndarray:
    """Importance of every frame of a clip, in 0…1; above 0.5 the frame pays for its bits.

    The scale is Lagrangian: the price of dropping a frame (squared error) against λ times the bits it takes, with
    λ = ln 2 / 6 · step², the slope of the high-rate curve at this quantizer step, and bits estimated from the
    magnitudes of the integers.

    Args:
        latents: (T, D) float, one row a frame, in units where squared error is that of the pixels.
        step: quantizer step.
        keep: how many frames will be kept, where that is known: the top `keep` are then the best choice there is.
            Otherwise this holds for a quarter of the clip.

    Returns:
        (T,) float32; values stay apart after rounding to bytes, in the order of price.
    """
    bits = np.array([np.log2(1 + 2 * np.abs(row) / step).sum(dtype=np.float64) for row in latents])
    worth = math.log(2) / 6 * step**2 * np.maximum(bits, 1.0)
    cost = gap_costs(latents)
    t = len(latents)
    order = removal_order(cost, min(t, keep or max(1, int(t / 4 + 0.5))))
    price = removal_costs(cost, order)
    with np.errstate(divide="ignore"):
        raw = 1.0 / (1.0 + (worth / np.maximum(price, 1e-12)) ** _SPREAD)
    return _separate(np.minimum(raw, 1.0), np.array(order))


def _separate(p: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Bytes strictly rising along `order`, as near to 255·p as that allows, and as fractions again."""
    wanted = np.rint(p[order] * 255)
    n = len(wanted)
    place = np.arange(n)
    rising = np.maximum.accumulate(wanted - place) + place
    rising = np.minimum(rising, 255 - (n - 1 - place))
    out = np.empty(n, dtype=np.float32)
    out[order] = rising / 255
    return out
