"""Integers of a clip, whatever its coding. Imports no torch: `verify` and `trim` live on this."""

from __future__ import annotations

import numpy as np

from dfccodec.container.records import Clip, Coding, Header
from dfccodec.entropy.latents import decode_latents
from dfccodec.errors import UnsupportedError


def decode_clip_integers(clip: Clip, header: Header) -> np.ndarray:
    """The integers of a clip's kept frames, (K, tiles, rows, columns, C) int16. The same on every machine.

    Raises:
        DamagedError: the coded bytes do not hold exactly that.
        UnsupportedError: a coding this reader does not know.
    """
    if clip.coding != Coding.ZSTD:
        raise UnsupportedError(f"latent coding {clip.coding} is not known to this reader: get a newer dfc")
    return decode_latents(clip.latents, int(clip.kept.sum()), header.grid, header.channels, clip.planes)
