"""Direct motion: vectors of blocks that have none of their own, from the motion between their two reference frames
(SPEC.md 7.8.3), as in the temporal direct mode of H.264 (ITU-T H.264, 8.4.1.2.3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import FUTURE, MODEL, PAST

Ints = npt.NDArray[np.int32]
Shorts = npt.NDArray[np.int16]


class DirectMotion:
    """Complete motion of the predicted kept frames of a clip, in which every block has a vector into each reference."""

    def __init__(self) -> None:
        self._fields: dict[int, tuple[tuple[int, int], Ints]] = {}

    def add(self, frame: int, past: int, future: int, blocks: Shorts) -> None:
        """Add a predicted frame with the decisions (rows, columns, 5) for it; its references (−1: none) come first."""
        modes, vectors = blocks[..., 0], blocks[..., 1:].reshape(*blocks.shape[:2], 2, 2).astype(np.int32)
        if past >= 0 and future >= 0:
            direct, ends = self.vectors(frame, past, future), (past, future)
            own = vectors.copy()
            for side, other in enumerate((FUTURE, PAST)):
                turned = _project(own[..., 1 - side, :], frame, ends[1 - side], frame, ends[side])
                vectors[modes == other, side] = turned[modes == other]
                if direct is not None:
                    vectors[modes == MODEL, side] = direct[modes == MODEL, side]
        self._fields[frame] = (past, future), _smoothed(vectors)

    def vectors(self, frame: int, past: int, future: int) -> Ints | None:
        """Vectors (rows, columns, 2, 2) of a frame into its two references; None if none of these refers to the other.

        Each block takes the vector of the same block in that reference frame which refers to the other one.
        """
        for side, (first, second) in enumerate(((future, past), (past, future))):
            ends, field = self._fields.get(first, ((-1, -1), None))
            if field is not None and ends[side] == second >= 0:
                between = field[..., side, :]
                return np.stack([_project(between, first, second, frame, end) for end in (past, future)], axis=2)
        return None

    def fill(self, frame: int, past: int, future: int, blocks: Shorts) -> Shorts:
        """Decisions (rows, columns, 5) with direct vectors in blocks of mode 0."""
        direct = self.vectors(frame, past, future)
        if direct is None or not direct.any():
            return blocks
        out = np.array(blocks, np.int16)
        still = out[..., 0] == MODEL
        out[still, 1:] = direct[still].reshape(-1, 4)
        return out


def _project(vectors: Ints, start: int, end: int, frame: int, reference: int) -> Ints:
    """Vectors from frame `start` to frame `end`, as vectors from `frame` to `reference` at the same velocity."""
    time, whole = reference - frame, end - start
    if whole < 0:
        time, whole = -time, -whole
    out: Ints = np.clip((2 * vectors.astype(np.int64) * time + whole) // (2 * whole), -32768, 32767).astype(np.int32)
    return out


def _smoothed(vectors: Ints) -> Ints:
    """Each component is the median of a block and its four neighbours: a lone vector, which fits noise, goes."""
    rows, columns = vectors.shape[:2]
    padded = np.pad(vectors, ((1, 1), (1, 1), (0, 0), (0, 0)), mode="edge")
    five = [padded[y : y + rows, x : x + columns] for y, x in ((0, 1), (1, 0), (1, 1), (1, 2), (2, 1))]
    out: Ints = np.sort(np.stack(five), axis=0)[2]
    return out
