"""Decoded kept frames and their motion latents: what every decoder of fill policy `generate` works with.

`Warper` is the decoder without a generator of SPEC.md 6.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dfccodec.codec.fill.generate import payload
from dfccodec.codec.fill.postprocess import Times
from dfccodec.container.records import Clip, Header
from dfccodec.models.regen import PATCH, TIME_UNIT, cell_flow, resize_flow, warp_picture

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]

BATCH_PIXELS = 1 << 18
"""Pixels that are made at once."""


class MotionReferences:
    """Kept frames of a clip, with their motion latents.

    Args:
        clip: the clip, of at least one kept frame.
        header: header of its file.

    Raises:
        DamagedError: the payload is invalid.
    """

    def __init__(self, clip: Clip, header: Header) -> None:
        self._kept, self._size = np.flatnonzero(clip.kept), (header.height, header.width)
        known = payload.read(clip.fill_payload, len(self._kept), header)
        empty = np.zeros((len(self._kept), payload.NUMBERS_PER_WAVE, *payload.grid(header)), np.float32)
        self._motion: Floats = empty if known is None else known.amplitudes()
        self._pictures: dict[int, Tensor] = {}

    def add_reference(self, frame: int, picture: Floats) -> None:
        """Add a kept frame, (H, W, 3) in 0…1."""
        down, right = (-side % PATCH for side in picture.shape[:2])
        whole = np.pad(picture, ((0, down), (0, right), (0, 0)), "edge")
        self._pictures[frame] = torch.from_numpy(whole).permute(2, 0, 1)

    def _batches(self, count: int) -> Iterator[slice]:
        """Parts of `count` pictures."""
        size = max(1, BATCH_PIXELS // (self._size[0] * self._size[1]))
        return (slice(start, min(start + size, count)) for start in range(0, count, size))

    def _times(self, times: Times, references: Indices) -> Tensor:
        """τ of frames (B,) from their references, numbers of kept frames (B,)."""
        offset = (times - self._kept[references]) / TIME_UNIT
        return torch.from_numpy(np.clip(offset, -1, 1).astype(np.float32))

    def _write(self, pictures: Tensor, out: Sequence[Bytes]) -> None:
        """Round pictures (B, 3, H, W), padded, and crop them to `out`."""
        rounded = (pictures.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1)
        for target, picture in zip(out, rounded.numpy(), strict=True):
            target[:] = picture[: self._size[0], : self._size[1]]


class Warper(MotionReferences):
    """Warps the nearer kept frame, the past one if both are equally near, by its motion latent."""

    def compose_at(self, times: Times, out: Sequence[Bytes]) -> None:
        """Write the pictures at `times` (P,) to `out`."""
        after = np.searchsorted(self._kept, times)
        past, future = np.maximum(after - 1, 0), np.minimum(after, len(self._kept) - 1)
        nearer = np.where(times - self._kept[past] > self._kept[future] - times, future, past)
        nearer = np.where(after == 0, future, nearer)
        for part in self._batches(len(times)):
            with torch.inference_mode():
                self._write(self._warped(times[part], nearer[part]), out[part])

    def _warped(self, times: Times, references: Indices) -> Tensor:
        motion = torch.from_numpy(self._motion[references])
        pictures = torch.stack([self._pictures[int(k)] for k in self._kept[references]])
        flow = resize_flow(cell_flow(motion, self._times(times, references)), *pictures.shape[2:])
        return warp_picture(pictures, flow)
