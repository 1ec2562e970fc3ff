"""Source and coded videos side by side, as a picture or a video, with names above and a bar under kept frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from dfccodec.container.records import Header, Ratio
from dfccodec.media.output.format import container_for_path
from dfccodec.media.output.sink import VideoSink
from dfccodec.report.glyphs import HEIGHT, WIDTH, draw_text
from dfccodec.runtime.atomic_output import replacing_path

GAP = 4
"""Space between pictures, and height of the bar, in pixels per scale of the labels."""
_LARGE = 480
"""Height of pictures from which labels are drawn twice as large."""
TEXT, KEPT, DROPPED = (235, 235, 235), (90, 200, 120), (70, 70, 70)
"""Colours of names and bars."""

Pixels = npt.NDArray[np.uint8]


class SideBySide:
    """Draws frames of several videos beside each other.

    Args:
        names: names of the videos.
        width, height: size of all frames.

    Attributes:
        size: (width, height) of the result; both are even, as most encoders need it.
    """

    def __init__(self, names: Sequence[str], width: int, height: int) -> None:
        self._scale = 2 if height >= _LARGE else 1
        self._gap = GAP * self._scale
        self._top, self._width, self._height = (HEIGHT + 4) * self._scale, width, height
        self._step = width + self._gap
        sides = len(names) * self._step - self._gap, self._top + height + 2 * self._gap
        self.size = sides[0] + sides[0] % 2, sides[1] + sides[1] % 2
        self._background = np.zeros((self.size[1], self.size[0], 3), np.uint8)
        for number, name in enumerate(names):
            fits = max(1, width // (WIDTH * self._scale))
            shown = name if len(name) <= fits else f"{name[: fits - 2]}.."
            mask = draw_text(shown, self._scale)[:, :width]
            place = self._background[2 * self._scale :, number * self._step :]
            place[: mask.shape[0], : mask.shape[1]][mask] = TEXT

    def draw(self, frames: Sequence[Pixels | None], kept: Sequence[bool | None]) -> Pixels:
        """Draw frames (H, W, 3) uint8; None leaves a place black. `kept` is as in `TimedFrame`."""
        out = self._background.copy()
        for number, (frame, is_kept) in enumerate(zip(frames, kept, strict=True)):
            x = number * self._step
            if frame is not None:
                out[self._top : self._top + self._height, x : x + self._width] = frame
            if is_kept is not None:
                bar = self._top + self._height + self._gap // 2
                out[bar : bar + self._gap, x : x + self._width] = KEPT if is_kept else DROPPED
        return out


class SideWriter:
    """Writes pictures side by side: a video of all frames, or a picture of one, by the suffix of the path.

    Use it as a context: the file appears when the context is left without an error.

    Args:
        path: target.
        drawing: arrangement of the frames.
        rate: frames per second of a video; 0 for 25.

    Attributes:
        still: whether the target is a picture.

    Raises:
        UsageError: the suffix is unknown.
    """

    def __init__(self, path: Path, drawing: SideBySide, rate: Fraction) -> None:
        kind = container_for_path(path)
        self.still = kind == "image2"
        rate = rate or Fraction(25)
        header = Header(
            *drawing.size, Ratio(rate.numerator, rate.denominator), Ratio(rate.denominator, rate.numerator),
            clip_frames=32,
        )  # fmt: skip
        self._replacing, self._frames = replacing_path(path), 0
        self._sink = VideoSink(self._replacing.__enter__(), header, kind)
        self._sink.__enter__()

    def __enter__(self) -> SideWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._sink.__exit__(kind, error, at)
        except BaseException as failed:
            if not self._replacing.__exit__(type(failed), failed, failed.__traceback__):
                raise
        else:
            self._replacing.__exit__(kind, error, at)

    def write(self, picture: Pixels) -> None:
        """Write the next picture."""
        self._sink.write(picture, self._frames, 1)
        self._frames += 1
