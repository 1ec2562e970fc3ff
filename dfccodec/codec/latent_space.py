"""Latent spaces of networks that dfc does not contain, such as the VAEs of video generators."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dfccodec.container.records import ModelId
from dfccodec.errors import UsageError
from dfccodec.limits import MAX_CHANNELS, MAX_CLIP_FRAMES, MAX_TEXT

FAMILY = "external"
"""`family` in the configuration of such a model."""

PATCHES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class LatentSpace:
    """The latents of another network, described so that a file can name it.

    Args:
        name: the repository, such as `owner/repo`; files name it, and other models with this name are told apart by the
            fingerprint.
        fingerprint: 32 bytes, or 64 hexadecimal digits, that identify the weights: `models.weights.fingerprint` of the
            state dict (SPEC.md 5.3).
        channels: C, 1 to 1024.
        patch: side of a token in pixels, the spatial stride: 1, 2, 4, 8, 16, 32 or 64.
        temporal_stride: video frames per latent frame after the first, 1 to 63. Latent frame k then belongs to video
            frame k × stride, as in causal VAEs.
        config: more about the model, stored in the file as JSON.
    """

    name: str
    fingerprint: bytes | str
    channels: int
    patch: int = 8
    temporal_stride: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or len(self.name.encode()) > MAX_TEXT:
            raise UsageError(f"model name {str(self.name)[:80]!r}: give the repository, such as owner/repo")
        try:
            digest = bytes.fromhex(self.fingerprint) if isinstance(self.fingerprint, str) else bytes(self.fingerprint)
        except (ValueError, TypeError):
            digest = b""
        if len(digest) != 32:
            raise UsageError(f"fingerprint {self.fingerprint!r}: give a SHA-256, 32 bytes or 64 hexadecimal digits")
        for name, value, least, most in (
            ("channels", self.channels, 1, MAX_CHANNELS),
            ("temporal_stride", self.temporal_stride, 1, MAX_CLIP_FRAMES - 1),
        ):
            if not isinstance(value, int | np.integer) or not least <= value <= most:
                raise UsageError(f"{name} {value!r} is out of range: give {least} to {most}")
        if self.patch not in PATCHES:
            raise UsageError(f"patch {self.patch!r} is not possible: give one of {', '.join(map(str, PATCHES))}")
        try:
            json.dumps(dict(self.config), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"config of {self.name} is no JSON ({error}): give numbers, text, lists and dicts"
            ) from None

    @property
    def identity(self) -> ModelId:
        """Name, fingerprint and configuration as they are stored in a file."""
        own = {"family": FAMILY, "temporal_stride": int(self.temporal_stride)}
        digest = bytes.fromhex(self.fingerprint) if isinstance(self.fingerprint, str) else bytes(self.fingerprint)
        return ModelId(self.name, digest, json.dumps({**self.config, **own}, sort_keys=True))

    @property
    def clip_latents(self) -> int:
        """Maximum number of latent frames of a clip."""
        return (MAX_CLIP_FRAMES - 1) // self.temporal_stride + 1

    def kept(self, latents: int, frames: int | None = None) -> np.ndarray:
        """Return the mask (T,) of the frames of a clip that have latents.

        Args:
            latents: number of latent frames K.
            frames: number of video frames T; None is 1 + (K - 1) × stride. With fewer, the last latent frame belongs to
                the last video frame.

        Raises:
            UsageError: the clip is too long, or has too few frames.
        """
        full = 1 + (latents - 1) * self.temporal_stride
        count = full if frames is None else frames
        if not 1 <= latents <= self.clip_latents or not full - self.temporal_stride < count <= MAX_CLIP_FRAMES:
            raise UsageError(
                f"a clip of {latents} latent frames and {count} video frames: give 1 to {self.clip_latents} latent "
                f"frames at stride {self.temporal_stride}"
            )
        mask = np.zeros(count, bool)
        mask[np.minimum(np.arange(latents) * self.temporal_stride, count - 1)] = True
        return mask


def is_external(model: ModelId) -> bool:
    """Whether a file has latents of a network that dfc does not contain."""
    try:
        found: object = json.loads(model.config).get("family")
    except (ValueError, RecursionError):
        return False
    return found == FAMILY
