"""Which frames to keep, beside a model's own importance: by what gaps between them will cost, and by trying.

`dp` is dynamic programming (`models.importance`) over the cost of every gap between two kept frames. With fill policy
`motion` a dropped frame is made of blocks of its kept neighbours, so a gap costs what is left of its frames when every
block takes the better of past, future and their mean after a small search; the picture is reduced for that. `greedy`
begins there or with the model's choice, and really codes what moving one kept frame would give. Importance is
rearranged so that the frames chosen are the most important ones, and a later `trim` drops them in the order that hurts
least.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from dfccodec.codec.choose.budgets import top_k
from dfccodec.errors import UsageError
from dfccodec.models.importance import removal_order

METHODS = ("importance", "dp", "greedy")
BLOCK = 4
"""Side of a block in the reduced picture."""
_PIXELS = 8192
"""Of the reduced picture at the most: a 256×256 clip becomes 64×64."""
_FAR = 3
"""How far blocks are searched at half of that, in pixels each way: 24 pixels of a 256×256 picture."""
TRIES = 12
"""Moves that `greedy` really codes."""

Floats = npt.NDArray[np.float32]
Costs = npt.NDArray[np.float64]


def parse(name: str) -> str:
    """Read the `--select` option.

    Raises:
        UsageError: there is no such method.
    """
    if name not in METHODS:
        raise UsageError(f"select {name!r} is unknown; give one of: {', '.join(METHODS)}")
    return name


def rearranged(importance: npt.NDArray[np.uint8], costs: Costs, keep: int | None) -> npt.NDArray[np.uint8]:
    """The same importances, given to frames in the order of dynamic programming over `costs` (T + 2, T + 2).

    The `keep` greatest belong to the best choice of that size (of a quarter of the clip where it is None), and no two
    are equal, so that nothing hangs on ties.
    """
    t = len(importance)
    return _in_order(importance, removal_order(costs, min(t, keep or max(1, int(t / 4 + 0.5)))))


def _in_order(importance: npt.NDArray[np.uint8], order: list[int]) -> npt.NDArray[np.uint8]:
    """Importances strictly rising along `order`."""
    place = np.arange(len(order))
    values = np.sort(importance).astype(np.int64)
    values = np.maximum.accumulate(values - place) + place
    values = np.minimum(values, 255 - place[::-1])
    out = np.empty(len(order), np.uint8)
    out[order] = values
    return out


def greedy(
    begin: Sequence[npt.NDArray[np.uint8]],
    costs: Costs,
    keep: int,
    price: Callable[[npt.NDArray[np.bool_]], float],
    tries: int = TRIES,
) -> npt.NDArray[np.uint8]:
    """Importances after moving kept frames one at a time, as long as really coding the clip says it pays.

    Args:
        begin: importances (T,) to begin with; the one that costs least is taken.
        costs: (T + 2, T + 2); the moves that look best by them are tried first.
        keep: frames kept.
        price: what a clip costs that keeps the frames set in (T,) bool.
        tries: moves that are priced at the most.
    """
    starts = {top_k(start, keep).tobytes(): start for start in begin}
    prices = {kept: price(top_k(start, keep)) for kept, start in starts.items()}
    first = min(prices, key=lambda kept: prices[kept])
    best, importance, seen = prices[first], starts[first], set(starts)
    for _ in range(tries):
        moved = _next_move(top_k(importance, keep), costs, seen)
        if moved is None:
            break
        seen.add(moved.tobytes())
        if (found := price(moved)) < best:
            best = found
            order = np.argsort(importance, kind="stable")
            importance = _in_order(importance, [*order[~moved[order]].tolist(), *order[moved[order]].tolist()])
    return importance


def _next_move(kept: npt.NDArray[np.bool_], costs: Costs, seen: set[bytes]) -> npt.NDArray[np.bool_] | None:
    """Of all moves of one kept frame not yet seen, the one that looks best."""
    best: tuple[float, npt.NDArray[np.bool_] | None] = (np.inf, None)
    for drop in np.flatnonzero(kept):
        for add in np.flatnonzero(~kept):
            moved = kept.copy()
            moved[drop], moved[add] = False, True
            if (cost := choice_cost(moved, costs)) < best[0] and moved.tobytes() not in seen:
                best = cost, moved
    return best[1]


def choice_cost(kept: npt.NDArray[np.bool_], costs: Costs) -> float:
    """Sum of the gaps of a choice (T,) bool."""
    stops = np.concatenate([[0], np.flatnonzero(kept) + 1, [len(kept) + 1]])
    return float(costs[stops[:-1], stops[1:]].sum())


def motion_costs(frames: npt.NDArray[np.uint8]) -> Costs:
    """Squared error of every gap when blocks of dropped frames are taken from the kept ones on both sides.

    Args:
        frames: (T, H, W, 3).

    Returns:
        (T + 2, T + 2) as `models.importance.gap_costs`, in units of the reduced picture.
    """
    fine = _reduced(frames)
    t = len(fine)
    rest = _residuals(fine)  # (T, T, blocks, pixels): of a frame, made of another
    alone = np.einsum("tsbp,tsbp->tsb", rest, rest)
    cost = np.full((t + 2, t + 2), np.inf)
    for i in range(t + 1):
        cost[i, i + 1] = 0.0
    whole = alone.sum(axis=2, dtype=np.float64)
    for kept in range(t):
        cost[0, kept + 1] = whole[:kept, kept].sum()
        cost[kept + 1, t + 1] = whole[kept + 1 :, kept].sum()
    between = np.zeros((t, t))
    for frame in range(1, t - 1):
        past, future = rest[frame, :frame].swapaxes(0, 1), rest[frame, frame + 1 :].swapaxes(0, 1)
        one, other = alone[frame, :frame].T[:, :, None], alone[frame, frame + 1 :].T[:, None]
        mean = (one + other + 2 * past @ future.swapaxes(1, 2)) / 4
        between[:frame, frame + 1 :] += np.minimum(np.minimum(one, other), mean).sum(axis=0)
    inner = np.triu(np.ones((t, t), bool), 2)
    cost[1:-1, 1:-1][inner] = between[inner]
    return cost


def _reduced(frames: npt.NDArray[np.uint8]) -> Floats:
    """(T, H, W, 3) uint8 -> grey (T, h, w) float32 in 0…1, sides multiples of two blocks."""
    height, width = frames.shape[1:3]
    scale = BLOCK
    while (height // scale) * (width // scale) > _PIXELS:
        scale += BLOCK
    side = scale * 2 * BLOCK
    out = []
    for frame in frames:
        grey = frame.mean(axis=2, dtype=np.float32) / np.float32(255)
        grey = np.pad(grey, ((0, -height % side), (0, -width % side)), mode="edge")
        out.append(grey.reshape(grey.shape[0] // scale, scale, -1, scale).mean(axis=(1, 3)))
    return np.stack(out)


def _residuals(fine: Floats) -> Floats:
    """What is left of each frame made of blocks of each other: (T, T, blocks, BLOCK²) float32."""
    t, height, width = fine.shape
    coarse = fine.reshape(t, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    rows, columns = height // BLOCK, width // BLOCK
    out = np.zeros((t, t, rows * columns, BLOCK * BLOCK), np.float32)
    for source in range(t):
        vectors = 2 * _searched(coarse, coarse[source])
        out[:, source] = _refined(fine, fine[source], vectors).reshape(t, rows * columns, -1)
    return out


def _searched(frames: Floats, source: Floats) -> npt.NDArray[np.intp]:
    """Best whole vectors (T, rows, columns, 2) of all blocks of all frames into one of them, at half the size."""
    t, height, width = frames.shape
    side = BLOCK // 2
    edged = np.pad(source, _FAR, mode="edge")
    reach = range(-_FAR, _FAR + 1)
    steps = sorted(itertools.product(reach, reach), key=lambda v: abs(v[0]) + abs(v[1]))
    errors = []
    for y, x in steps:  # the shortest first: they win ties
        gap = frames - edged[_FAR + y : _FAR + y + height, _FAR + x : _FAR + x + width]
        errors.append((gap * gap).reshape(t, height // side, side, width // side, side).sum(axis=(2, 4)))
    out: npt.NDArray[np.intp] = np.array(steps, np.intp)[np.argmin(errors, axis=0)]
    return out


def _refined(frames: Floats, source: Floats, vectors: npt.NDArray[np.intp]) -> Floats:
    """Residuals (T, rows, columns, BLOCK, BLOCK) of all blocks at the best of nine places about their vectors."""
    t, height, width = frames.shape
    reach = 2 * _FAR + 1
    edged = np.pad(source, reach, mode="edge")
    blocks = np.lib.stride_tricks.sliding_window_view(edged, (BLOCK, BLOCK))
    y = np.arange(0, height, BLOCK)[:, None] + reach + vectors[..., 0]
    x = np.arange(0, width, BLOCK) + reach + vectors[..., 1]
    wanted = frames.reshape(t, height // BLOCK, BLOCK, width // BLOCK, BLOCK).swapaxes(2, 3)
    best: Floats = wanted - blocks[y, x]
    least = np.einsum("trcij,trcij->trc", best, best)
    for down, right in ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)):
        rest = wanted - blocks[y + down, x + right]
        error = np.einsum("trcij,trcij->trc", rest, rest)
        better = error < least
        best[better], least[better] = rest[better], error[better]
    return best
