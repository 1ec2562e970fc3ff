"""Motion: the learned token, and over it blocks of the kept frames beside a dropped one, where the encoder said so."""

from __future__ import annotations

import numpy as np

from dfccodec.codec.fill.latent_fills import Token
from dfccodec.codec.fill.postprocess import FramePostprocessor
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.obmc import Composer
from dfccodec.container.records import Clip, Header


class MotionFill(Token):
    """Latents as with `Token`; what the model makes of a dropped frame is one of the sources of its blocks."""

    def check(self, clip: Clip, header: Header) -> None:
        """Read all decisions."""
        payload.read(clip.fill_payload, clip.kept, header)

    def postprocessor(self, clip: Clip, header: Header) -> FramePostprocessor | None:
        """Puts blocks of kept frames into dropped ones."""
        return Composer(payload.read(clip.fill_payload, clip.kept, header)) if clip.fill_payload else None

    def trim(self, clip: Clip, header: Header, kept: np.ndarray, first: int) -> bytes:
        """Frames that lost a kept neighbour lose their decisions."""
        return payload.trimmed(clip.fill_payload, header, clip.kept, kept, first)
