"""The learned token (DFC) and two baselines on latents: hold the last kept frame, interpolate between two."""

from __future__ import annotations

import numpy as np

from dfccodec.codec.fill.postprocess import FramePostprocessor
from dfccodec.container.records import Clip, Header


class LatentPart:
    """A policy that is done when the slots are filled: it has no payload, and leaves the pictures alone."""

    def check(self, clip: Clip, header: Header) -> None:
        """Nothing to check: a payload is refused where a clip is read."""

    def postprocessor(self, clip: Clip, header: Header) -> FramePostprocessor | None:
        """Nothing to paint."""
        return None

    def trim(self, clip: Clip, header: Header, kept: np.ndarray, first: int) -> bytes:
        """No payload."""
        return b""


class Token(LatentPart):
    """Leave the slots to the model: its learned fill token, and whatever its decoder makes of it."""

    def fill(self, latents: np.ndarray, kept: np.ndarray, payload: bytes) -> tuple[np.ndarray, np.ndarray]:
        """Slots of dropped frames are zero and unknown."""
        return _spread(latents, kept), kept.copy()


class Hold(LatentPart):
    """Repeat the last kept frame; before the first kept frame, that one."""

    def fill(self, latents: np.ndarray, kept: np.ndarray, payload: bytes) -> tuple[np.ndarray, np.ndarray]:
        """All slots known; none where nothing is kept."""
        if not kept.any():
            return _spread(latents, kept), kept.copy()
        return latents[np.maximum(np.cumsum(kept) - 1, 0)], np.ones_like(kept)


class Lerp(LatentPart):
    """Interpolate linearly between the kept frames on both sides; beyond the first and last, hold them."""

    def fill(self, latents: np.ndarray, kept: np.ndarray, payload: bytes) -> tuple[np.ndarray, np.ndarray]:
        """All slots known; none where nothing is kept."""
        if not kept.any():
            return _spread(latents, kept), kept.copy()
        index = np.flatnonzero(kept)
        place = np.interp(np.arange(len(kept)), index, np.arange(len(index)))
        low = np.minimum(place.astype(int), len(index) - 1)
        high = np.minimum(low + 1, len(index) - 1)
        part = (place - low).astype(np.float32)[:, None, None]
        return latents[low] + (latents[high] - latents[low]) * part, np.ones_like(kept)


def _spread(latents: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """(K, N, C) -> (T, N, C) with zeros where nothing was kept."""
    out = np.zeros((len(kept), *latents.shape[1:]), latents.dtype)
    out[kept] = latents
    return out
