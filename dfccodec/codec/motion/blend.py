"""Blend of reference frames, the estimate of dropped frames in fill policy `blend` (SPEC.md 7.8.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import FIELDS, References
from dfccodec.codec.motion.direct import DirectMotion
from dfccodec.codec.motion.obmc import PADDING, blend_weight, compensate_frame, pad_edges
from dfccodec.codec.motion.pyramid import Picture, unit_samples
from dfccodec.container.records import MotionFilter

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


@dataclass(frozen=True)
class DirectBlend:
    """The blend of two padded pictures (`obmc.pad_edges`) at direct vectors (rows, columns, 2, 2)."""

    past: Floats
    future: Floats
    fraction: float
    vectors: npt.NDArray[np.int32]
    motion_filter: MotionFilter

    def __call__(self) -> Floats:
        """Compute the picture (H, W, 3)."""
        rows, columns = self.vectors.shape[:2]
        blocks = np.zeros((rows, columns, FIELDS), np.int16)
        blocks[..., 1:] = self.vectors.reshape(rows, columns, 4)
        view = self.past[PADDING:-PADDING, PADDING:-PADDING]
        return compensate_frame(view, self.past, self.future, blocks, self.motion_filter, self.fraction)


class ReferenceBlender:
    """Passes kept frames on and adds each dropped frame as the linear interpolation in time of its reference frames.

    Args:
        kept: (T,) bool, with at least one kept frame.
        on_frame: receives number and picture of each frame in decode order.
        on_blend: receives number and blend of each dropped frame, to be computed at any time, instead of `on_frame`.
        direct: direct motion of the clip, if it has any; `on_blend` then gets blends with it.
        motion_filter: of samples between pixels, for direct motion.
    """

    def __init__(
        self,
        kept: npt.NDArray[np.bool_],
        on_frame: Callable[[int, Any], None],
        on_blend: Callable[[int, Blend | DirectBlend], None] | None = None,
        direct: DirectMotion | None = None,
        motion_filter: MotionFilter = MotionFilter.LINEAR,
    ) -> None:
        self._direct, self._filter = direct, motion_filter
        self._references, self._emit = References.of(kept), on_frame
        self._emit_blend = on_blend or (lambda number, make: on_frame(number, make()))
        self._missing = set(np.flatnonzero(kept).tolist())
        self._pictures: dict[int, Picture] = {}
        self._padded: dict[int, Floats] = {}

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
        if self._direct is not None:
            padded = self._padded[frame] = pad_edges(unit_samples(self._pictures[frame]))
            self._pictures[frame] = padded[PADDING:-PADDING, PADDING:-PADDING]
        if not self._missing:
            found = self._references
            for number, past, future in zip(found.dropped.tolist(), found.past, found.future, strict=True):
                self._emit_blend(number, self._blend(number, int(past), int(future)))

    def _blend(self, frame: int, past: int, future: int) -> Blend | DirectBlend:
        a, b = (self._pictures[side if side >= 0 else max(past, future)] for side in (past, future))
        weight = blend_weight(frame, past, future)
        vectors = None if self._direct is None else self._direct.vectors(frame, past, future)
        if vectors is not None:
            return DirectBlend(self._padded[past], self._padded[future], weight, vectors, self._filter)
        return Blend(a, b, weight)


def clamp(picture: Floats) -> Floats:
    """Copy a picture, clamped to 0…1; NaN becomes 0."""
    out: Floats = np.fmax(picture, np.float32(0))  # fmax ignores NaN
    return np.fmin(out, np.float32(1), out=out)
