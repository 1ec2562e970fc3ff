"""Frame selection other than by importance: by the cost of the gaps between kept frames, and by trial encodes.

`dp` is dynamic programming (`models.importance`) over the cost of every gap between two kept frames. With fill policy
`motion`, dropped frames are predicted from blocks of the kept frames on both sides. So the cost of a gap is the squared
residual of its frames if every block takes the best of past, future and their mean after a small motion search on a
downscaled picture. `greedy` starts with that selection or the model's, and moves one kept frame at a time by trial
encodes. The importances are reordered so that the selected frames are the most important ones, and a later `trim` drops
frames in the order that costs least.
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
"""Side of a block in the downscaled picture, in pixels."""
_PIXELS = 8192
"""Maximum pixels of the downscaled picture: 256×256 becomes 64×64."""
_FAR = 3
"""Search range at half the downscaled size, in pixels in each direction: 24 pixels of a 256×256 picture."""
TRIES = 12
"""Maximum number of trial encodes of `greedy`."""

Floats = npt.NDArray[np.float32]
Costs = npt.NDArray[np.float64]


def parse(name: str) -> str:
    """Parse the `--frame-selection` option.

    Raises:
        UsageError: there is no such method.
    """
    if name not in METHODS:
        raise UsageError(f"frame selection {name!r} is unknown; give one of: {', '.join(METHODS)}")
    return name


def reorder_importance(importance: npt.NDArray[np.uint8], costs: Costs, keep: int | None) -> npt.NDArray[np.uint8]:
    """Reorder the importances by dynamic programming over `costs` (T + 2, T + 2).

    The `keep` greatest importances go to the optimal selection of that size (a quarter of the clip if it is None). No
    two importances are equal, so that ties decide nothing.
    """
    t = len(importance)
    return _in_order(importance, removal_order(costs, min(t, keep or max(1, int(t / 4 + 0.5)))))


def _in_order(importance: npt.NDArray[np.uint8], order: list[int]) -> npt.NDArray[np.uint8]:
    """Importances that increase strictly along `order`."""
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
    rd_cost: Callable[[npt.NDArray[np.bool_]], float],
    tries: int = TRIES,
) -> npt.NDArray[np.uint8]:
    """Move kept frames one at a time as long as a trial encode shows a gain.

    Args:
        begin: initial importances (T,); the cheapest of them is the start.
        costs: (T + 2, T + 2); the moves with the lowest estimated cost are tried first.
        keep: number of kept frames.
        rd_cost: RD cost of the clip with the kept frames (T,) bool, by a trial encode.
        tries: maximum number of moves to try.

    Returns:
        importances (T,).
    """
    starts = {top_k(start, keep).tobytes(): start for start in begin}
    rd_costs = {kept: rd_cost(top_k(start, keep)) for kept, start in starts.items()}
    first = min(rd_costs, key=lambda kept: rd_costs[kept])
    best, importance, seen = rd_costs[first], starts[first], set(starts)
    for _ in range(tries):
        candidate = _next_move(top_k(importance, keep), costs, seen)
        if candidate is None:
            break
        seen.add(candidate.tobytes())
        if (found := rd_cost(candidate)) < best:
            best = found
            order = np.argsort(importance, kind="stable")
            importance = _in_order(importance, [*order[~candidate[order]].tolist(), *order[candidate[order]].tolist()])
    return importance


def _next_move(kept: npt.NDArray[np.bool_], costs: Costs, seen: set[bytes]) -> npt.NDArray[np.bool_] | None:
    """The move of one kept frame with the lowest estimated cost, among those not yet tried."""
    best: tuple[float, npt.NDArray[np.bool_] | None] = (np.inf, None)
    for drop in np.flatnonzero(kept):
        for add in np.flatnonzero(~kept):
            candidate = kept.copy()
            candidate[drop], candidate[add] = False, True
            if (cost := choice_cost(candidate, costs)) < best[0] and candidate.tobytes() not in seen:
                best = cost, candidate
    return best[1]


def choice_cost(kept: npt.NDArray[np.bool_], costs: Costs) -> float:
    """Sum of the gap costs of a selection (T,) bool."""
    stops = np.concatenate([[0], np.flatnonzero(kept) + 1, [len(kept) + 1]])
    return float(costs[stops[:-1], stops[1:]].sum())


def motion_costs(frames: npt.NDArray[np.uint8]) -> Costs:
    """Squared error of every gap when dropped frames are predicted blockwise from the kept frames on both sides.

    Args:
        frames: (T, H, W, 3).

    Returns:
        (T + 2, T + 2) as `models.importance.gap_costs`, in units of the downscaled picture.
    """
    fine = _downscale(frames)
    t = len(fine)
    rest = _residuals(fine)  # (T, T, blocks, pixels): residual of a frame predicted from another
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


def _downscale(frames: npt.NDArray[np.uint8]) -> Floats:
    """Downscale (T, H, W, 3) uint8 to grey (T, h, w) float32 in 0…1; sides are multiples of two blocks."""
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
    """Residual of each frame predicted from each other frame: (T, T, blocks, BLOCK²) float32."""
    t, height, width = fine.shape
    coarse = fine.reshape(t, height // 2, 2, width // 2, 2).mean(axis=(2, 4))
    rows, columns = height // BLOCK, width // BLOCK
    out = np.zeros((t, t, rows * columns, BLOCK * BLOCK), np.float32)
    for source in range(t):
        vectors = 2 * _search(coarse, coarse[source])
        out[:, source] = _refine_residuals(fine, fine[source], vectors).reshape(t, rows * columns, -1)
    return out


def _search(frames: Floats, source: Floats) -> npt.NDArray[np.intp]:
    """Best integer-pel vectors (T, rows, columns, 2) of all blocks of all frames into one frame, at half the size."""
    t, height, width = frames.shape
    side = BLOCK // 2
    edged = np.pad(source, _FAR, mode="edge")
    reach = range(-_FAR, _FAR + 1)
    steps = sorted(itertools.product(reach, reach), key=lambda v: abs(v[0]) + abs(v[1]))
    errors = []
    for y, x in steps:  # shortest first, so that they win ties
        gap = frames - edged[_FAR + y : _FAR + y + height, _FAR + x : _FAR + x + width]
        errors.append((gap * gap).reshape(t, height // side, side, width // side, side).sum(axis=(2, 4)))
    out: npt.NDArray[np.intp] = np.array(steps, np.intp)[np.argmin(errors, axis=0)]
    return out


def _refine_residuals(frames: Floats, source: Floats, vectors: npt.NDArray[np.intp]) -> Floats:
    """Residuals (T, rows, columns, BLOCK, BLOCK) of all blocks at the best of the nine vectors around theirs."""
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
