"""Fill policies `motion` and `blend`: motion compensation of dropped frames from their reference frames."""

from __future__ import annotations

import numpy as np

from dfccodec.codec.fill.direct import direct_motion
from dfccodec.codec.fill.latent_fills import Token
from dfccodec.codec.fill.postprocess import FramePostprocessor
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.obmc import Composer
from dfccodec.container.records import Clip, Header
from dfccodec.entropy.motion_tools import check_direct_payload, decisions, dropped_content, motion_filter


class MotionFill(Token):
    """Latents as `Token`; the network output of a dropped frame is one of its prediction modes."""

    def check(self, clip: Clip, header: Header) -> None:
        """Decode all modes and vectors."""
        payload.read_clip(clip, header)

    def postprocessor(self, clip: Clip, header: Header, latents: np.ndarray | None = None) -> FramePostprocessor | None:
        """Motion compensation of the dropped frames."""
        direct = direct_motion(clip, header)
        if not decisions(clip) and direct is None:
            return None
        return Composer(payload.read_clip(clip, header), motion_filter(clip), direct)

    def trim(self, clip: Clip, header: Header, kept: np.ndarray, first: int) -> bytes:
        """Frames that lose a reference frame lose their motion."""
        return payload.trim(decisions(clip), header, clip.kept, kept, first, dropped_content(clip))


class BlendFill(MotionFill):
    """As `MotionFill`, but the linear interpolation in time of the decoded reference frames takes the place of the
    network output, so that the network decodes kept frames only."""

    blends = True


class DirectFill(BlendFill):
    """As `BlendFill`, with the filter and the direct motion that its payload names."""

    def check(self, clip: Clip, header: Header) -> None:
        """Check the tools, and decode all modes and vectors."""
        check_direct_payload(clip, header)
        super().check(clip, header)

    def postprocessor(self, clip: Clip, header: Header, latents: np.ndarray | None = None) -> FramePostprocessor | None:
        """Motion compensation of the dropped frames."""
        check_direct_payload(clip, header)
        return super().postprocessor(clip, header, latents)

    def trim(self, clip: Clip, header: Header, kept: np.ndarray, first: int) -> bytes:
        """As `MotionFill`; the tools stay."""
        return clip.fill_payload[:1] + super().trim(clip, header, kept, first) if kept.any() else b""
