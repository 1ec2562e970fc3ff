"""The numbers of the coding of motion (SPEC.md 7.8): contexts and first statistics. All integers.

They were fitted on training clips at QP 24. They decide how small a payload becomes, never whether it can be read.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.entropy import vectors
from dfccodec.entropy.range_tables import EDGE, SYMBOLS
from dfccodec.entropy.vectors import PRIOR

VOTES = 6
"""Classes of how sure a mode is: 4 votes or less, 5, … 9."""

MODE_CONTEXT = 0
VECTOR_CONTEXT = MODE_CONTEXT + 2 * VOTES
CONTEXTS = VECTOR_CONTEXT + vectors.CONTEXTS

# Of 1024: the most expected mode, by votes; first with neighbours farther away, then with the closest.
_FIRST_MODE = (420, 880, 760, 950, 980, 1012, 600, 820, 900, 966, 1016, 1021)


@lru_cache(maxsize=1)
def first_counts() -> npt.NDArray[np.int64]:
    """(CONTEXTS, SYMBOLS): the statistics that every clip begins with, each row adds up to 1024."""
    out = np.zeros((CONTEXTS, SYMBOLS), np.int64)
    for row, first in zip(out[MODE_CONTEXT:], _FIRST_MODE, strict=False):
        rest = PRIOR - first
        row[EDGE : EDGE + 4] = first, rest - (rest >> 2), (rest >> 2) - (rest >> 3), rest >> 3
    out[VECTOR_CONTEXT:] = vectors.first_counts()
    return out
