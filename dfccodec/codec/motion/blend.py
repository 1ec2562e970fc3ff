"""Blend of reference frames, the estimate of dropped frames in fill policy `blend` (SPEC.md 7.8.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import References
from dfccodec.codec.motion.obmc import blend_weight

Floats = npt.NDArray[np.float32]


class ReferenceBlender:
    """Passes kept frames on and adds each dropped frame as the linear interpolation in time of its reference frames.

    Args:
        kept: (T,) bool, with at least one kept frame.
        on_frame: receives number and picture of each frame in decode order.
        on_blend: receives number and a function that computes the picture of each dropped frame, to be called at any
            time, instead of `on_frame`.
    """

    def __init__(
        self,
        kept: npt.NDArray[np.bool_],
        on_frame: Callable[[int, Floats], None],
        on_blend: Callable[[int, Callable[[], Floats]], None] | None = None,
    ) -> None:
        self._references, self._emit = References.of(kept), on_frame
        self._emit_blend = on_blend or (lambda number, make: on_frame(number, make()))
        self._missing = set(np.flatnonzero(kept).tolist())
        self._pictures: dict[int, Floats] = {}

    def __call__(self, frame: int, picture: Floats) -> None:
        """Take a frame of the network, (H, W, 3), not clamped; it is emitted clamped. Dropped frames are ignored.

        After the last kept frame, all dropped frames are emitted.
        """
        if frame not in self._missing:
            return
        self._missing.remove(frame)
        self._pictures[frame] = clamp(picture)
        self._emit(frame, self._pictures[frame])
        if not self._missing:
            found = self._references
            for number, past, future in zip(found.dropped.tolist(), found.past, found.future, strict=True):
                self._emit_blend(number, partial(self._blend, number, int(past), int(future)))

    def _blend(self, frame: int, past: int, future: int) -> Floats:
        if past < 0 or future < 0:
            return self._pictures[max(past, future)]
        a, b = self._pictures[past], self._pictures[future]
        out: Floats = a + (b - a) * np.float32(blend_weight(frame, past, future))
        return out


def clamp(picture: Floats) -> Floats:
    """Copy a picture, clamped to 0…1; NaN becomes 0."""
    out: Floats = np.fmax(picture, np.float32(0))  # fmax ignores NaN
    return np.fmin(out, np.float32(1), out=out)
