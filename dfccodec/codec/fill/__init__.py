"""Fill policies: how dropped frames are reconstructed, before and after the decoder network."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from dfccodec.codec.fill.generate.policy import GenerateFill
from dfccodec.codec.fill.latent_fills import Hold, Lerp, Token
from dfccodec.codec.fill.motion import BlendFill, MotionFill
from dfccodec.codec.fill.postprocess import BatchPostprocessor, FramePostprocessor
from dfccodec.container.records import Clip, Fill, Header
from dfccodec.errors import UnsupportedError, UsageError


class FillPolicy(Protocol):
    """Fills the latent slots of dropped frames and may post-process their pictures.

    Attributes:
        blends: whether dropped frames are interpolated from decoded kept frames instead of decoded by the network.
    """

    blends: bool

    def fill(self, latents: np.ndarray, kept: np.ndarray, payload: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Fill slots (T, N, C) from the latents (K, N, C) float32 of the kept frames `kept` (T,) bool.

        Returns:
            slots, and known (T,) bool. Where `known` is False, the network puts its learned fill token instead.
        """
        ...

    def check(self, clip: Clip, header: Header) -> None:
        """Check the payload of a clip without decoding its pictures.

        Raises:
            DamagedError: the payload is invalid.
        """
        ...

    def postprocessor(
        self, clip: Clip, header: Header, latents: np.ndarray | None = None
    ) -> FramePostprocessor | BatchPostprocessor | None:
        """The post-processor of the clip's dropped frames; None for none.

        `latents` are those of the kept frames, (K, tiles, rows, columns, C) float32; only `generate` needs them.

        Raises:
            DamagedError: the payload is invalid.
        """
        ...

    def trim(self, clip: Clip, header: Header, kept: np.ndarray, first: int) -> bytes:
        """The payload of a part of the clip that begins at frame `first` and has the kept frames `kept` (T',)."""
        ...


POLICIES: dict[int, FillPolicy] = {
    Fill.TOKEN: Token(),
    Fill.HOLD: Hold(),
    Fill.LERP: Lerp(),
    Fill.MOTION: MotionFill(),
    Fill.BLEND: BlendFill(),
    Fill.GENERATE: GenerateFill(),
}


def policy(number: int) -> FillPolicy:
    """The fill policy by its number in a file.

    Raises:
        UnsupportedError: this reader does not know it.
    """
    if number not in POLICIES:
        raise UnsupportedError(f"fill policy {number} is not known to this reader: get a newer dfc")
    return POLICIES[number]


def parse(name: str) -> Fill:
    """Parse the `--fill` option.

    Raises:
        UsageError: the name is unknown.
    """
    try:
        return Fill[name.upper()]
    except KeyError:
        names = ", ".join(f.name.lower() for f in Fill)
        raise UsageError(f"fill policy {name!r} is unknown; give one of: {names}") from None
