"""Coding of modes and motion vectors by context mixing (SPEC.md 7.11.4)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from dfccodec.entropy.mixing import motion_twin
from dfccodec.entropy.mixing.tables import Content, Tables, load_tables
from dfccodec.native import kernels

Shorts = npt.NDArray[np.int16]

_DECODE, _ENCODE, _TRAIN = range(3)


class References(Protocol):
    """Numbers (D,) of the frames that move and of their reference frames, −1 for none."""

    @property
    def dropped(self) -> npt.NDArray[np.intp]: ...

    @property
    def past(self) -> npt.NDArray[np.intp]: ...

    @property
    def future(self) -> npt.NDArray[np.intp]: ...


def encode_motion(references: References, blocks: Shorts, content: Content) -> bytes:
    """Encode blocks (D, rows, columns, 5): mode and both vectors; the blocks of a clip with D ≥ 1."""
    tables, frames = load_tables()[content], _frames(references)
    if kernels is None:
        return motion_twin.encode(frames, blocks, tables)
    coded: bytes = kernels.mix_motion(
        _ENCODE, *blocks.shape[1:3], *frames, b"", np.ascontiguousarray(blocks, np.int16), tables.learned
    )
    return coded


def decode_motion(data: bytes, references: References, blocks: Shorts, content: Content) -> bool:
    """Decode the output of :func:`encode_motion` into `blocks`, which are zero before; return whether it is valid.

    The caller checks the size of the stream (`rans.check_stream_size`) before it allocates the blocks.
    """
    tables, frames = load_tables()[content], _frames(references)
    if kernels is None:
        return motion_twin.decode(data, frames, blocks, tables)
    return bool(kernels.mix_motion(_DECODE, *blocks.shape[1:3], *frames, data, blocks, tables.learned))


def learn(references: References, blocks: Shorts, tables: Tables) -> None:
    """Update probabilities, counts and weights, int32, of `tables` with the blocks of a clip."""
    if kernels is None:
        raise RuntimeError("tables are trained with the C kernels only")
    own = np.ascontiguousarray(blocks, np.int16)
    kernels.mix_motion(_TRAIN, *own.shape[1:3], *_frames(references), b"", own, tables.learned)


def _frames(references: References) -> tuple[npt.NDArray[np.int32], ...]:
    return tuple(np.asarray(x, np.int32) for x in (references.dropped, references.past, references.future))
