"""Coding of a clip's latents by the C kernels, for `rans`, `inter` and `bit_costs`.

Each function returns None if there is no extension or it does not support the sizes; the NumPy twin then does the work.
A decoder also returns None for damaged bytes: the twin finds them again and raises the error with its reason.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.entropy import context_tables as tables
from dfccodec.entropy.bit_table import log2_table
from dfccodec.entropy.inter.motion_compensation import basis_bytes
from dfccodec.native import kernels

Shorts = npt.NDArray[np.int16]

_DECODE, _ENCODE, _PRICE, _SLOPE, _SAVING = range(5)
_MAX_CHANNELS = 4096
_NONE = np.zeros(0, np.int16)


def encode(values: Shorts, mvs: Shorts | None, counts: npt.NDArray[np.int64]) -> bytes | None:
    """Encode latents (K, tiles, rows, columns, C); `mvs` (K, cells, 2) are the vectors of the inter coding."""
    done = _run(_ENCODE, np.ascontiguousarray(values, np.int16), counts, mvs=mvs)
    return done if isinstance(done, bytes) else None


def decode(
    data: bytes, shape: tuple[int, ...], inter: bool, counts: npt.NDArray[np.int64], mvs: Shorts = _NONE
) -> Shorts | None:
    """Decode latents of shape (K, tiles, rows, columns, C). The vectors of the inter coding are written to `mvs`
    (K, cells, 2), which is zero before, unless it is empty."""
    if kernels is None or shape[-1] > _MAX_CHANNELS:
        return None
    values = np.zeros(shape, np.int16)
    return values if _run(_DECODE, values, counts, data=data, mvs=mvs if inter else None) else None


def prices(
    values: Shorts, lower: Shorts, mvs: Shorts | None, counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32] | None:
    """Return the costs in bits of `lower` and `lower + 1` in place of `values`, (2, K, tiles, rows, columns, C)."""
    return _prices(_PRICE, np.empty((2, *values.shape), np.float32), values, lower, mvs, counts)


def slopes(
    values: Shorts, lower: Shorts, mvs: Shorts | None, counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32] | None:
    """Return the difference of both costs, of the last n frames of `values`, where `lower` (n, tiles, rows, columns, C)
    has n; same shape."""
    return _prices(_SLOPE, np.empty(lower.shape, np.float32), values, lower, mvs, counts)


def savings(values: Shorts, count: int, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32] | None:
    """Return by how much the costs of the last `count` frames of `values` exceed those of 0."""
    out = np.empty((count, *values.shape[1:]), np.float32)
    return _prices(_SAVING, out, values, _NONE, None, counts)


def _prices(
    mode: int, out: npt.NDArray[np.float32], values: Shorts, lower: Shorts, mvs: Shorts | None,
    counts: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32] | None:  # fmt: skip
    own, first = np.ascontiguousarray(values, np.int16), len(values) - out.shape[-5]
    done = _run(mode, own, counts, mvs=mvs, first=first, lower=np.ascontiguousarray(lower, np.int16), prices=out)
    return out if done else None


def _run(
    mode: int, values: Shorts, counts: npt.NDArray[np.int64], data: bytes = b"", mvs: Shorts | None = None,
    first: int = 0, lower: Shorts = _NONE, prices: npt.NDArray[np.float32] | None = None,
) -> bytes | bool | None:  # fmt: skip
    if kernels is None or values.shape[-1] > _MAX_CHANNELS:
        return None
    given = _NONE if mvs is None else np.ascontiguousarray(mvs, np.int16)
    result: bytes | bool = kernels.latents(
        mode, *values.shape, mvs is not None, values, data, given, first, lower,
        np.zeros(0, np.float32) if prices is None else prices, log2_table(), counts, _weights(), basis_bytes(),
    )  # fmt: skip
    return result


@lru_cache(maxsize=1)
def _weights() -> npt.NDArray[np.int32]:
    """All weights, (first group or later, first kept frame or later, phase, kind, field)."""
    out = np.zeros((2, 2, 2, 2, len(tables.Weights._fields)), np.int32)
    for (first, inter, phase), rows in tables.ROWS.items():
        out[int(not first), int(inter), phase, : len(rows)] = rows
    return out
