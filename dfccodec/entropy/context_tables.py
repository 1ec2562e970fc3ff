"""Parameters of the context model (SPEC.md 7.4, 7.6): groups, weights, buckets, initial counts. All are integers.

They were fitted on training clips of two models, `mini` and PCA-96, at QP 16, 24 and 32. They affect only the file
size: every integer has a code in every context.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

FIXED_ONE = 256
"""Fixed point of means, scales and weights: 256 stands for 1."""

MAX_MEAN = (1 << 18) - 1
"""Maximum mean of a channel, in 1/256. Its product with MAX_ACTIVITY fits 31 bits."""

MAX_ACTIVITY = (1 << 13) - 1
"""Maximum activity of a cell, in 1/256 of the average of its channels."""

BAND_CELLS = 1 << 14
"""Maximum number of cells of a band; a band has at least one row. Limits the memory of a pass and fits caches."""

TWO_PHASE_GROUPS = 4
"""Number of groups coded in two phases. In later groups, earlier channels predict as well as neighbours do."""

ESCAPE = 16
"""Symbols stand for −ESCAPE … ESCAPE; both ends are escapes."""

SYMBOLS = 2 * ESCAPE + 1

PRECISION = 24
"""Bits of a probability, as in `constriction`."""

MIN_FREQUENCY = 256
"""Minimum frequency of a symbol, of 2^24. It limits the maximum frequency and so the expansion of a file."""

INITIAL_STATE = 1 << 24
"""State of the rANS encoder before the first symbol. Each encoded symbol increases the state (SPEC.md 12.1)."""

COUNT_INCREMENT = 32
"""Increment of a count for each coded symbol."""

INITIAL_TOTAL = 4096
"""Sum of the initial counts of a context: the weight of 128 symbols."""

LOW_OCTAVE, TOP_OCTAVE = 3, 9
"""Scales below 2^3 are in the first bucket. If the scale is at least 2^10, low bits of the residual are
bypass-coded."""

BUCKETS = 4 * (TOP_OCTAVE - LOW_OCTAVE + 1)
CLASSES = 4
MEAN_CONTEXT = CLASSES * BUCKETS
"""Context of the channel means at the beginning of a clip."""

CONTEXTS = MEAN_CONTEXT + 1
MEAN_LEVELS = 34
"""Number of levels of a channel mean: 2, 3, 4, 6, 8, 12 … 196 608 in 1/256."""

_ZERO = (
    4092, 4092, 4092, 4092, 4092, 4083, 4052, 4012, 3960, 3876, 3784, 3694, 3537, 3337,
    3148, 2938, 2698, 2431, 2185, 2000, 1768, 1516, 1368, 1205, 1071, 913, 823, 750,
)  # fmt: skip
_RATIO = (
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 26,
    28, 32, 38, 46, 56, 66, 82, 96, 112, 124, 142, 160, 166, 170,
)  # fmt: skip
_CLASS_SHIFT = (0, 0, 2, 0)
_CLASS_RISE = (8, 10, 8, 5)


class Weights(NamedTuple):
    """Weights of the terms of a scale, in 1/256 (SPEC.md 7.6.5; its letters are in parentheses).

    Args:
        mean: mean of the channel.
        previous_group: activity of the previous group in the same cell (near).
        earlier_groups: activity of all earlier groups in the same cell; each counts half as much as the next (far).
        previous_frame: activity of this group in the previous kept frame, same cell (past).
        neighbours: activity of this group in the decoded neighbours (around).
        colocated: magnitude of this channel in the previous kept frame, same cell (own).
        same_channel: sum of the magnitudes of this channel in the neighbours (beside).
        offset: constant (least).
    """

    mean: int
    previous_group: int = 0
    earlier_groups: int = 0
    previous_frame: int = 0
    neighbours: int = 0
    colocated: int = 0
    same_channel: int = 0
    offset: int = 1


# Key: (first group?, after the first kept frame?, phase). Values: weights of magnitudes of integers and, after the
# first kept frame, weights of magnitudes of prediction errors.
ROWS = {
    (True, False, 0): (Weights(348, offset=40),),
    (True, False, 1): (Weights(16, neighbours=15, same_channel=7, offset=84),),
    (False, False, 0): (Weights(5, previous_group=320, earlier_groups=16, offset=22),),
    (False, False, 1): (Weights(3, previous_group=76, earlier_groups=7, neighbours=67, same_channel=45, offset=12),),
    (True, True, 0): (
        Weights(88, previous_frame=144, colocated=79, offset=18),
        Weights(7, previous_frame=18, colocated=82, offset=34),
    ),
    (True, True, 1): (
        Weights(30, previous_frame=12, neighbours=12, colocated=16, same_channel=16, offset=20),
        Weights(0, neighbours=130, colocated=6, same_channel=38, offset=34),
    ),
    (False, True, 0): (
        Weights(2, previous_group=224, earlier_groups=86, previous_frame=22, colocated=34, offset=17),
        Weights(8, previous_group=365, earlier_groups=102, previous_frame=22, colocated=32, offset=22),
    ),
    (False, True, 1): (
        Weights(
            1,
            previous_group=177,
            earlier_groups=12,
            previous_frame=18,
            neighbours=14,
            colocated=23,
            same_channel=20,
            offset=6,
        ),
        Weights(2, previous_group=197, earlier_groups=246, neighbours=32, colocated=27, same_channel=17, offset=27),
    ),
}


@lru_cache(maxsize=len(ROWS))
def weights(group: int, inter: bool, phase: int) -> tuple[np.ndarray, ...]:
    """Return the weights of the sum that predicts the scale of residuals in one pass, one array per field of `Weights`.

    The first axis, `kinds`, is 1 or 2: weights of magnitudes of the integers and, after the first kept frame, weights
    of magnitudes of the prediction errors. `mean` is (kinds, 1) int64 as in the table. The activities
    (previous_group … neighbours) are (kinds, 1) int64, times 256. The other fields are (kinds, 1, 1) int32 as in the
    table.

    Args:
        group: index of the channel group.
        inter: True for every kept frame of a clip after the first.
        phase: 0 for the first half of the cells in a checkerboard, 1 for the second, which knows the first.
    """
    fields = np.array(ROWS[group == 0, inter, phase], np.int64).T[:, :, None]
    mean, *sums = fields[:5]
    return mean, *(field * FIXED_ONE for field in sums), *fields[5:, :, :, None].astype(np.int32)


def groups(channels: int) -> list[int]:
    """Return the first channel of each group, then `channels`: 0, 2, 6, 12, 20, 32, 48, 64, 96 … in steps of 32."""
    starts = [0, 2, 6, 12, 20, 32, 48, *range(64, channels, 32)]
    return [start for start in starts if start < channels] + [channels]


@lru_cache(maxsize=1)
def initial_counts() -> np.ndarray:
    """Return the symbol counts at the beginning of a clip, (CONTEXTS, SYMBOLS) int64. Each row adds up to 4096."""
    rows = [_initial_row(bucket, kind) for kind in range(CLASSES) for bucket in range(BUCKETS)]
    return np.array([*rows, _initial_row(BUCKETS - 8, 0)], np.int64)


def _initial_row(bucket: int, kind: int) -> list[int]:
    shape = max(bucket - _CLASS_SHIFT[kind], 0)
    row = [0] * SYMBOLS
    row[ESCAPE] = _ZERO[shape]
    rest = INITIAL_TOTAL - _ZERO[shape]
    for magnitude in range(1, ESCAPE + 1):
        here = rest - (rest * _RATIO[shape] >> 8) if magnitude < ESCAPE else rest
        rest -= here
        row[ESCAPE + magnitude] = here * _CLASS_RISE[kind] >> 4
        row[ESCAPE - magnitude] = here - row[ESCAPE + magnitude]
    return row


@lru_cache(maxsize=1)
def bucket_table() -> np.ndarray:
    """Return the bucket of each scale 0 … MAX_MEAN, uint8. Larger scales use the last entry."""
    octave, quarter = _octaves()
    first = np.clip(octave - LOW_OCTAVE, 0, TOP_OCTAVE - LOW_OCTAVE) * 4
    out: np.ndarray = np.where(octave < LOW_OCTAVE, 0, first + quarter).astype(np.uint8)
    return out


@lru_cache(maxsize=1)
def shift_table() -> np.ndarray:
    """Return the number of bypass-coded low bits of a residual for each scale 0 … MAX_MEAN, int32."""
    out: np.ndarray = np.maximum(_octaves()[0] - TOP_OCTAVE, 0).astype(np.int32)
    return out


def _octaves() -> tuple[np.ndarray, np.ndarray]:
    """Return floor(log2 s) and the two bits after the leading one bit, for s = 0 … MAX_MEAN."""
    scale = np.arange(MAX_MEAN + 1)
    octave = np.maximum(np.searchsorted(1 << np.arange(18), scale, side="right") - 1, 0)
    return octave, np.where(octave >= 2, scale >> np.maximum(octave - 2, 0) & 3, 0)
