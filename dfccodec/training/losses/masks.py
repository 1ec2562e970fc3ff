"""Masks of kept frames to train under: everything a decoder will meet."""

from __future__ import annotations

import numpy as np

from dfccodec.models.importance import optimal_selection

OPTIMAL_MASK_SHARE = 0.5
"""Share of good choices among masks that drop frames: what files hold, where importance chooses. The rest is for
thresholds, coin flips and files that were trimmed."""


def uniform_mask(frames: int, kept: int) -> np.ndarray:
    """(frames,) bool with `kept` set at even distances, half a distance from both ends."""
    mask = np.zeros(frames, bool)
    mask[((np.arange(kept) + 0.5) * frames / kept).astype(int)] = True
    return mask


def draw_mask(rng: np.random.Generator, frames: int, all_kept: float, costs: np.ndarray | None = None) -> np.ndarray:
    """A random mask (frames,) bool with at least one frame kept.

    With probability `all_kept` everything. Else half of them are the best choice by `costs`, where those are given, and
    the rest even distances, even distances jittered, or any frames at random (Bernoulli given the count), a third each.
    Counts are log-uniform from 2 to three quarters of the clip, with one frame alone now and then.

    Args:
        rng: drawn from.
        frames: of the clip.
        all_kept: 0…1.
        costs: (frames + 2, frames + 2), what gaps between kept frames cost; see `models.importance.gap_costs`.
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
