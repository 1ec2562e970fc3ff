"""zstd coding of latents (SPEC.md 7): prediction filters, zigzag, byte planes, one zstd frame.

Every channel of every kept frame is a small picture of integers. Each integer is replaced by its prediction error;
the encoder chooses a filter for each picture, as PNG does. The errors are stored channel-major in byte planes, so that
similar values are next to each other. All arithmetic is modulo 2^16: it cannot overflow, and all machines agree.
"""

from __future__ import annotations

import numpy as np
import zstandard

from dfccodec.errors import DamagedError, LimitError
from dfccodec.limits import MAX_CLIP_VALUES, MAX_EXPANSION, MAX_WINDOW
from dfccodec.native import kernels

DEFAULT_LEVEL = 19
"""zstd level. Level 22 gives no measurable gain on latents, level 12 costs 11 %
(benchmarks/quality/latent_coding.py)."""

NONE, PREVIOUS, LEFT, UP = range(4)
"""Prediction filters: 0, the previous kept frame, the left neighbour, the neighbour above."""

_BLOCK_CHANNELS = 16

Grid = tuple[int, int, int]
"""(tiles, rows, columns) of one frame."""


def encode_zstd(values: np.ndarray, level: int = DEFAULT_LEVEL) -> tuple[bytes, int]:
    """Encode the latents of a clip's kept frames.

    Args:
        values: (K, tiles, rows, columns, C) int16.
        level: zstd level, 1 to 22.

    Returns:
        The bytes, and the number of byte planes: 1 if every prediction error fits a byte, else 2.
    """
    if values.size == 0:
        return b"", 1
    x = np.ascontiguousarray(np.moveaxis(values, -1, 0)).view(np.uint16)  # (C, K, tiles, rows, columns)
    filters, residual = _choose_filters(x)
    folded = _zigzag(residual)
    low = (folded & 0xFF).astype(np.uint8)
    high = (folded >> 8).astype(np.uint8)
    planes = 2 if high.any() else 1
    raw = filters.tobytes() + low.tobytes() + (high.tobytes() if planes == 2 else b"")
    # A zstd checksum would repeat the CRC of the chunk. The content size lets a reader check it before decompression.
    coder = zstandard.ZstdCompressor(level=level, write_checksum=False, write_content_size=True)
    return coder.compress(raw), planes


def decompressed_size(kept: int, grid: Grid, channels: int, planes: int) -> int:
    """Return the decompressed size of a clip's latents in bytes."""
    tiles, rows, columns = grid
    return kept * channels * (1 + planes * tiles * rows * columns) if kept else 0


