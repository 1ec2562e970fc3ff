"""Fill policies: how dropped frames are reconstructed, before and after the decoder network."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np

from dfccodec.codec.fill.generate.policy import GenerateFill, WarpFill
from dfccodec.codec.fill.latent_fills import Hold, Lerp, Token
from dfccodec.codec.fill.motion import BlendFill, DirectFill, MotionFill
from dfccodec.codec.fill.postprocess import BatchPostprocessor, FramePostprocessor
from dfccodec.container.records import Clip, Coding, Fill, Header
from dfccodec.entropy.motion_tools import MOVED
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


WARP = 256
"""Number of `motion` for clips of policy `generate`. It is in no file, where a number is one byte."""

POLICIES: dict[int, FillPolicy] = {
    Fill.TOKEN: Token(),
    Fill.HOLD: Hold(),
    Fill.LERP: Lerp(),
    Fill.MOTION: MotionFill(),
    Fill.BLEND: BlendFill(),
    Fill.GENERATE: GenerateFill(),
    Fill.DIRECT: DirectFill(),
    WARP: WarpFill(),
    MOVED: MotionFill(),
}


def policy(number: int) -> FillPolicy:
    """The fill policy by its number in a file.

    Raises:
        UnsupportedError: this reader does not know it.
    """
    if number not in POLICIES:
        raise UnsupportedError(f"fill policy {number} is not known to this reader: get a newer dfc")
    return POLICIES[number]


def replace(clip: Clip, wanted: Fill | None) -> Clip:
    """The clip with another fill policy for decoding; None for its own.

    `token`, `hold`, `lerp` and `blend` need kept frames only. `motion` needs vectors or motion latents in the file, and
    `generate` motion latents.

    Raises:
        UsageError: the clip does not have them, or its kept frames are predicted and need fill policy `blend`.
    """
    if wanted is None or wanted == clip.fill or (wanted == Fill.BLEND and clip.fill == Fill.DIRECT):
        return clip
    if clip.coding == Coding.PREDICTED:
        raise UsageError(
            f"--fill {wanted.name.lower()} needs latents of the kept frames, but they are predicted from pictures: "
            "leave it out, or encode with --coding inter"
        )
    number: int = wanted
    moves = clip.fill in (Fill.MOTION, Fill.BLEND, Fill.DIRECT)
    if wanted == Fill.GENERATE or (wanted == Fill.MOTION and not (moves or clip.fill == Fill.GENERATE)):
        own = Fill(clip.fill).name.lower() if clip.fill in list(Fill) else str(clip.fill)
        raise UsageError(
            f"--fill {wanted.name.lower()} needs motion that the file does not have (its fill policy is {own}): "
            "leave it out, or give token, hold, lerp or blend"
        )
    if wanted == Fill.MOTION and clip.fill == Fill.GENERATE:
        number = WARP
    if wanted == Fill.MOTION and clip.fill == Fill.DIRECT:
        number = MOVED
    stays = number in (WARP, MOVED) or (moves and wanted in (Fill.MOTION, Fill.BLEND))
    return dataclasses.replace(clip, fill=number, fill_payload=clip.fill_payload if stays else b"")


def parse(name: str) -> Fill:
    """Parse the `--fill` option. `direct` is no option: it is what `blend` becomes in the inter coding.

    Raises:
        UsageError: the name is unknown.
    """
    names = {f.name.lower(): f for f in Fill if f != Fill.DIRECT}
    if name.lower() not in names:
        raise UsageError(f"fill policy {name!r} is unknown; give one of: {', '.join(names)}")
    return names[name.lower()]
