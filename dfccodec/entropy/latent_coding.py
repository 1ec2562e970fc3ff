"""Dispatch to the entropy codings of quantized latents. Imports no torch, because `verify` and `trim` use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dfccodec.container.records import Clip, Coding, Fill, Header
from dfccodec.entropy.inter.coding import decode_inter, encode_inter
from dfccodec.entropy.inter.motion_compensation import CHANNELS, PATCH, is_format_transform
from dfccodec.entropy.predicted import decode_predicted
from dfccodec.entropy.rans import decode_range, encode_range
from dfccodec.entropy.zstd_coding import decode_zstd, encode_zstd
from dfccodec.errors import DamagedError, UnsupportedError, UsageError
from dfccodec.runtime.resources import single_threaded_blas

if TYPE_CHECKING:
    from dfccodec.models.interface import LatentModel


def default_coding(model: LatentModel) -> Coding:
    """Return the coding with the smallest files: inter if the model has the PCA transform of the format, else range."""
    transform = model.linear_transform
    return Coding.INTER if transform is not None and is_format_transform(transform) else Coding.RANGE


def resolve_coding(coding: Coding | None, model: LatentModel) -> Coding:
    """Return `coding` after a check, or the model's default if it is None.

    Raises:
        UsageError: the coding does not support the model's latents.
    """
    if coding == Coding.INTER and (model.patch, model.channels) != (PATCH, CHANNELS):
        raise UsageError(
            f"--coding inter needs a model with {CHANNELS} channels and patches of {PATCH} pixels, this one has "
            f"{model.channels} and {model.patch}: use --coding range"
        )
    return default_coding(model) if coding is None else coding


def resolve_clip_coding(coding: Coding | None, model: LatentModel, fill: int) -> Coding:
    """As :func:`resolve_coding`, for clips that are encoded from pictures: by default `predicted`, where it works.

    Raises:
        UsageError: the coding does not support the model's latents or the fill policy.
    """
    works = default_coding(model) == Coding.INTER and not model.tile and fill == Fill.BLEND
    if coding is None and works:
        return Coding.PREDICTED
    if coding == Coding.PREDICTED and not works:
        raise UsageError("--coding predicted needs the model mini and --fill blend: use --coding inter, or range")
    return resolve_coding(coding, model)


def parse_coding(name: str) -> Coding:
    """Return the coding of a name.

    Raises:
        UsageError: the name is unknown.
    """
    for coding in Coding:
        if coding.name.lower() == name:
            return coding
    *names, last = [coding.name.lower() for coding in reversed(Coding)]
    raise UsageError(f"coding {name!r} is unknown: give {', '.join(names)} or {last}")


def check_recoding(coding: Coding, header: Header) -> None:
    """Check that given latents can be written in a coding.

    Raises:
        UsageError: they cannot.
    """
    if coding == Coding.PREDICTED:
        raise UsageError("--coding predicted needs the pictures: give inter, range or zstd, or encode the video again")
    if coding == Coding.INTER and (header.patch, header.channels) != (PATCH, CHANNELS):
        raise UsageError(
            f"--coding inter needs {CHANNELS} channels and patches of {PATCH} pixels, the latents have "
            f"{header.channels} and {header.patch}: give range or zstd"
        )


@single_threaded_blas()
def encode_latents(values: np.ndarray, coding: int, vectors: np.ndarray | None = None) -> tuple[bytes, int]:
    """Encode the latents of a clip's kept frames.

    Args:
        values: (K, tiles, rows, columns, C) int16.
        coding: a member of :class:`Coding`.
        vectors: (K, cells, 2) motion vectors for the inter coding; None to estimate them.

    Returns:
        The bytes, and the value of the clip's field `planes`.

    Raises:
        UnsupportedError: the coding is not known to this encoder.
    """
    if coding == Coding.ZSTD:
        return encode_zstd(values)
    if coding == Coding.RANGE:
        return encode_range(values), 1
    if coding == Coding.INTER:
        return encode_inter(values, vectors), 1
    raise UnsupportedError(f"latent coding {coding} is not known to this encoder: get a newer dfc")


@single_threaded_blas()
def decode_latents(clip: Clip, header: Header) -> np.ndarray:
    """Decode the latents of a clip's kept frames. The result is the same on every machine.

    Returns:
        (K, tiles, rows, columns, C) int16.

    Raises:
        DamagedError: the coded bytes are invalid, or do not hold exactly these latents.
        LimitError: the declared sizes are over the limits.
        UnsupportedError: the coding is not known to this decoder.
    """
    kept = int(clip.kept.sum())
    if clip.coding == Coding.ZSTD:
        return decode_zstd(clip.latents, kept, header.grid, header.channels, clip.planes)
    if clip.coding in (Coding.RANGE, Coding.INTER, Coding.PREDICTED):
        if clip.planes != 1:
            raise DamagedError(f"latents: {clip.planes} planes; coding {clip.coding} has 1")
        if clip.coding != Coding.RANGE and (header.patch, header.channels) != (PATCH, CHANNELS):
            raise DamagedError(
                f"latents: coding {clip.coding} needs patches of {PATCH} pixels and {CHANNELS} channels, "
                f"the header declares {header.patch} and {header.channels}"
            )
        if clip.coding == Coding.PREDICTED:
            if clip.fill != Fill.BLEND or header.tile:
                raise DamagedError(
                    f"latents: coding 3 needs fill policy 4 and no tiles, the clip has {clip.fill} and {header.tile}"
                )
            return decode_predicted(clip, header)
        decode = decode_range if clip.coding == Coding.RANGE else decode_inter
        return decode(clip.latents, kept, header.grid, header.channels)
    raise UnsupportedError(f"latent coding {clip.coding} is not known to this reader: get a newer dfc")