def decode_zstd(data: bytes, kept: int, grid: Grid, channels: int, planes: int) -> np.ndarray:
    """Decode the output of :func:`encode_zstd`.

    Args:
        data: the coded bytes.
        kept: number of kept frames of the clip.
        grid: (tiles, rows, columns) of tokens.
        channels: integers per token.
        planes: number of byte planes, 1 or 2.

    Returns:
        (K, tiles, rows, columns, C) int16.

    Raises:
        LimitError: the declared sizes are over the limits; nothing was allocated.
        DamagedError: the bytes are not a zstd frame of the expected size, or a filter is unknown.
    """
    shape = (channels, kept, *grid)
    size = check_declared_size(data, kept, grid, channels, planes)
    if size == 0:
        return np.zeros((0, *grid, channels), np.int16)
    try:
        coder = zstandard.ZstdDecompressor(max_window_size=1 << 31)  # check_declared_size has checked the window
        raw = coder.decompress(data, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DamagedError(f"latents: zstd reports {error}") from None
    if len(raw) != size:
        raise DamagedError(f"latents: {len(raw)} bytes decompressed, {size} expected")
    if kernels is not None:
        out = np.empty((kept, *grid, channels), np.int16)
        if kernels.undo_filters(planes, kept, *grid, channels, raw, out):
            return out
    plane = np.frombuffer(raw, np.uint8)
    count = channels * kept
    filters = plane[:count].reshape(channels, kept)
    values = int(np.prod(shape))
    if planes == 1:
        errors = _UNZIGZAG_BYTE[plane[count:]]
    else:
        folded = plane[count + values :].astype(np.uint16)
        folded <<= 8
        folded |= plane[count : count + values]
        errors = _unzigzag(folded)
    return _channels_last(_undo_filters(filters, errors.reshape(shape)).view(np.int16))


def check_declared_size(data: bytes, kept: int, grid: Grid, channels: int, planes: int) -> int:
    """Return the decompressed size in bytes, after all checks that need no decompression.

    Raises:
        LimitError: the number of integers, the expansion or the window is over the limit.
        DamagedError: the bytes are not a zstd frame, or its declared size does not match the counts.
    """
    size = decompressed_size(kept, grid, channels, planes)
    if kept * channels * int(np.prod(grid, dtype=object)) > MAX_CLIP_VALUES:
        raise LimitError(f"latents: {size} bytes declared, over the limit of {MAX_CLIP_VALUES} integers")
    if size and not data:
        raise DamagedError(f"latents: 0 bytes for {kept} kept frame{'s' * (kept > 1)}")
    if size > MAX_EXPANSION * len(data):
        raise LimitError(f"latents: {len(data)} bytes declare {size}, over the limit of {MAX_EXPANSION} times as many")
    if size == 0:
        if data:
            raise DamagedError(f"latents: {len(data)} bytes for no kept frame")
        return 0
    try:
        frame = zstandard.get_frame_parameters(data)
        declared_size = zstandard.frame_content_size(data)
    except zstandard.ZstdError as error:
        raise DamagedError(f"latents: not a zstd frame ({error})") from None
    if declared_size != size:
        declared = "no size" if declared_size < 0 else f"{declared_size} bytes"
        raise DamagedError(f"latents: the zstd frame declares {declared}, the header needs {size} bytes")
    if frame.window_size > max(MAX_WINDOW, size):
        raise LimitError(f"latents: zstd window of {frame.window_size} bytes, over the limit of {MAX_WINDOW}")
    return size


def _choose_filters(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose the cheapest filter for each channel and kept frame. Returns filters (C, K) uint8, residual like `x`."""
    best = np.full(x.shape[:2], np.inf)
    filters = np.zeros(x.shape[:2], np.uint8)
    residual = np.empty_like(x)
    for number in (NONE, PREVIOUS, LEFT, UP):
        candidate = x - _predict(x, number)
        magnitude = np.abs(candidate.view(np.int16).astype(np.float32))
        cost = np.log2(1 + 2 * magnitude).sum(axis=(2, 3, 4))
        better = cost < best
        best[better], filters[better] = cost[better], number
        residual[better] = candidate[better]
    return filters, residual


def _predict(x: np.ndarray, number: int) -> np.ndarray:
    """Return the prediction of a filter; zero if the neighbour does not exist."""
    out = np.zeros_like(x)
    if number == PREVIOUS:
        out[:, 1:] = x[:, :-1]
    elif number == LEFT:
        out[..., 1:] = x[..., :-1]
    elif number == UP:
        out[..., 1:, :] = x[..., :-1, :]
    return out


def _undo_filters(filters: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Undo the filters frame by frame; PREVIOUS needs the complete previous frame."""
    if filters.max(initial=0) > UP:
        raise DamagedError(f"latents: filter {int(filters.max())} is unknown (0 to {UP})")
    out = residual
    for k in range(out.shape[1]):
        frame, kind = out[:, k], filters[:, k]
        left, up, before = kind == LEFT, kind == UP, kind == PREVIOUS
        if left.any():
            frame[left] = np.cumsum(frame[left], axis=-1, dtype=np.uint16)
        if up.any():
            frame[up] = np.cumsum(frame[up], axis=-2, dtype=np.uint16)
        if k and before.any():
            frame[before] += out[before, k - 1]
    return out


def _zigzag(x: np.ndarray) -> np.ndarray:
    """Map 0, −1, 1, −2, … (uint16 modulo 2^16) to 0, 1, 2, 3, … (uint16)."""
    sign = (x.view(np.int16) >> 15).view(np.uint16)
    out: np.ndarray = (x << 1) ^ sign
    return out


def _unzigzag(x: np.ndarray) -> np.ndarray:
    sign = x & 1
    np.negative(sign, out=sign)
    out: np.ndarray = x >> 1
    out ^= sign
    return out


_UNZIGZAG_BYTE = _unzigzag(np.arange(256, dtype=np.uint16))


def _channels_last(x: np.ndarray) -> np.ndarray:
    """Move the first axis of (C, K, …) to the end, in blocks of channels whose rows fit a cache line: four times as
    fast as one copy."""
    rows = x.reshape(len(x), -1)
    out = np.empty((rows.shape[1], len(x)), x.dtype)
    for first in range(0, len(x), _BLOCK_CHANNELS):
        out[:, first : first + _BLOCK_CHANNELS] = rows[first : first + _BLOCK_CHANNELS].T
    return out.reshape(*x.shape[1:], len(x))
