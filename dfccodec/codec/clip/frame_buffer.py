"""Output buffer of a clip: each frame is post-processed and rounded as it arrives, so that no clip of floats is
stored."""

from __future__ import annotations

from functools import partial
from types import TracebackType

import numpy as np
import numpy.typing as npt

from dfccodec.codec import fill
from dfccodec.codec.fill.postprocess import BatchPostprocessor, FramePostprocessor
from dfccodec.codec.motion.blend import clamp
from dfccodec.codec.motion.obmc import Composer
from dfccodec.container.records import Clip, Header
from dfccodec.native import kernels
from dfccodec.runtime.batched_executor import BatchedExecutor

Floats = npt.NDArray[np.float32]

OUTPUT_BYTES, NETWORK_BYTES = 3, 3 * 4
"""Bytes of a pixel in the output (uint8) and from the network (float32)."""


class ClipFrameBuffer:
    """Collects the frames of a clip in decode order: kept frames, then dropped frames, which may refer to them.

    Args:
        clip: the clip.
        header: header of its file.
        threads: number of threads for the fill policy.
        latents: (K, tiles, rows, columns, C) of the kept frames, for fill policy `generate`.

    Attributes:
        frames: (T, H, W, 3) uint8, rounded half up; complete once all frames are added and the context is left.
        fused: True if only kept frames need to be added: dropped frames are composed from them by a kernel.

    Raises:
        UnsupportedError: the fill policy of the clip is unknown.
        DamagedError: the fill payload is invalid.
    """

    def __init__(self, clip: Clip, header: Header, threads: int, latents: Floats | None = None) -> None:
        policy = fill.policy(clip.fill)
        self._postprocessor = policy.postprocessor(clip, header, latents)
        composer = isinstance(self._postprocessor, Composer)
        self.fused = isinstance(self._postprocessor, BatchPostprocessor) or (
            kernels is not None and composer and policy.blends and not header.tile
        )
        self._kept, self._jobs = clip.kept, BatchedExecutor(threads, header.height * header.width * NETWORK_BYTES)
        self.frames = np.empty((clip.frames, header.height, header.width, 3), np.uint8)

    def __enter__(self) -> ClipFrameBuffer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None and self.fused and isinstance(self._postprocessor, Composer):
            for number in np.flatnonzero(~self._kept).tolist():
                self._jobs.add(partial(self._postprocessor.compose, number, self.frames[number]))
        self._jobs.__exit__(kind, error, at)
        if error is None and isinstance(self._postprocessor, BatchPostprocessor):
            dropped = np.flatnonzero(~self._kept)
            self._postprocessor.compose_at(dropped.astype(np.float64), [self.frames[number] for number in dropped])

    def add_frame(self, number: int, picture: Floats) -> None:
        """Add frame `number` of the clip from the network, (H, W, 3), not clamped."""
        if self.fused and not self._kept[number]:
            return
        if isinstance(self._postprocessor, FramePostprocessor) and not self._kept[number]:
            self._jobs.add(partial(self._postprocess, self._postprocessor, number, picture))
            return
        picture = clamp(picture)
        if self._postprocessor is not None:
            self._postprocessor.add_reference(number, picture)
        self._round(number, picture)

    def add_all(self, frames: Floats) -> None:
        """Add all frames of the clip, (T, H, W, 3), not clamped."""
        for number in decode_order(self._kept):
            self.add_frame(number, frames[number])

    def _postprocess(self, postprocessor: FramePostprocessor, number: int, picture: Floats) -> None:
        self._round(number, postprocessor.reconstruct(number, clamp(picture)))

    def _round(self, number: int, picture: Floats) -> None:
        self.frames[number] = round_samples(picture)


def round_samples(picture: Floats) -> npt.NDArray[np.uint8]:
    """Samples of a picture as bytes, rounded half up; those below 0 or above 1 are clamped."""
    scaled = picture * np.float32(255)
    scaled += np.float32(0.5)
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def decode_order(kept: npt.NDArray[np.bool_]) -> list[int]:
    """Frame numbers of a clip in decode order: kept frames, then dropped frames. `kept` is (T,) bool."""
    order: list[int] = np.argsort(~kept, kind="stable").tolist()
    return order
