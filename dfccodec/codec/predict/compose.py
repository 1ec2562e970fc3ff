"""Motion of frames that lose a reference frame when a clip is trimmed: vectors are chained. Imports no torch.

A kept frame that is dropped still has the motion it was predicted with. A frame that referred to it is given the sum of
its own vector and of the vector of the block it pointed to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blocks import BLOCK, FUTURE, MODEL, MODES, PAST, MotionField, References

RADIUS = 2
"""Blocks around a block whose chained motion is taken into account."""

UNUSED = np.int16(0x7FFF)
"""Stands for a vector that is not used, after all others."""

Shorts = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class _Decisions:
    """Decisions of a frame against reference frames that remain.

    Attributes:
        modes: (rows, columns).
        vectors: (rows, columns, 2, 2), into past and future; those that are not used are 0.
    """

    modes: npt.NDArray[np.uint8]
    vectors: Ints


def compose(dropped: MotionField, predicted: MotionField, after: References, subpel: int) -> MotionField:
    """The motion of the dropped frames of a clip after some of its predicted frames were dropped.

    Frames that keep their reference frames keep their motion.

    Args:
        dropped: motion of the dropped frames before.
        predicted: motion of the predicted kept frames before.
        after: the dropped frames now, and the nearest kept frames now; frame numbers as before.
        subpel: units of a vector in a pixel.
    """
    rows, columns = dropped.blocks.shape[1:3] if len(dropped.blocks) else predicted.blocks.shape[1:3]
    chain = _Chain([dropped, predicted], after, subpel)
    kept = {*after.past.tolist(), *after.future.tolist()}
    out = np.zeros((len(after.dropped), rows, columns, 5), np.int16)
    chained: list[int] = []
    for number, frame in enumerate(after.dropped.tolist()):
        if not chain.moves(frame):  # it was an intra frame
            continue
        found = chain.resolve(frame, kept)
        out[number, ..., 0] = found.modes
        out[number, ..., 1:] = found.vectors.reshape(rows, columns, 4)
        if chain.is_direct(frame, kept):
            continue
        # At the ends of a clip, a frame may have fewer reference frames than those it was chained to.
        for first, side, mode in ((1, after.past, PAST), (3, after.future, FUTURE)):
            if side[number] < 0:
                out[number, ..., 0] &= ~np.int16(mode)
                out[number, ..., first : first + 2] = 0
        chained.append(number)
    out[chained] = _smoothed(out[chained])
    return MotionField(after, out)


def _smoothed(blocks: Shorts) -> Shorts:
    """Decisions (n, rows, columns, 5), each with the commonest mode and the median vectors of its neighbourhood.

    Chained vectors are noisy, which costs bits: as they are, a trimmed file may be larger than the file was.
    """
    modes, out = blocks[..., 0], np.zeros_like(blocks)
    around = (0,), (RADIUS,), (RADIUS,)
    padded = np.pad(modes, around, "edge")
    out[..., 0] = np.stack([_count(padded == mode) for mode in range(MODES)]).argmax(axis=0)
    for first, mode in ((1, PAST), (3, FUTURE)):
        used = (modes & mode) != 0
        vectors = np.where(used[..., None], blocks[..., first : first + 2], UNUSED)
        near = np.stack(_shifted(np.pad(vectors, (*around, (0,)), constant_values=UNUSED)))
        _sort_first_axis(near)
        middle = (np.maximum(_count(np.pad(used, around)), 1) - 1) // 2
        median = np.take_along_axis(near, middle[None, ..., None].astype(np.intp), axis=0)[0]
        wanted = (out[..., 0] & mode) != 0  # then at least one block of the window has a vector
        out[wanted, first : first + 2] = median[wanted]
    return out


def _shifted(padded: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The neighbours of each block, by their place, of numbers (n, rows, columns, …) padded by RADIUS."""
    side = 2 * RADIUS + 1
    rows, columns = padded.shape[1] - 2 * RADIUS, padded.shape[2] - 2 * RADIUS
    return [padded[:, y : y + rows, x : x + columns] for y in range(side) for x in range(side)]


