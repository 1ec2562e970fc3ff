"""Random masks of kept frames for training, covering all masks that a decoder may meet."""

from __future__ import annotations

import numpy as np

from dfccodec.models.importance import optimal_selection

OPTIMAL_MASK_SHARE = 0.5
"""Share of optimal selections among the masks with dropped frames. Files have such masks if importance chooses the
frames. The other masks represent thresholds, Bernoulli budgets and trimmed files."""


def uniform_mask(frames: int, kept: int) -> np.ndarray:
    """Return a mask (frames,) bool of `kept` uniformly spaced frames, half a spacing from both ends."""
    mask = np.zeros(frames, bool)
    mask[((np.arange(kept) + 0.5) * frames / kept).astype(int)] = True
    return mask


def draw_mask(rng: np.random.Generator, frames: int, all_kept: float, costs: np.ndarray | None = None) -> np.ndarray:
    """Draw a random mask (frames,) bool with at least one kept frame.

    With probability `all_kept`, all frames are kept. Otherwise the number of kept frames is log-uniform from 2 to 3/4
    of the clip, or 1 with probability 0.05. If `costs` is given, half of these masks are optimal selections. The others
    are, with equal probability, uniformly spaced, uniformly spaced with jitter, or entirely random.

    Args:
        rng: random generator.
        frames: number of frames in the clip.
        all_kept: probability of a mask without dropped frames, 0 to 1.
        costs: (frames + 2, frames + 2) costs of gaps between kept frames; see `models.importance.gap_costs`.
    """
    if frames == 1 or rng.random() < all_kept:
        return np.ones(frames, bool)
    most = max(2, 3 * frames // 4)
    count = 1 if rng.random() < 0.05 else min(frames - 1, int(np.exp(rng.uniform(np.log(2), np.log(most + 1)))))
    if costs is not None and rng.random() < OPTIMAL_MASK_SHARE:
        return optimal_selection(costs, count)
    kind = rng.integers(3)
    mask = np.zeros(frames, bool)
    if kind == 0:
        return uniform_mask(frames, count)
    if kind == 1:
        place = (np.arange(count) + rng.uniform(0, 1, count)) * frames / count
        mask[place.astype(int).clip(max=frames - 1)] = True
        return mask
    mask[rng.permutation(frames)[:count]] = True
    return mask


def draw_loss_mask(rng: np.random.Generator, kept: np.ndarray, kept_count: int, dropped_count: int) -> np.ndarray:
    """Draw the frames (frames,) bool on which a loss is computed: `kept_count` of the kept ones and `dropped_count` of
    the dropped ones, or as many as there are; if all frames are kept, the sum of both."""
    mask = np.zeros(len(kept), bool)
    for frames, count in ((np.flatnonzero(kept), kept_count), (np.flatnonzero(~kept), dropped_count)):
        mask[rng.permutation(frames)[: kept_count + dropped_count if kept.all() else count]] = True
    return mask


def draw_adjacent(rng: np.random.Generator, kept: np.ndarray, kept_count: int, dropped_count: int) -> np.ndarray:
    """As :func:`draw_loss_mask`, with as many frames in all, which follow one another; one is a kept frame."""
    count = min(kept_count + dropped_count, len(kept))
    inside = int(rng.choice(np.flatnonzero(kept)))
    first = min(max(0, inside - int(rng.integers(count))), len(kept) - count)
    mask = np.zeros(len(kept), bool)
    mask[first : first + count] = True
    return mask
