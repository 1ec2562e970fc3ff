"""Slots of the decoder of `mini`: which frames it makes, in which order, and where dropped frames lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Slots:
    """Frames of a clip that the decoder processes, in decode order, and the positions of dropped frames.

    Args:
        frame_index: (S,) frame numbers in the clip, kept frames first.
        num_kept: number of kept frames; 0 only if the clip has no kept frame.
        past, future: (S,) slots of the past and future reference frame; a kept frame is its own reference.
        position_features: (S, 4) float32: 1 for a dropped frame, its position between past (0) and future (1), and its
            distances to both in units of 8 frames; all zero for a kept frame.
    """

    frame_index: Tensor
    num_kept: int
    past: Tensor
    future: Tensor
    position_features: Tensor

    @classmethod
    def from_mask(cls, kept: np.ndarray, wanted: np.ndarray | None = None) -> Slots:
        """Build slots from `kept` (T,) bool and the numbers of the `wanted` dropped frames (None for all)."""
        index = np.flatnonzero(kept)
        past, future, where = neighbours(kept)
        dropped = np.flatnonzero(~kept)
        chosen = np.arange(len(dropped)) if wanted is None else np.searchsorted(dropped, wanted)
        own = np.arange(len(index))
        place = np.zeros((len(index) + len(chosen), 4), np.float32)
        place[len(index) :, 0] = 1
        place[len(index) :, 1:] = where[chosen]
        sides = (np.searchsorted(index, side[chosen]) for side in (past, future))
        before, after = (torch.from_numpy(np.concatenate([own, side])) for side in sides)
        at = torch.from_numpy(np.concatenate([index, dropped[chosen]]))
        return cls(at, len(index), before, after, torch.from_numpy(place))

    @property
    def kept_only(self) -> Slots:
        """The slots of the kept frames only."""
        at, past, future, place = (
            x[: self.num_kept] for x in (self.frame_index, self.past, self.future, self.position_features)
        )
        return Slots(at, self.num_kept, past, future, place)

    def to(self, device: torch.device) -> Slots:
        """Return the slots on a device."""
        at, past, future, place = (
            x.to(device) for x in (self.frame_index, self.past, self.future, self.position_features)
        )
        return Slots(at, self.num_kept, past, future, place)


def neighbours(kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the adjacent kept frames and the position of each dropped frame of a clip.

    Args:
        kept: (T,) bool. If no frame is kept, frame 0 is used as the reference.

    Returns:
        past, future: (D,) numbers of the adjacent kept frames. At an end of the clip, both are the only adjacent one.
        where: (D, 3) float32: position between past (0) and future (1), distance to past / 8, distance to future / 8.
    """
    index = np.flatnonzero(kept) if kept.any() else np.zeros(1, np.int64)
    dropped = np.flatnonzero(~kept)
    right = np.searchsorted(index, dropped)
    past = index[np.clip(right - 1, 0, None)]
    future = index[np.clip(right, None, len(index) - 1)]
    past = np.minimum(past, future)  # before the first kept frame both are the first
    span = np.maximum(future - past, 1)
    fraction = np.clip((dropped - past) / span, 0.0, 1.0) * (future != past)
    where = np.stack([fraction, np.abs(dropped - past) / 8, np.abs(future - dropped) / 8], axis=1)
    return past, future, where.astype(np.float32)
