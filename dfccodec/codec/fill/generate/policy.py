"""Fill policy `generate`; what needs torch is imported when pictures are made."""

from __future__ import annotations

import numpy as np

from dfccodec.codec.fill.generate import payload
from dfccodec.codec.fill.latent_fills import Token
from dfccodec.codec.fill.postprocess import BatchPostprocessor
from dfccodec.container.records import Clip, Header
from dfccodec.models.config import import_object

# By name: readers and editors import this module and must not load torch.
GENERATOR = "dfccodec.codec.fill.generate.pictures:Generator"
WARPER = "dfccodec.codec.fill.generate.warp:Warper"


class GenerateFill(Token):
    """The network decodes kept frames only; `mini-regen` generates the others from them and the motion latents."""

    blends = True

    def check(self, clip: Clip, header: Header) -> None:
        """Decode the motion latents."""
        payload.read(clip.fill_payload, int(clip.kept.sum()), header)

    def postprocessor(self, clip: Clip, header: Header, latents: np.ndarray | None = None) -> BatchPostprocessor | None:
        """The composer, with the latents (K, tiles, rows, columns, C) of the kept frames."""
        if not clip.kept.any() or clip.kept.all():
            return None
        assert latents is not None
        return self.composer(clip, header, latents)

    def composer(self, clip: Clip, header: Header, latents: np.ndarray) -> BatchPostprocessor:
        """The generator of a clip with at least one kept frame."""
        generator: BatchPostprocessor = import_object(GENERATOR)(clip, header, latents)
        return generator

    def trim(self, clip: Clip, header: Header, kept: np.ndarray, first: int) -> bytes:
        """Kept frames keep their motion latents."""
        return payload.trim(clip.fill_payload, header, clip.kept, kept, first)


class WarpFill(GenerateFill):
    """As `GenerateFill`, but without a generator: the nearer kept frame is warped by its motion latent."""

    def composer(self, clip: Clip, header: Header, latents: np.ndarray) -> BatchPostprocessor:
        """The warper."""
        warper: BatchPostprocessor = import_object(WARPER)(clip, header)
        return warper
