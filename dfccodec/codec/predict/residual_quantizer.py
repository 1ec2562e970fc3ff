"""Quantizer of prediction residuals and details: integers by D + λR, with the prices of the entropy coder."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfccodec.entropy.bit_costs import bit_savings, bit_slopes

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Shorts = npt.NDArray[np.int16]

DEAD_ZONE = 0.1
"""Residuals are rounded down from 0.5 + DEAD_ZONE quantizer steps, before the decisions by D + λR."""

COEFF_LAMBDA = 1.3
"""λ of the decisions on single integers in units of ln 2 / 6 · step², the λ of the high-rate approximation
(docs/log.md)."""

CELL_LAMBDA = 1.6
"""The same for the decision to code no residual in a cell."""


def quantize_residual(
    scaled: Doubles, rd_lambda: float, sizes: Doubles, before: Shorts | None = None
) -> Shorts:  # fmt: skip
    """Quantize residuals (rows, columns, C), in quantizer steps, by D + λR with the prices of the entropy coder.

    Integers are rounded to the nearest, then each may move one towards 0, then each cell may become 0. To let integers
    move twice gains nothing.

    Args:
        scaled: the residuals.
        rd_lambda: λ, squared error per bit.
        sizes: (C,) quantizer steps.
        before: integers of the frame coded before in the same stream, (rows, columns, C); None if there is none.

    Returns:
        integers (rows, columns, C).
    """
    coded = is_coded(scaled, 1)
    return quantize_cells(scaled[coded], coded, rd_lambda, sizes, before)


def quantize_cells(
    scaled: Doubles, where: npt.NDArray[np.bool_], rd_lambda: float, sizes: Doubles,
    before: Shorts | None = None,
) -> Shorts:  # fmt: skip
    """As :func:`quantize_residual`, given the residuals (n, C) of only the n cells `where` (rows, columns); the others
    are 0."""
    now, weight, values = _rounded(scaled), sizes**2, np.zeros((*where.shape, scaled.shape[-1]), np.int16)
    values[where] = now
    known = np.stack([values] if before is None else [before, values])[:, None]
    slope = bit_slopes(known, np.where(values > 0, values - 1, values).astype(np.int16)[None, None])[0, 0, where]
    near = now - np.sign(now)
    change = ((scaled - near) ** 2 - (scaled - now) ** 2) * weight
    saved = np.where(now > 0, slope, -slope)
    now = np.where((now != 0) & (change < COEFF_LAMBDA * rd_lambda * saved), near, now).astype(np.int16)
    known[-1, 0, where] = now
    cost = bit_savings(known, 1)[0, 0, where]
    change = (scaled**2 - (scaled - now) ** 2) * weight
    now[change.sum(axis=-1) < CELL_LAMBDA * rd_lambda * cost.sum(axis=-1)] = 0
    values[where] = now
    return values


def is_coded(residual: npt.NDArray[np.floating], step: float) -> npt.NDArray[np.bool_]:
    """Whether a cell of residuals (rows, columns, C) has integers other than 0."""
    out: npt.NDArray[np.bool_] = np.maximum(residual.max(axis=-1), -residual.min(axis=-1)) >= (0.5 + DEAD_ZONE) * step
    return out


def _rounded(scaled: Doubles) -> Shorts:
    """Round to the nearest integer, with a dead zone."""
    rounded = np.sign(scaled) * np.floor(np.abs(scaled) + 0.5 - DEAD_ZONE)
    out: Shorts = np.clip(rounded, -32767, 32767).astype(np.int16)
    return out


def saved_error(scaled: Doubles) -> Doubles:
    """Squared error, in steps, that the rounded integers of each block save: (rows, columns, C) -> (rows, columns)."""
    out: Doubles = (scaled**2 - (scaled - _rounded(scaled)) ** 2).sum(axis=-1)
    return out
