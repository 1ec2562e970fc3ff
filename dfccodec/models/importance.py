"""How much each frame of a clip is worth, measured rather than learned.

Until a network predicts it, importance is what dropping a frame would cost if the decoder interpolated latents:
frames are removed one after the other, always the one whose absence hurts least, and the cost at that moment is
the frame's price. The order is nested by construction, so the top K of a clip is the greedy choice for every K.
"""

from __future__ import annotations

import math

import numpy as np

_SPREAD = 0.35  # exponent that maps cost ratios of 1:1000 and 1000:1 to 0.08 and 0.92, so that bytes resolve them


def gap_costs(latents: np.ndarray) -> np.ndarray:
    """Squared error of interpolating everything strictly between two kept frames.

    Args:
        latents: (T, D) float, one row a frame.

    Returns:
        (T + 2, T + 2) float64: entry (i, j), i < j, for kept frames i - 1 and j - 1, where 0 stands for "nothing
        before" and T + 1 for "nothing after" (the one kept side is then held); infinite where nothing is kept.
    """
    t = len(latents)
    x = latents.astype(np.float64)
    gram = x @ x.T
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


def removal_costs(cost: np.ndarray) -> np.ndarray:
    """Price of each frame when frames are removed cheapest first.

    Args:
        cost: what :func:`gap_costs` returns, (T + 2, T + 2).

    Returns:
        (T,) float64, rising in the order of removal; the frame that is left last is infinite.
    """
    t = len(cost) - 2
    kept = list(range(t + 2))
    price = np.full(t, np.inf)
    reached = 0.0
    while len(kept) > 3:
        a, m, b = np.array(kept[:-2]), np.array(kept[1:-1]), np.array(kept[2:])
        rise = cost[a, b] - cost[a, m] - cost[m, b]
        k = int(np.argmin(rise))
        reached = max(reached, float(rise[k]))
        price[kept[k + 1] - 1] = reached
        del kept[k + 1]
    return price


def clip_importance(latents: np.ndarray, step: float) -> np.ndarray:
    """Importance of every frame of a clip, in 0…1; above 0.5 the frame pays for its bits.

    The scale is Lagrangian: the price of dropping a frame (squared error) against λ times the bits it takes, with
    λ = ln 2 / 6 · step², the slope of the high-rate curve at this quantizer step, and bits estimated from the
    magnitudes of the integers.

    Args:
        latents: (T, D) float, one row a frame, in units where squared error is that of the pixels.
        step: quantizer step.

    Returns:
        (T,) float32; values stay apart after rounding to bytes, in the order of price.
    """
    bits = np.log2(1 + 2 * np.abs(latents) / step).sum(axis=1, dtype=np.float64)
    worth = math.log(2) / 6 * step**2 * np.maximum(bits, 1.0)
    price = removal_costs(gap_costs(latents))
    with np.errstate(divide="ignore"):
        raw = 1.0 / (1.0 + (worth / np.maximum(price, 1e-12)) ** _SPREAD)
    order = np.argsort(price, kind="stable")
    return _separate(np.minimum(raw, 1.0), order)


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
