"""Latents of the video VAEs of diffusers in `.dfc` files: `pip install dfccodec[diffusers]`.

diffusers is not imported here: the adapter works with any loaded autoencoder that has its interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from dfccodec.codec.encoder import EncodeReport
from dfccodec.codec.from_latents import write_latents
from dfccodec.codec.latent_space import LatentSpace
from dfccodec.container.streams import Readable
from dfccodec.edit.random_access import open_file
from dfccodec.errors import ModelError, UsageError
from dfccodec.models.weights import fingerprint

DEFAULT_QP = 8
"""Steps of 1/16 of a channel's standard deviation: as fine as 8 bits over ±8 deviations."""

_PROBE_FRAMES, _PROBE_SIDE = 17, 64


class DiffusersVAE:
    """An autoencoder of diffusers as a source and a reader of `.dfc` files.

    >>> vae = AutoencoderKLWan.from_pretrained("owner/repo", subfolder="vae")    # doctest: +SKIP
    >>> adapter = DiffusersVAE(vae, "owner/repo")                                # doctest: +SKIP
    >>> adapter.encode_file("in.mp4", "out.dfc", size=256, crop=256, fps=16)     # doctest: +SKIP
    >>> frames = np.concatenate(list(adapter.decode_file("out.dfc")))            # doctest: +SKIP

    Args:
        vae: for video (latents (B, C, T, h, w)), or for images (B, C, h, w); in evaluation mode, on its device.
        repository: its name, such as `owner/repo`, which files then carry.
        revision: of the repository, if you know it.

    Attributes:
        space: channels, strides, and the fingerprint of the weights.

    Raises:
        UsageError: the strides of the network cannot be stored, or it has another interface.
    """

    def __init__(self, vae: torch.nn.Module, repository: str, revision: str | None = None) -> None:
        self._vae: Any = vae
        first = next(vae.parameters(), None)
        if first is None or not hasattr(vae, "encode") or not hasattr(vae, "decode"):
            raise UsageError(f"{type(vae).__name__} is no autoencoder of diffusers: it needs encode and decode")
        self._like = first
        self._video = any(parameter.ndim == 5 for parameter in vae.parameters())
        latents = self._encode(torch.zeros(_PROBE_FRAMES, 3, _PROBE_SIDE, _PROBE_SIDE))
        count, channels, rows, columns = latents.shape
        stride = (_PROBE_FRAMES - 1) // max(count - 1, 1)
        if rows != columns or _PROBE_SIDE % rows or 1 + (count - 1) * stride != _PROBE_FRAMES:
            raise UsageError(
                f"{type(vae).__name__} makes {count} latent frames of {rows}×{columns} from {_PROBE_FRAMES} frames of "
                f"{_PROBE_SIDE}×{_PROBE_SIDE}: only causal networks, with a whole stride after the first frame, fit"
            )
        config = {"library": "diffusers", "class": type(vae).__name__, "repository": repository}
        if revision is not None:
            config["revision"] = revision
        digest = fingerprint({name: value.cpu() for name, value in vae.state_dict().items()})
        self.space = LatentSpace(repository, digest, channels, _PROBE_SIDE // rows, stride, config)

    @torch.inference_mode()
    def _encode(self, video: Tensor) -> Tensor:
        """Frames (T, 3, H, W) in -1…1 to latents (K, C, h, w): the mean of the posterior."""
        video = video.to(self._like.device, self._like.dtype)
        batch = rearrange(video, "t c h w -> 1 c t h w") if self._video else video
        coded = self._vae.encode(batch)
        posterior = getattr(coded, "latent_dist", None)
        latents = posterior.mode() if posterior is not None else coded.latents
        out: Tensor = latents[0].transpose(0, 1) if self._video else latents
        return out

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Encode frames to latents.

        Args:
            frames: (T, H, W, 3) uint8; sides are multiples of the patch. If T is not 1 + a multiple of the temporal
                stride, the last frame is repeated.

        Returns:
            (K, h · w, C) float32.

        Raises:
            UsageError: another shape or type.
        """
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames):
            raise UsageError(f"frames of shape {frames.shape} and type {frames.dtype}: give (T, H, W, 3) uint8")
        patch = self.space.patch
        if frames.shape[1] % patch or frames.shape[2] % patch:
            raise UsageError(
                f"frames of {frames.shape[2]}×{frames.shape[1]}: sides must be multiples of {patch}; give crop="
            )
        missing = -(len(frames) - 1) % self.space.temporal_stride
        whole = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
        video = rearrange(torch.from_numpy(whole), "t h w c -> t c h w").float() / 127.5 - 1
        out: np.ndarray = rearrange(self._encode(video).float().cpu(), "k c h w -> k (h w) c").numpy()
        return out

    @torch.inference_mode()
    def decode(self, latents: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Decode latents.

        Args:
            latents: (K, N, C) float.
            size: (width, height) of the picture.

        Returns:
            (1 + (K - 1) · stride, H, W, 3) uint8.
        """
        grid = {"h": size[1] // self.space.patch, "w": size[0] // self.space.patch}
        values = rearrange(torch.from_numpy(latents), "k (h w) c -> k c h w", **grid)
        values = values.to(self._like.device, self._like.dtype)
        made = self._vae.decode(rearrange(values, "k c h w -> 1 c k h w") if self._video else values).sample
        video = made[0].transpose(0, 1) if self._video else made
        pixels = ((video.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        out: np.ndarray = rearrange(pixels.cpu(), "t c h w -> t h w c").numpy()
        return out

    def clips(self, frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Encode a video clip by clip: latents (K, N, C) and mask (T,) of each, for `dfc.write_latents`.

        Args:
            frames: (H, W, 3) uint8 each. A clip has up to 64 frames and is encoded by itself.
        """
        length = 1 + (self.space.clip_latents - 1) * self.space.temporal_stride
        held: list[np.ndarray] = []
        for frame in frames:
            held.append(frame)
            if len(held) == length:
                yield self._clip(held)
                held = []
        if held:
            yield self._clip(held)

    def _clip(self, frames: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        latents = self.encode(np.stack(frames))
        return latents, self.space.kept(len(latents), len(frames))

    def encode_file(
        self,
        source: str | Path,
        out: str | Path,
        *,
        qp: int = DEFAULT_QP,
        coding: str = "zstd",
        size: str | int | tuple[int, int] | None = None,
        crop: str | int | tuple[int, int] | None = None,
        fps: str | float | Fraction | None = None,
    ) -> EncodeReport:
        """Encode a video file to latents in a `.dfc` file, which appears when it is complete.

        Args:
            source: any video that PyAV reads.
            out: path of the file.
            qp: quantizer index: the step of a channel is 2^(QP/8)/32 of its standard deviation in the first clip.
            coding: `zstd` or `range`.
            size, crop, fps: see `dfc.encode`.

        Raises:
            InputError: the video cannot be read.
            UsageError: sides are no multiples of the patch, or an option is invalid.
        """
        from dfccodec.media.input.source import VideoSource

        with VideoSource(source, audio=False, subtitles=False, size=size, crop=crop, fps=fps) as video:
            info = video.info
            clips = self.clips(picture.rgb for picture in video)
            return write_latents(
                out, clips, size=(info.width, info.height), model=self.space, qp=qp, coding=coding,
                frame_rate=info.rate or 25,
            )  # fmt: skip

    def decode_file(self, source: Readable) -> Iterator[np.ndarray]:
        """Decode a `.dfc` file clip by clip: (T, H, W, 3) uint8 each.

        Raises:
            ModelError: the file has latents of another network, or of other weights.
            DamagedError: a clip is damaged.
        """
        with open_file(source) as file:
            if file.model.fingerprint != self.space.identity.fingerprint:
                raise ModelError(
                    f"the file has latents of {file.model.name!a} ({file.model.fingerprint.hex()[:16]}…), loaded is "
                    f"{self.space.name} ({self.space.identity.fingerprint.hex()[:16]}…): load the weights of the file"
                )
            for clip in file:
                latents = clip.dequantized()
                flat = latents.reshape(len(latents), -1, file.header.channels)
                yield self.decode(flat, (file.width, file.height))[: len(clip.kept)]
