"""Contexts and initial symbol counts of the motion payload (SPEC.md 7.8). All integers.

They were fitted on training clips at QP 24. They affect the size of a payload, never whether it can be read.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.entropy import mv_coding
from dfccodec.entropy.context_tables import ESCAPE, SYMBOLS
from dfccodec.entropy.mv_coding import INITIAL_TOTAL

VOTES = 6
"""Context classes by the votes for the most probable mode: 4 or fewer, 5, … 9."""

MODE_CONTEXT = 0
VECTOR_CONTEXT = MODE_CONTEXT + 2 * VOTES
CONTEXTS = VECTOR_CONTEXT + mv_coding.CONTEXTS

# Counts of 1024 for the most probable mode, by votes; first for distant neighbours, then for adjacent ones.
_FIRST_MODE = (420, 880, 760, 950, 980, 1012, 600, 820, 900, 966, 1016, 1021)


@lru_cache(maxsize=1)
def initial_counts() -> npt.NDArray[np.int64]:
    """Initial symbol counts (CONTEXTS, SYMBOLS) of every clip; each row sums to 1024."""
    out = np.zeros((CONTEXTS, SYMBOLS), np.int64)
    for row, first in zip(out[MODE_CONTEXT:], _FIRST_MODE, strict=False):
        rest = INITIAL_TOTAL - first
        row[ESCAPE : ESCAPE + 4] = first, rest - (rest >> 2), (rest >> 2) - (rest >> 3), rest >> 3
    out[VECTOR_CONTEXT:] = mv_coding.initial_counts()
    return out
