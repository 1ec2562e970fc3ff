"""Cost in bits of a symbol frequency, from a table: the same number on every machine, whatever its log2."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.entropy.context_tables import PRECISION

INDEX_BITS = 12
"""Bits after the leading one bit that select the entry of the table."""


BIT = 4096
"""Costs are multiples of 1 / BIT bits."""


@lru_cache(maxsize=1)
def log2_table() -> npt.NDArray[np.float32]:
    """log2(1 + i / 4096) in multiples of 1 / BIT, (4096,)."""
    size = 1 << INDEX_BITS
    table: npt.NDArray[np.float32] = (np.rint(np.log2(1 + np.arange(size) / size) * BIT) / BIT).astype(np.float32)
    return table


def symbol_bits(frequencies: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Cost in bits of symbols with frequencies (…) of 2^24, at least 1 each; exact in float32."""
    octave = np.frexp(frequencies.astype(np.float64))[1] - 1
    index = (frequencies << INDEX_BITS >> octave) & ((1 << INDEX_BITS) - 1)
    bits: npt.NDArray[np.float32] = (PRECISION - octave).astype(np.float32) - log2_table()[index]
    return bits
