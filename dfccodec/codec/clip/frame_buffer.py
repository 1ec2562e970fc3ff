"""What a decoder shows of a clip: each frame painted and rounded as it comes, so that no clip of floats is held."""

from __future__ import annotations

from functools import partial
from types import TracebackType

import numpy as np
import numpy.typing as npt

from dfccodec.codec import fill
from dfccodec.codec.fill.postprocess import FramePostprocessor
from dfccodec.container.records import Clip, Header
from dfccodec.runtime.batched_executor import BatchedExecutor

Floats = npt.NDArray[np.float32]

SHOWN_BYTES, MADE_BYTES = 3, 3 * 4
"""Of a pixel as it is shown, and as the model makes it."""


class ClipFrameBuffer:
    """The frames of a clip on their way to bytes.

    Kept frames are shown before dropped ones, which are painted from them.

    Args:
        clip: whose frames.
        header: of its file.
        threads: to paint with.

    Attributes:
        frames: (T, H, W, 3) uint8, rounded half up; complete once all have been shown and the context is left.

    Raises:
        UnsupportedError: the clip's fill policy is not known.
        DamagedError: its payload is not one.
    """

    def __init__(self, clip: Clip, header: Header, threads: int) -> None:
        self._painter = fill.policy(clip.fill).postprocessor(clip, header)
        self._kept, self._jobs = clip.kept, BatchedExecutor(threads, header.height * header.width * MADE_BYTES)
        self.frames = np.empty((clip.frames, header.height, header.width, 3), np.uint8)

    def __enter__(self) -> ClipFrameBuffer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._jobs.__exit__(kind, error, at)

    def add_frame(self, number: int, picture: Floats) -> None:
        """Frame `number` of the clip as the model made it, (H, W, 3), not clamped."""
        picture = clamped(picture)
        if self._painter is None:
            self._round(number, picture)
        elif self._kept[number]:
            self._painter.add_reference(number, picture)
            self._round(number, picture)
        else:
            self._jobs.add(partial(self._paint, self._painter, number, picture))

    def add_all(self, frames: Floats) -> None:
        """All frames of the clip, (T, H, W, 3), not clamped."""
        for number in decode_order(self._kept):
            self.add_frame(number, frames[number])

    def _paint(self, postprocessor: FramePostprocessor, number: int, picture: Floats) -> None:
        self._round(number, postprocessor.reconstruct(number, picture))

    def _round(self, number: int, picture: Floats) -> None:
        scaled = picture * np.float32(255)
        scaled += np.float32(0.5)
        self.frames[number] = scaled


def clamped(picture: Floats) -> Floats:
    """A copy in 0…1; what is not a number is 0."""
    out: Floats = np.fmax(picture, np.float32(0))  # the only comparison that a NaN loses
    return np.fmin(out, np.float32(1), out=out)


def decode_order(kept: npt.NDArray[np.bool_]) -> list[int]:
    """Frames of a clip, kept (T,) ones before dropped ones: the order a :class:`ClipFrameBuffer` wants."""
    order: list[int] = np.argsort(~kept, kind="stable").tolist()
    return order
