"""Adapter of the published VAE to the interface of the codec."""

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


class VideoVAEAdapter:
    """A `LatentModel` that wraps a `VideoVAE`. Latents are the mean of the posterior, so the result is deterministic.

    The network has one input size, which is `tile`, and no quantizer: `steps` is None and `qp` is ignored.

    Args:
        vae: the network; it is set to evaluation mode.

    Raises:
        ModelError: the frames of the network are not square or not RGB. The codec uses square tiles.
    """

    steps: np.ndarray | None = None
    synthesis_gain: float | None = None
    linear_transform: np.ndarray | None = None

    def __init__(self, vae: VideoVAE) -> None:
        config = vae.config
        if config.height != config.width or config.channels != 3:
            raise ModelError(
                f"the model takes {config.width}×{config.height} frames with {config.channels} channels; "
                "use a model for square frames with 3 channels"
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
        """See `interface.LatentModel.encode`. Padding frames have importance 0, so they are never kept."""
        with torch.inference_mode():
            if video.dtype == torch.uint8:
                video = video.float() / 255
            posterior = self.vae.encode(to_float01(video).to(self.vae.fill_token), valid)
            importance = posterior.importance.float()
            if valid is not None:
                importance = importance * valid
            return Encoded(posterior.mean.float(), importance)

    def decode(self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int) -> Tensor:
        """See `interface.LatentModel.decode`. All frames may be dropped.

        Raises:
            UsageError: the size is not that of the network.
        """
        if (height, width) != (self.tile, self.tile):
            raise UsageError(f"decode to {width}×{height}: this model supports only {self.tile}×{self.tile}; use tiles")
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
        """See `interface.LatentModel.decode_frames`. The network decodes all frames at once."""
        emit_in_decode_order(self.decode(latents[None], kept[None], height, width, qp)[0], kept, on_frame)

    def gradient(
        self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int, distortion: DistortionFn
    ) -> Tensor:
        """See `interface.LatentModel.gradient`."""
        return gradient_whole_clip(self, latents, kept, height, width, qp, distortion)
