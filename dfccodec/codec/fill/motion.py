"""Fill policies `motion` and `blend`: motion compensation of dropped frames from their reference frames."""

from __future__ import annotations

import numpy as np

from dfccodec.codec.fill.latent_fills import Token
from dfccodec.codec.fill.postprocess import FramePostprocessor
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.obmc import Composer
from dfccodec.codec.predict.order import direct_motion
from dfccodec.container.records import Clip, Header
from dfccodec.entropy.predicted import motion_filter


class MotionFill(Token):
    """Latents as `Token`; the network output of a dropped frame is one of its prediction modes."""

    def check(self, clip: Clip, header: Header) -> None:
        """Decode all modes and vectors."""
        payload.read(clip.fill_payload, clip.kept, header)

    def postprocessor(self, clip: Clip, header: Header, latents: np.ndarray | None = None) -> FramePostprocessor | None:
        """Motion compensation of the dropped frames."""
        direct = direct_motion(clip, header)
        if not clip.fill_payload and direct is None:
            return None
        return Composer(payload.read(clip.fill_payload, clip.kept, header), motion_filter(clip), direct)

    def trim(self, clip: Clip, header: Header, kept: np.ndarray, first: int) -> bytes:
        """Frames that lose a reference frame lose their motion."""
        return payload.trim(clip.fill_payload, header, clip.kept, kept, first)


class BlendFill(MotionFill):
    """As `MotionFill`, but the linear interpolation in time of the decoded reference frames takes the place of the
    network output, so that the network decodes kept frames only."""

    blends = True
