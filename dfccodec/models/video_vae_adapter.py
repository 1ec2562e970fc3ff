"""The published VAE behind the contract the codec uses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dfccodec.errors import ModelError, UsageError
from dfccodec.models.interface import (
    DistortionFn,
    Encoded,
    FrameCallback,
    emit_in_decode_order,
    gradient_whole_clip,
    to_float01,
)
from dfccodec.models.vae import VideoVAE


class PublishedCodec:
    """A `contract.LatentModel` over a `VideoVAE`; latents are the posterior's mean, so nothing is random.

    The network has one size and no quantizer of its own: `tile` is its side, `steps` is None and `qp` changes
    nothing.

    Args:
        vae: the network; put into evaluation mode.

    Raises:
        ModelError: the network takes frames that are not square RGB; the codec tiles with squares.
    """

    steps: np.ndarray | None = None
    synthesis_gain: float | None = None
    linear_transform: np.ndarray | None = None

    def __init__(self, vae: VideoVAE) -> None:
        config = vae.config
        if config.height != config.width or config.channels != 3:
            raise ModelError(
                f"model takes {config.width}×{config.height} frames of {config.channels} channels; "
                "the codec needs square frames of 3"
            )
        self.vae = vae.eval()
        self.config_json = config.to_json()
        self.channels = config.latent_channels
        self.patch = config.patch_size
        self.tile = config.height
        self.max_frames = config.max_temporal_len

    @property
    def fill_token(self) -> Tensor:
        """(C,) the learned fill token."""
        return self.vae.fill_token.detach().reshape(-1)

    def encode(self, video: Tensor, qp: int, valid: Tensor | None = None, keep: int | None = None) -> Encoded:
        """See `contract.LatentModel.encode`; padding frames get importance 0, so no budget keeps them."""
        with torch.inference_mode():
            if video.dtype == torch.uint8:
                video = video.float() / 255
            posterior = self.vae.encode(to_float01(video).to(self.vae.fill_token), valid)
            importance = posterior.importance.float()
            if valid is not None:
                importance = importance * valid
            return Encoded(posterior.mean.float(), importance)

    def decode(self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int) -> Tensor:
        """See `contract.LatentModel.decode`; every frame may be dropped: the fill token decodes too.

        Raises:
            UsageError: another size than the network's own.
        """
        if (height, width) != (self.tile, self.tile):
            raise UsageError(f"decode to {width}×{height}: this model makes {self.tile}×{self.tile} only; use tiles")
        like = self.vae.fill_token
        filled = self.vae.fill(latents.to(like), kept.to(like.device))
        return self.vae.decode(filled).float()

    def decode_frames(
        self,
        latents: Tensor,
        kept: Tensor,
        height: int,
        width: int,
        qp: int,
        on_frame: FrameCallback,
        wanted: Tensor | None = None,
    ) -> None:
        """See `contract.LatentModel.decode_each`; the network makes all frames at once."""
        emit_in_decode_order(self.decode(latents[None], kept[None], height, width, qp)[0], kept, on_frame)

    def gradient(
        self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int, distortion: DistortionFn
    ) -> Tensor:
        """See `contract.LatentModel.gradient`."""
        return gradient_whole_clip(self, latents, kept, height, width, qp, distortion)
