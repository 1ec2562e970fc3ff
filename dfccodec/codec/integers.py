"""Integers of a clip, whatever its coding. Imports no torch: `verify` and `trim` live on this."""

from __future__ import annotations

import numpy as np

from dfccodec.container.records import Clip, Coding, Header
from dfccodec.entropy.latents import decode_latents, encode_latents
from dfccodec.entropy.range_coding import decode_range, encode_range
from dfccodec.errors import DamagedError, UnsupportedError, UsageError

DEFAULT_CODING = Coding.RANGE


def parse_coding(name: str) -> Coding:
    """A coding by name.

    Raises:
        UsageError: there is none of that name.
    """
    for coding in Coding:
        if coding.name.lower() == name:
            return coding
    raise UsageError(f"coding {name!r} is unknown: give {' or '.join(c.name.lower() for c in reversed(Coding))}")


def encode_integers(values: np.ndarray, coding: int = DEFAULT_CODING) -> tuple[bytes, int]:
    """Code the integers of a clip's kept frames.

    Args:
        values: (K, tiles, rows, columns, C) int16.
        coding: a member of :class:`Coding`.

    Returns:
        the bytes, and what belongs into the clip's field `planes`.

    Raises:
        UnsupportedError: a coding this writer does not know.
    """
    if coding == Coding.ZSTD:
        return encode_latents(values)
    if coding == Coding.RANGE:
        return encode_range(values), 1
    raise UnsupportedError(f"latent coding {coding} is not known to this writer: get a newer dfc")


def decode_clip_integers(clip: Clip, header: Header) -> np.ndarray:
    """The integers of a clip's kept frames, (K, tiles, rows, columns, C) int16. The same on every machine.

    Raises:
        DamagedError: the coded bytes do not hold exactly that.
        UnsupportedError: a coding this reader does not know.
    """
    kept = int(clip.kept.sum())
    if clip.coding == Coding.ZSTD:
        return decode_latents(clip.latents, kept, header.grid, header.channels, clip.planes)
    if clip.coding == Coding.RANGE:
        if clip.planes != 1:
            raise DamagedError(f"latents: {clip.planes} planes, the range coding has 1")
        return decode_range(clip.latents, kept, header.grid, header.channels)
    raise UnsupportedError(f"latent coding {clip.coding} is not known to this reader: get a newer dfc")