def _count(padded: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """How many blocks of the neighbourhood of each block are true."""
    first, *rest = _shifted(padded)
    out = first.astype(np.uint8)
    for part in rest:
        out += part
    return out


def _sort_first_axis(numbers: Shorts) -> None:
    """Sort along the first axis, in place, by Batcher's network of comparisons (Knuth, "The Art of Computer
    Programming" 3, algorithm 5.2.2 M): a short axis is sorted several times faster than by `np.sort`."""
    count = len(numbers)
    top = step = 1 << max(count - 1, 1).bit_length() - 1
    while step:
        limit, remainder, distance = top, 0, step
        while True:
            for i in range(count - distance):
                if i & step == remainder:
                    lower = np.minimum(numbers[i], numbers[i + distance])
                    np.maximum(numbers[i], numbers[i + distance], out=numbers[i + distance])
                    numbers[i] = lower
            if limit == step:
                break
            distance, limit, remainder = limit - step, limit >> 1, step
        step >>= 1


class _Chain:
    """Chains the motion of frames until it leads to frames that are kept."""

    def __init__(self, fields: list[MotionField], after: References, subpel: int) -> None:
        self._block = subpel * BLOCK
        self._own: dict[int, tuple[Shorts, int, int]] = {}
        for field in fields:
            references = field.references
            for number, frame in enumerate(references.dropped.tolist()):
                sides = int(references.past[number]), int(references.future[number])
                self._own[frame] = field.blocks[number], *sides
        ends = zip(after.dropped.tolist(), after.past.tolist(), after.future.tolist(), strict=True)
        self._ends = {frame: (past, future) for frame, past, future in ends}
        self._found: dict[int, _Decisions] = {}

    def moves(self, frame: int) -> bool:
        """Whether the motion of a frame is known."""
        return frame in self._own

    def is_direct(self, frame: int, kept: set[int]) -> bool:
        """Whether all reference frames of a frame are in `kept`, so that its motion is its own."""
        _, past, future = self._own[frame]
        return {past, future} - {-1} <= kept

    def resolve(self, frame: int, kept: set[int]) -> _Decisions:
        """Decisions of a frame against the frames in `kept`."""
        if frame in self._found:
            return self._found[frame]
        blocks, past, future = self._own[frame]
        modes = blocks[..., 0].astype(np.uint8)
        vectors = blocks[..., 1:].reshape(*modes.shape, 2, 2).astype(np.int32)
        out = _Decisions(np.zeros_like(modes), np.zeros_like(vectors))
        sides = [(0, past, PAST), (1, future, FUTURE)]
        for side, reference, mode in sorted(sides, key=lambda way: way[1] not in kept):  # direct vectors come first
            used = (modes & mode) != 0
            if reference in kept:
                _offer(out, used, np.full(modes.shape, mode, np.uint8), vectors)
            elif self.moves(reference) and reference in self._ends:  # not beyond the ends of a part of the clip
                there = self.resolve(reference, kept)
                at = self._pointed_to(vectors[..., side, :], modes.shape)
                _offer(out, used, there.modes[at], vectors[..., side, None, :] + there.vectors[at])
                # A blend has no vectors: what it blended moves evenly.
                _offer(out, modes == MODEL, there.modes, self._scaled(there.vectors, reference, frame))
        used = (out.modes[..., None] & np.array([PAST, FUTURE], np.uint8)) != 0
        out.vectors[~used] = 0
        np.clip(out.vectors, -32768, 32767, out=out.vectors)
        self._found[frame] = out
        return out

    def _scaled(self, vectors: Ints, reference: int, frame: int) -> Ints:
        """Vectors of `reference` (rows, columns, 2, 2), scaled to the distances of `frame` from the same two frames."""
        out = np.zeros_like(vectors)
        for side, (there, here) in enumerate(zip(self._ends[reference], self._ends[frame], strict=True)):
            if there >= 0 and there == here:
                out[..., side, :] = np.rint(vectors[..., side, :] * ((frame - here) / (reference - there)))
        return out

    def _pointed_to(self, vectors: Ints, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Row and column of the block that each block (rows, columns) points to with its vector (rows, columns, 2)."""
        moved = np.floor_divide(vectors + self._block // 2, self._block)
        row, column = np.mgrid[: shape[0], : shape[1]]
        return np.clip(row + moved[..., 0], 0, shape[0] - 1), np.clip(column + moved[..., 1], 0, shape[1] - 1)


def _offer(out: _Decisions, where: npt.NDArray[np.bool_], modes: npt.NDArray[np.uint8], vectors: Ints) -> None:
    """Use modes and vectors in the blocks `where`, on sides that have no vector yet."""
    for side, mode in enumerate((PAST, FUTURE)):
        new = where & ((modes & mode) != 0) & ((out.modes & mode) == 0)
        out.modes[new] |= mode
        out.vectors[new, side] = vectors[new, side]
