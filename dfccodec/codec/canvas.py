"""What a decoder shows of a clip: each frame painted and rounded as it comes, so that no clip of floats is held."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np
import numpy.typing as npt

from dfccodec.codec import fill
from dfccodec.container.records import Clip, Header

Floats = npt.NDArray[np.float32]


class Canvas:
    """The frames of a clip on their way to bytes.

    Kept frames are shown before dropped ones, which are painted from them: `threads` at a time, together, since while
    the model works no core is free.

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
        self._painter = fill.policy(clip.fill).painter(clip, header)
        self._kept, self._threads = clip.kept, threads
        self._waiting: list[tuple[int, Floats]] = []
        self._pool = ThreadPoolExecutor(threads)  # starts a thread only once there is work for it
        self.frames = np.empty((clip.frames, header.height, header.width, 3), np.uint8)

    def __enter__(self) -> Canvas:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._pool:
            if error is None:
                self._paint()

    def show(self, number: int, picture: Floats) -> None:
        """Frame `number` of the clip as the model made it, (H, W, 3), not clamped."""
        picture = np.nan_to_num(np.clip(picture, 0, 1))
        if self._painter is None or self._kept[number]:
            if self._painter is not None:
                self._painter.know(number, picture)
            self._round(number, picture)
            return
        self._waiting.append((number, picture))
        if len(self._waiting) >= self._threads:
            self._paint()

    def show_all(self, frames: Floats) -> None:
        """All frames of the clip, (T, H, W, 3), not clamped."""
        for number in kept_first(self._kept):
            self.show(number, frames[number])

    def _paint(self) -> None:
        painter = self._painter
        if painter is not None:
            list(self._pool.map(lambda job: self._round(job[0], painter.painted(*job)), self._waiting))
        self._waiting.clear()

    def _round(self, number: int, picture: Floats) -> None:
        self.frames[number] = picture * np.float32(255) + np.float32(0.5)


def kept_first(kept: npt.NDArray[np.bool_]) -> list[int]:
    """Frames of a clip, kept (T,) ones before dropped ones: the order a :class:`Canvas` wants."""
    order: list[int] = np.argsort(~kept, kind="stable").tolist()
    return order
