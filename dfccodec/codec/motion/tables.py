"""The numbers of the coding of motion (SPEC.md 6.7): contexts and first statistics. All integers.

They were fitted on training clips at QP 24. They decide how small a payload becomes, never whether it can be read.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.entropy.range_tables import EDGE, SYMBOLS

VOTES = 6
"""Classes of how sure a mode is: 4 votes or less, 5, … 9."""

SPREADS, SAMES = 4, 4
"""Classes of how far candidates are apart, and of how many of them are the median."""

SIZES = 8
"""Classes of how large a difference is to be expected."""

MODE_CONTEXT = 0
VECTOR_CONTEXT = MODE_CONTEXT + 2 * VOTES
SIZE_CONTEXT = VECTOR_CONTEXT + 2 * SPREADS * SAMES
CONTEXTS = SIZE_CONTEXT + 2 * SIZES

PRIOR = 1024
"""What the first counts of a context add up to: 32 symbols, a quarter of what those of latents weigh."""

# Of 1024: the most expected mode, by votes; first with neighbours farther away, then with the closest.
_FIRST_MODE = (420, 880, 760, 950, 980, 1012, 600, 820, 900, 966, 1016, 1021)

# Of 1024: the median, and a new vector, by spread and by how many are the same.
_MEDIAN = (
    700, 710, 750, 890, 560, 590, 660, 710, 480, 540, 600, 620, 300, 470, 550, 520,
    760, 870, 930, 1012, 560, 680, 760, 820, 510, 680, 690, 750, 330, 530, 640, 660,
)  # fmt: skip
_NEW = (
    130, 140, 130, 130, 160, 130, 100, 70, 150, 150, 150, 100, 300, 200, 190, 120,
    60, 30, 16, 8, 100, 60, 30, 16, 100, 46, 50, 30, 160, 96, 54, 30,
)  # fmt: skip

# Of 1024: no difference; of 256: what of the rest is the next magnitude.
_ZERO = (270, 240, 250, 195, 140, 110, 80, 60)
_RATIO = (60, 140, 120, 85, 60, 44, 28, 20)


@lru_cache(maxsize=1)
def first_counts() -> npt.NDArray[np.int64]:
    """(CONTEXTS, SYMBOLS): the statistics that every clip begins with, each row adds up to 1024."""
    out = np.zeros((CONTEXTS, SYMBOLS), np.int64)
    for row, first in zip(out[MODE_CONTEXT:], _FIRST_MODE, strict=False):
        rest = PRIOR - first
        row[EDGE : EDGE + 4] = first, rest - (rest >> 2), (rest >> 2) - (rest >> 3), rest >> 3
    for row, median, new in zip(out[VECTOR_CONTEXT:], _MEDIAN, _NEW, strict=False):
        rest = PRIOR - median - new
        row[EDGE : EDGE + 6] = median, rest - 3 * (rest >> 2), rest >> 2, rest >> 2, rest >> 2, new
    for number, row in enumerate(out[SIZE_CONTEXT:]):
        row[:] = _differences(_ZERO[number // 2], _RATIO[number // 2])
    return out


def _differences(zero: int, ratio: int) -> list[int]:
    row, rest = [0] * SYMBOLS, PRIOR - zero
    row[EDGE] = zero
    for size in range(1, EDGE + 1):
        here = rest * ratio >> 8 if size < EDGE else rest
        rest -= here
        row[EDGE + size] = here >> 1
        row[EDGE - size] = here - (here >> 1)
    return row
