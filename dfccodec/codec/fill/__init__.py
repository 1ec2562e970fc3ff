"""Fill policies: what stands where a frame was dropped, before and after the model. One interface, one table."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from dfccodec.codec.fill.latent_fills import Hold, Lerp, Token
from dfccodec.codec.fill.motion import MotionFill
from dfccodec.codec.fill.postprocess import FramePostprocessor
from dfccodec.container.records import Clip, Fill, Header
from dfccodec.errors import UnsupportedError, UsageError


class FillPolicy(Protocol):
    """Puts something in the slots of dropped frames, and may work on their pictures."""

    def fill(self, latents: np.ndarray, kept: np.ndarray, payload: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Latents (K, N, C) float32 of the kept frames, kept (T,) bool -> slots (T, N, C) and known (T,) bool.

        Where `known` is False the model is to put its own estimate (the learned fill token), whatever the slot holds.
        """
        ...

    def check(self, clip: Clip, header: Header) -> None:
        """Judge the payload of a clip without its pictures.

        Raises:
            DamagedError: it is not one.
        """
        ...

    def postprocessor(self, clip: Clip, header: Header) -> FramePostprocessor | None:
        """What is to change the pictures of a clip's dropped frames; None for nothing.

        Raises:
            DamagedError: the payload is not one.
        """
        ...

    def trim(self, clip: Clip, header: Header, kept: np.ndarray, first: int) -> bytes:
        """The payload for a part of the clip that begins at frame `first` and whose kept frames are `kept` (T',)."""
        ...


POLICIES: dict[int, FillPolicy] = {Fill.TOKEN: Token(), Fill.HOLD: Hold(), Fill.LERP: Lerp(), Fill.MOTION: MotionFill()}


def policy(number: int) -> FillPolicy:
    """The policy a clip names.

    Raises:
        UnsupportedError: this reader does not know it.
    """
    if number not in POLICIES:
        raise UnsupportedError(f"fill policy {number} is not known to this reader: get a newer dfc")
    return POLICIES[number]


def parse(name: str) -> Fill:
    """Read the `--fill` option.

    Raises:
        UsageError: no policy has that name.
    """
    try:
        return Fill[name.upper()]
    except KeyError:
        names = ", ".join(f.name.lower() for f in Fill)
        raise UsageError(f"fill policy {name!r} is unknown; give one of: {names}") from None
