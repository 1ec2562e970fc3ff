"""Interface of the post-processing of dropped frames after the decoder network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]


@runtime_checkable
class FramePostprocessor(Protocol):
    """Changes the dropped frames of one clip. Pictures are (H, W, 3) in 0…1."""

    def add_reference(self, frame: int, picture: Floats) -> None:
        """Add a kept frame; all of them are added before the first dropped frame."""
        ...

    def reconstruct(self, frame: int, estimate: Floats) -> Floats:
        """Reconstruct a dropped frame from its network output; called from several threads concurrently."""
        ...


@runtime_checkable
class BatchPostprocessor(Protocol):
    """Makes the dropped frames of one clip at once from its kept frames, without network output."""

    def add_reference(self, frame: int, picture: Floats) -> None:
        """Add a kept frame, (H, W, 3) in 0…1."""
        ...

    def compose_at(self, times: Times, out: Sequence[npt.NDArray[np.uint8]]) -> None:
        """Write the pictures at `times`, in frames from the first frame of the clip, to `out`, one (H, W, 3) for each
        time, rounded half up. Times between frames are possible; no time is that of a kept frame."""
        ...
