"""Bit costs of quantized latents, for rate–distortion optimization."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfccodec.entropy import kernel_calls
from dfccodec.entropy.bit_table import symbol_bits
from dfccodec.entropy.context_model import Ints, Shape, Shorts, code_latents, to_coding_order, to_raster_order
from dfccodec.entropy.context_tables import ESCAPE
from dfccodec.entropy.inter.coding import InterPredictor, initial_counts
from dfccodec.entropy.rans import FrequencyModel

Floats = npt.NDArray[np.float32]


def bit_costs(values: Shorts, lower: Shorts, vectors: Shorts | None = None) -> Floats:
    """Return the cost in bits of `lower` and of `lower + 1` at the place of each integer of `values`.

    Contexts and symbol frequencies are those of the range coder at that point. The effect of a changed integer on
    later symbols is ignored.

    Args:
        values: (K, tiles, rows, columns, C) int16, the current integers.
        lower: the same shape, int16 below 32767.
        vectors: (K, cells, 2) motion vectors of the inter coding; None for the range coding.

    Returns:
        (2, K, tiles, rows, columns, C) float32.
    """
    if not values.size:
        return np.zeros((2, *values.shape), np.float32)
    found = kernel_calls.prices(values, lower, vectors, initial_counts())
    if found is not None:
        return found
    kept, tiles, rows, columns, channels = values.shape
    coder = _CostMeter((kept, tiles, rows, columns, channels), lower)
    code_latents(
        coder.shape, coder, values, coder, None if vectors is None else InterPredictor(coder.shape[1:4], coder, vectors)
    )
    for candidate in coder.bits:
        to_raster_order(candidate, coder.shape)
    return coder.bits.reshape(2, *values.shape)


def bit_slopes(values: Shorts, lower: Shorts, vectors: Shorts | None = None) -> Floats:
    """Return the cost of `lower + 1` minus that of `lower`; see :func:`bit_costs`.

    Args:
        values, vectors: see there.
        lower: (n, tiles, rows, columns, C) int16, of the last n frames of `values`.

    Returns:
        float32 of the shape of `lower`.
    """
    found = kernel_calls.slopes(values, lower, vectors, initial_counts()) if lower.size else None
    if found is not None:
        return found
    costs = bit_costs(values, np.concatenate([values[: len(values) - len(lower)], lower]), vectors)[:, -len(lower) :]
    out: Floats = costs[1] - costs[0]
    return out


def bit_savings(values: Shorts, count: int) -> Floats:
    """Return by how much the costs of the integers of the last `count` frames of `values` exceed those of 0.

    Args:
        values: see :func:`bit_costs`.
        count: number of frames, at least 1.

    Returns:
        (count, tiles, rows, columns, C) float32.
    """
    found = kernel_calls.savings(values, count, initial_counts()) if values.size else None
    if found is not None:
        return found
    own, none = (bit_costs(values, lower)[0, -count:] for lower in (values, np.zeros_like(values)))
    out: Floats = own - none
    return out


class _CostMeter:
    """Coder and observer that writes no bytes and records bit costs.

    Attributes:
        bits: (2, K, cells, C) float32, in coding order.
    """

    def __init__(self, shape: Shape, lower: Shorts) -> None:
        self.shape, self.statistics = (
            shape,
            FrequencyModel(initial_counts()),
        )  # the range coding ignores the contexts of vectors
        self.lower = lower.reshape(shape[0], -1, shape[4]).copy()
        to_coding_order(self.lower, shape)
        self.bits = np.empty((2, *self.lower.shape), np.float32)

    def code(self, contexts: npt.NDArray[np.uint8], shifts: Ints | None, residuals: Ints | None) -> Ints:
        """Update the symbol statistics; see `Coder.code`."""
        assert residuals is not None
        quotients = residuals if shifts is None else (residuals + ((1 << shifts) >> 1)) >> shifts
        self.statistics.update(contexts, np.clip(quotients, -ESCAPE, ESCAPE) + ESCAPE)
        return residuals

    def observe(
        self, k: int, cells: slice, channels: slice, prediction: Ints, sign: Ints,
        contexts: npt.NDArray[np.uint8], shifts: Ints | None,
    ) -> None:  # fmt: skip
        """Record the bit costs of one pass; see `PassObserver.observe`."""
        used = np.flatnonzero(np.bincount(contexts.ravel()))
        table = np.zeros((int(used[-1]) + 1, 2 * ESCAPE + 1), np.float32)
        table[used] = symbol_bits(self.statistics.frequencies(used))
        row = contexts.reshape(prediction.shape)
        lower = self.lower[k, cells, channels].astype(np.int32)
        for increment, out in enumerate(self.bits):
            residuals = (lower + (increment - prediction)) * sign
            raw = np.zeros(1, np.int32) if shifts is None else shifts.reshape(prediction.shape)
            quotients = (residuals + ((1 << raw) >> 1)) >> raw
            excess = np.maximum(np.abs(quotients) - (ESCAPE - 1), 0)
            escape = np.where(excess > 0, 4 + np.floor(np.log2(np.maximum(excess, 1))), 0)
            out[k, cells, channels] = table[row, np.clip(quotients, -ESCAPE, ESCAPE) + ESCAPE] + raw + escape
