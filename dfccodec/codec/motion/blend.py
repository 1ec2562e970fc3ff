"""Blend of reference frames, the estimate of dropped frames in fill policy `blend` (SPEC.md 7.8.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import References
from dfccodec.codec.motion.obmc import blend_weight
from dfccodec.codec.motion.pyramid import Picture, unit_samples

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Blend:
    """The blend of two pictures (H, W, 3), float32 in 0…1 or uint8: at `fraction` between past (0) and future (1).

    If only one of them exists, it is both.
    """

    past: Picture
    future: Picture
    fraction: float

    def __call__(self) -> Floats:
        """Compute the picture."""
        a, b = unit_samples(self.past), unit_samples(self.future)
        if self.past is self.future:
            return a
        out: Floats = a + (b - a) * np.float32(self.fraction)
        return out


class ReferenceBlender:
    """Passes kept frames on and adds each dropped frame as the linear interpolation in time of its reference frames.

    Args:
        kept: (T,) bool, with at least one kept frame.
        on_frame: receives number and picture of each frame in decode order.
        on_blend: receives number and blend of each dropped frame, to be computed at any time, instead of `on_frame`.
    """

    def __init__(
        self,
        kept: npt.NDArray[np.bool_],
        on_frame: Callable[[int, Any], None],
        on_blend: Callable[[int, Blend], None] | None = None,
    ) -> None:
        self._references, self._emit = References.of(kept), on_frame
        self._emit_blend = on_blend or (lambda number, make: on_frame(number, make()))
        self._missing = set(np.flatnonzero(kept).tolist())
        self._pictures: dict[int, Picture] = {}

    def __call__(self, frame: int, picture: Picture) -> None:
        """Take a frame (H, W, 3) of the network, not clamped, or uint8; it is emitted clamped. Dropped frames are
        ignored.

        After the last kept frame, all dropped frames are emitted.
        """
        if frame not in self._missing:
            return
        self._missing.remove(frame)
        self._pictures[frame] = picture if picture.dtype == np.uint8 else clamp(unit_samples(picture))
        self._emit(frame, self._pictures[frame])
        if not self._missing:
            found = self._references
            for number, past, future in zip(found.dropped.tolist(), found.past, found.future, strict=True):
                self._emit_blend(number, self._blend(number, int(past), int(future)))

    def _blend(self, frame: int, past: int, future: int) -> Blend:
        a, b = (self._pictures[side if side >= 0 else max(past, future)] for side in (past, future))
        return Blend(a, b, blend_weight(frame, past, future))


def clamp(picture: Floats) -> Floats:
    """Copy a picture, clamped to 0…1; NaN becomes 0."""
    out: Floats = np.fmax(picture, np.float32(0))  # fmax ignores NaN
    return np.fmin(out, np.float32(1), out=out)
