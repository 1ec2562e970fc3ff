"""Coding of integers by context mixing (SPEC.md 7.11): the streams of coding 3, if bit 4 of its tools is set.

Against the range coding, intra frames take a seventh and residuals a fifth fewer bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfccodec.entropy.mixing import latent_twin as twin
from dfccodec.entropy.mixing.tables import MAX_LEVEL, Content, Tables, load_tables
from dfccodec.entropy.zstd_coding import Grid
from dfccodec.errors import DamagedError, LimitError
from dfccodec.limits import MAX_CELLS_PER_BYTE, MAX_CLIP_VALUES
from dfccodec.native import kernels

Shorts = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int32]

_DECODE, _ENCODE, _TRAIN = range(3)


def encode_mixed(values: np.ndarray, content: Content) -> bytes:
    """Encode integers (K, 1, rows, columns, channels) int16: of the intra frames of a clip, of the predicted ones, or
    the details of a frame."""
    if values.size == 0:
        return b""
    frames = np.ascontiguousarray(values[:, 0], np.int16)
    tables = load_tables()[content]
    level = choose_level(frames[0], tables.profile)
    if kernels is None:
        return twin.encode(frames, content, level, tables)
    coded = _run(_ENCODE, frames, content, level, tables)
    assert isinstance(coded, bytes)
    return coded


def decode_mixed(data: bytes, kept: int, grid: Grid, content: Content, left: Ints | None = None) -> np.ndarray:
    """Decode the output of :func:`encode_mixed`.

    Args:
        data: the coded bytes.
        kept: frames of the stream.
        grid: (1, rows, columns) of tokens.
        content: what the integers are.
        left: (K,) for the number of words that are left after each frame, or None.

    Returns:
        (K, 1, rows, columns, channels) int16.

    Raises:
        LimitError: the declared sizes are over the limits; nothing was allocated.
        DamagedError: the bytes are not a valid stream of that many integers.
    """
    channels = content.groups[-1]
    check_declared_size(data, kept, grid, channels)
    values = np.zeros((kept, *grid, channels), np.int16)
    if not kept:
        return values
    tables, frames = load_tables()[content], values[:, 0]
    if kernels is None:
        valid = twin.decode(data, frames, content, tables, left)
    else:
        valid = bool(_run(_DECODE, frames, content, 0, tables, data, left))
    if not valid:
        raise DamagedError("latents: the coded integers are damaged")
    return values


def learn(values: np.ndarray, content: Content, tables: Tables) -> None:
    """Update probabilities, counts and weights of `tables` with the integers (K, rows, columns, channels) of a clip."""
    if kernels is None:
        raise RuntimeError("tables are trained with the C kernels only")
    frames = np.ascontiguousarray(values, np.int16)
    _run(_TRAIN, frames, content, choose_level(frames[0], tables.profile), tables)


def choose_level(frame: np.ndarray, profile: np.ndarray) -> int:
    """Return the level, 0 to 33, at which the profile is nearest to the magnitudes of a frame."""
    roots = np.sqrt(np.abs(frame.astype(np.int64)).mean(axis=(0, 1)))
    mean = max(256 * float(roots.sum() / np.sqrt(profile / 256).sum()) ** 2, 1.0)
    levels = np.array([(2 + (i & 1)) << (i >> 1) for i in range(MAX_LEVEL + 1)])
    return int(np.abs(np.log(levels / mean)).argmin())


def check_declared_size(data: bytes, kept: int, grid: Grid, channels: int) -> None:
    """Check the sizes before anything is allocated; arguments and errors as for :func:`decode_mixed`."""
    cells = kept * int(np.prod(grid, dtype=object))
    if cells * channels > MAX_CLIP_VALUES:
        raise LimitError(f"latents: {cells * channels} integers declared, over the limit of {MAX_CLIP_VALUES}")
    if not kept and data:
        raise DamagedError(f"latents: {len(data)} bytes for no kept frame")
    if kept and not data:
        raise DamagedError(f"latents: 0 bytes for {cells * channels} integers")
    if cells > MAX_CELLS_PER_BYTE * len(data):
        raise LimitError(f"latents: {cells} cells declared, more than {len(data)} bytes can code")
    if len(data) % 4:
        raise DamagedError(f"latents: {len(data)} bytes are not a multiple of 4")
    if kept and not any(data[-4:]):
        raise DamagedError("latents: the last word is 0")


def _run(
    mode: int, frames: Shorts, content: Content, level: int, tables: Tables, data: bytes = b"", left: Ints | None = None
) -> bytes | bool:
    assert kernels is not None
    result: bytes | bool = kernels.mix_latents(
        mode, *frames.shape[:3], content == Content.INTRA, level, np.array(content.groups, np.int32), frames, data,
        tables.profile, tables.partners,
        tables.linear, tables.learned, np.empty(len(frames), np.int32) if left is None else left,
    )  # fmt: skip
    return result
