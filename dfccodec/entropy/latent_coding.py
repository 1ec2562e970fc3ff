"""Integers of a clip, whatever its coding. Imports no torch: `verify` and `trim` live on this."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dfccodec.container.records import Clip, Coding, Header
from dfccodec.entropy.inter.coding import decode_inter, encode_inter
from dfccodec.entropy.inter.motion_compensation import CHANNELS, PATCH, is_format_transform
from dfccodec.entropy.rans import decode_range, encode_range
from dfccodec.entropy.zstd_coding import decode_latents, encode_latents
from dfccodec.errors import DamagedError, UnsupportedError, UsageError
from dfccodec.runtime.resources import single_threaded_blas

if TYPE_CHECKING:
    from dfccodec.models.interface import LatentModel


def coding_for(model: LatentModel) -> Coding:
    """The coding that is smallest for a model's latents: inter expects those of the format's linear code."""
    code = model.linear_transform
    return Coding.INTER if code is not None and is_format_transform(code) else Coding.RANGE


def checked_coding(coding: Coding | None, model: LatentModel) -> Coding:
    """The coding asked for; None is the smallest.

    Raises:
        UsageError: the model's latents cannot be coded so.
    """
    if coding == Coding.INTER and (model.patch, model.channels) != (PATCH, CHANNELS):
        raise UsageError(
            f"--coding inter is for {CHANNELS} channels of patches of {PATCH}; the model has others: give range"
        )
    return coding_for(model) if coding is None else coding


def parse_coding(name: str) -> Coding:
    """A coding by name.

    Raises:
        UsageError: there is none of that name.
    """
    for coding in Coding:
        if coding.name.lower() == name:
            return coding
    *names, last = [coding.name.lower() for coding in reversed(Coding)]
    raise UsageError(f"coding {name!r} is unknown: give {', '.join(names)} or {last}")


@single_threaded_blas()
def encode_integers(values: np.ndarray, coding: int, vectors: np.ndarray | None = None) -> tuple[bytes, int]:
    """Code the integers of a clip's kept frames.

    Args:
        values: (K, tiles, rows, columns, C) int16.
        coding: a member of :class:`Coding`.
        vectors: (K, cells, 2) for the inter coding; None to search for them.

    Returns:
        the bytes, and what belongs into the clip's field `planes`.

    Raises:
        UnsupportedError: a coding this writer does not know.
    """
    if coding == Coding.ZSTD:
        return encode_latents(values)
    if coding == Coding.RANGE:
        return encode_range(values), 1
    if coding == Coding.INTER:
        return encode_inter(values, vectors), 1
    raise UnsupportedError(f"latent coding {coding} is not known to this writer: get a newer dfc")


@single_threaded_blas()
def decode_clip_integers(clip: Clip, header: Header) -> np.ndarray:
    """The integers of a clip's kept frames, (K, tiles, rows, columns, C) int16. The same on every machine.

    Raises:
        DamagedError: the coded bytes do not hold exactly that.
        UnsupportedError: a coding this reader does not know.
    """
    kept = int(clip.kept.sum())
    if clip.coding == Coding.ZSTD:
        return decode_latents(clip.latents, kept, header.grid, header.channels, clip.planes)
    if clip.coding in (Coding.RANGE, Coding.INTER):
        if clip.planes != 1:
            raise DamagedError(f"latents: {clip.planes} planes, coding {clip.coding} has 1")
        if clip.coding == Coding.INTER and (header.patch, header.channels) != (PATCH, CHANNELS):
            raise DamagedError(
                f"latents: coding {clip.coding} is for patches of {PATCH} pixels and {CHANNELS} channels, "
                f"the header says {header.patch} and {header.channels}"
            )
        decode = decode_range if clip.coding == Coding.RANGE else decode_inter
        return decode(clip.latents, kept, header.grid, header.channels)
    raise UnsupportedError(f"latent coding {clip.coding} is not known to this reader: get a newer dfc")
