"""What a decision is, and which frames it is about (SPEC.md 7.8)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK = 8
"""Side of a block in pixels: whatever the model's patch is, the payload is read the same."""

SUB = 2
"""Vectors count half pixels. Quarters cost 9 % more bits and gain nothing."""

MODES = 4
MODEL, PAST, FUTURE, BOTH = range(MODES)
"""Modes: what a block is predicted from."""

FIELDS = 5
"""Of a decision: mode, down and right into the past, down and right into the future."""


@dataclass(frozen=True)
class Sides:
    """The dropped frames of a clip and the kept frames beside each.

    Attributes:
        dropped: (D,) frames.
        past, future: (D,) the kept frames before and after; -1 where there is none.
    """

    dropped: npt.NDArray[np.intp]
    past: npt.NDArray[np.intp]
    future: npt.NDArray[np.intp]

    @classmethod
    def of(cls, kept: npt.NDArray[np.bool_]) -> Sides:
        """Those of a clip whose kept frames are `kept` (T,)."""
        index, dropped = np.flatnonzero(kept), np.flatnonzero(~kept)
        place = np.searchsorted(index, dropped)
        framed = np.concatenate([[-1], index, [-1]])
        return cls(dropped, framed[place], framed[place + 1])


@dataclass(frozen=True)
class Decisions:
    """What the encoder chose for the dropped frames of a clip.

    Attributes:
        sides: those frames.
        blocks: (D, rows, columns, 5) int16; vectors that a block does not use are 0.
    """

    sides: Sides
    blocks: npt.NDArray[np.int16]


def uses(modes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """(…,) modes -> (…, 2): whether past and future are looked at. Modes are two bits."""
    out: npt.NDArray[np.bool_] = (modes[..., None] & np.array([PAST, FUTURE], np.uint8)) != 0
    return out
