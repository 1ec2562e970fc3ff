"""Blocks, modes and motion vectors of dropped frames (SPEC.md 7.8)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK = 8
"""Side of a block in pixels, independent of the model's patch."""

MODES = 4
MODEL, PAST, FUTURE, BI = range(MODES)
"""Prediction modes of a block: network prediction, past reference, future reference, mean of both references."""

FIELDS = 5
"""Numbers per block: mode, then the vector (down, right) into the past and into the future reference."""


@dataclass(frozen=True)
class References:
    """The dropped frames of a clip and their reference frames.

    Attributes:
        dropped: (D,) numbers of the dropped frames.
        past, future: (D,) numbers of the nearest kept frames before and after; -1 if there is none.
    """

    dropped: npt.NDArray[np.intp]
    past: npt.NDArray[np.intp]
    future: npt.NDArray[np.intp]

    @classmethod
    def of(cls, kept: npt.NDArray[np.bool_]) -> References:
        """The references of a clip with the kept frames `kept` (T,) bool."""
        index, dropped = np.flatnonzero(kept), np.flatnonzero(~kept)
        place = np.searchsorted(index, dropped)
        bounded = np.concatenate([[-1], index, [-1]])
        return cls(dropped, bounded[place], bounded[place + 1])


@dataclass(frozen=True)
class MotionField:
    """Modes and motion vectors of the dropped frames of a clip.

    Attributes:
        sides: the dropped frames and their references.
        blocks: (D, rows, columns, 5) int16; unused vectors are 0.
    """

    references: References
    blocks: npt.NDArray[np.int16]


def uses(modes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Whether modes (…,) use the past and the future reference: (…, 2) bool. The two bits of a mode tell."""
    out: npt.NDArray[np.bool_] = (modes[..., None] & np.array([PAST, FUTURE], np.uint8)) != 0
    return out
