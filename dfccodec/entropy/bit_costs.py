"""What integers would cost, for an encoder that weighs bits against errors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfccodec.entropy.context_model import Ints, Shape, Shorts, code_latents, to_coding_order, to_raster_order
from dfccodec.entropy.context_tables import ESCAPE, PRECISION
from dfccodec.entropy.inter.coding import InterPredictor, initial_counts
from dfccodec.entropy.rans import FrequencyModel

Floats = npt.NDArray[np.float32]


def bit_costs(values: Shorts, lower: Shorts, vectors: Shorts | None = None) -> Floats:
    """Bits of `lower` and of `low + 1` in place of each integer, all others as they are.

    Contexts and statistics are the range coder's own at that point; what another integer would do to those that come
    later is left out.

    Args:
        values: (K, tiles, rows, columns, C) int16, what stands there now.
        lower: the same shape, below 32767.
        vectors: (K, cells, 2) of the inter coding; None for the range coding.

    Returns:
        (2, K, tiles, rows, columns, C) float32.
    """
    if not values.size:
        return np.zeros((2, *values.shape), np.float32)
    kept, tiles, rows, columns, channels = values.shape
    meter = _Prices((kept, tiles, rows, columns, channels), lower)
    code_latents(
        meter.shape, meter, values, meter, None if vectors is None else InterPredictor(meter.shape[1:4], meter, vectors)
    )
    for part in meter.bits:
        to_raster_order(part, meter.shape)
    return meter.bits.reshape(2, *values.shape)


class _Prices:
    """A coder that writes nothing, and answers."""

    def __init__(self, shape: Shape, lower: Shorts) -> None:
        self.shape, self.statistics = shape, FrequencyModel(initial_counts())  # those of vectors do no harm
        self.low = lower.reshape(shape[0], -1, shape[4]).copy()
        to_coding_order(self.low, shape)
        self.bits = np.empty((2, *self.low.shape), np.float32)

    def code(self, contexts: npt.NDArray[np.uint8], shifts: Ints | None, residuals: Ints | None) -> Ints:
        assert residuals is not None
        quotients = residuals if shifts is None else (residuals + ((1 << shifts) >> 1)) >> shifts
        self.statistics.update(contexts, np.clip(quotients, -ESCAPE, ESCAPE) + ESCAPE)
        return residuals

    def observe(
        self, k: int, cells: slice, channels: slice, prediction: Ints, sign: Ints,
        contexts: npt.NDArray[np.uint8], shifts: Ints | None,
    ) -> None:  # fmt: skip
        used = np.flatnonzero(np.bincount(contexts.ravel()))
        table = np.zeros((int(used[-1]) + 1, 2 * ESCAPE + 1), np.float32)
        table[used] = PRECISION - np.log2(self.statistics.frequencies(used))
        row = contexts.reshape(prediction.shape)
        part = self.low[k, cells, channels].astype(np.int32)
        for more, out in enumerate(self.bits):
            residuals = (part + (more - prediction)) * sign
            raw = np.zeros(1, np.int32) if shifts is None else shifts.reshape(prediction.shape)
            quotients = (residuals + ((1 << raw) >> 1)) >> raw
            excess = np.maximum(np.abs(quotients) - (ESCAPE - 1), 0)
            escape = np.where(excess > 0, 4 + np.floor(np.log2(np.maximum(excess, 1))), 0)
            out[k, cells, channels] = table[row, np.clip(quotients, -ESCAPE, ESCAPE) + ESCAPE] + raw + escape
