"""Fill policies on latents: the learned fill token (DFC), hold the last kept frame, interpolate between two."""

from __future__ import annotations

import numpy as np

from dfccodec.codec.fill.postprocess import BatchPostprocessor, FramePostprocessor
from dfccodec.container.records import Clip, Header


class LatentFill:
    """Base of the policies that only fill latent slots: no payload, no post-processing."""

    blends = False

    def check(self, clip: Clip, header: Header) -> None:
        """Nothing to check: the container reader rejects a payload."""

    def postprocessor(
        self, clip: Clip, header: Header, latents: np.ndarray | None = None
    ) -> FramePostprocessor | BatchPostprocessor | None:
        """No post-processing."""
        return None

    def trim(self, clip: Clip, header: Header, kept: np.ndarray, first: int) -> bytes:
        """No payload."""
        return b""


class Token(LatentFill):
    """Leave the slots to the network, which puts its learned fill token."""

    def fill(self, latents: np.ndarray, kept: np.ndarray, payload: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Slots of dropped frames are zero and not known."""
        return _spread(latents, kept), kept.copy()


class Hold(LatentFill):
    """Repeat the last kept frame; before the first kept frame, that one."""

    def fill(self, latents: np.ndarray, kept: np.ndarray, payload: bytes) -> tuple[np.ndarray, np.ndarray]:
        """All slots are known; none if no frame is kept."""
        if not kept.any():
            return _spread(latents, kept), kept.copy()
        return latents[np.maximum(np.cumsum(kept) - 1, 0)], np.ones_like(kept)


class Lerp(LatentFill):
    """Interpolate linearly between the kept frames on both sides; beyond the first and last, hold them."""

    def fill(self, latents: np.ndarray, kept: np.ndarray, payload: bytes) -> tuple[np.ndarray, np.ndarray]:
        """All slots are known; none if no frame is kept."""
        if not kept.any():
            return _spread(latents, kept), kept.copy()
        index = np.flatnonzero(kept)
        place = np.interp(np.arange(len(kept)), index, np.arange(len(index)))
        low = np.minimum(place.astype(int), len(index) - 1)
        high = np.minimum(low + 1, len(index) - 1)
        part = (place - low).astype(np.float32)[:, None, None]
        return latents[low] + (latents[high] - latents[low]) * part, np.ones_like(kept)


def _spread(latents: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Spread latents (K, N, C) over slots (T, N, C); slots of dropped frames are zero."""
    out = np.zeros((len(kept), *latents.shape[1:]), latents.dtype)
    out[kept] = latents
    return out
