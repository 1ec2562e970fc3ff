"""Pictures of source and coded videos side by side or divided, with names above and a bar under kept frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dfccodec.report.glyphs import HEIGHT, WIDTH, draw_text

GAP = 4
"""Space between pictures, and height of the bar, in pixels per scale of the labels."""
_LARGE = 480
"""Height of pictures from which labels are drawn twice as large."""
TEXT, KEPT, DROPPED = (235, 235, 235), (90, 200, 120), (70, 70, 70)
"""Colours of names and bars, and of dividers."""

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


def wipe(source: Pixels, coded: Pixels, position: float) -> Pixels:
    """Return the source left of a divider and the coded picture right of it.

    Args:
        source, coded: pictures (H, W, 3) uint8.
        position: of the divider, 0 at the left edge to 1 at the right edge.
    """
    out, column = coded.copy(), round(position * source.shape[1])
    out[:, :column] = source[:, :column]
    out[:, max(column - 1, 0) : column + 1] = TEXT
    return out
