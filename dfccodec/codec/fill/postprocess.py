"""What works on the pictures of dropped frames, after the model."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class FramePostprocessor(Protocol):
    """Changes the dropped frames of one clip, with its kept frames at hand. Pictures are (H, W, 3) in 0…1."""

    def add_reference(self, frame: int, picture: Floats) -> None:
        """A kept frame; all are told before the first dropped one is painted."""
        ...

    def reconstruct(self, frame: int, estimate: Floats) -> Floats:
        """A dropped frame, from what the model made of it; called from several threads at once."""
        ...
