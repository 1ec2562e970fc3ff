"""Overlapped block motion compensation (OBMC) of fill policy `motion` (SPEC.md 7.8)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from dfccodec.codec.motion.blocks import BI, BLOCK, MODEL, SUBPEL, MotionField, uses
from dfccodec.native import kernels

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
OVERLAP = BLOCK // 2
"""Pixels by which the window of a block overlaps each neighbour."""
NONE = np.zeros(0, np.float32)
"""Stands for a picture that does not exist in calls of a kernel."""
WINDOW_SIZE = BLOCK + 2 * OVERLAP
PADDING = BLOCK + 5
"""Pixels of edge padding around a picture, 2 of them for the filter. Farther out every sample equals its nearest edge
pixel, so this is enough."""
TAPS = np.array([1, -5, 20, 20, -5, 1])
"""Filter for samples between pixels, in 1 / 32: that of H.264 (ITU-T H.264, 8.4.2.2.1)."""


class Composer:
    """Reconstructs the dropped frames of a clip by motion compensation; frames arrive in decode order.

    Args:
        decisions: modes and vectors.
        six_tap: whether samples between pixels come from the filter of six taps; else they are linearly interpolated.
    """

    def __init__(self, decisions: MotionField, six_tap: bool = False) -> None:
        references = decisions.references
        self._decisions, self._six_tap = decisions, six_tap
        self._number = {int(frame): number for number, frame in enumerate(references.dropped)}
        self._references = {*references.past.tolist(), *references.future.tolist()}
        self._kept: dict[int, Floats] = {}

    def add_reference(self, frame: int, picture: Floats) -> None:
        """Add kept frame `frame` of the clip, (H, W, 3) in 0…1."""
        if frame in self._references:
            self._kept[frame] = pad_edges(picture)

    def reconstruct(self, frame: int, estimate: Floats) -> Floats:
        """Reconstruct dropped frame `frame` from its network prediction `estimate`, (H, W, 3) in 0…1.

        The filter of six taps may exceed 0…1; see `clip.frame_buffer.round_samples`.
        """
        number, references = self._number[frame], self._decisions.references
        chosen = self._decisions.blocks[number]
        if not chosen[..., 0].any():
            return estimate
        past, future = (self._kept.get(int(side[number])) for side in (references.past, references.future))
        return compensate_frame(estimate, past, future, chosen, self._six_tap)

    def compose(self, frame: int, out: npt.NDArray[np.uint8]) -> None:
        """Reconstruct dropped frame `frame` of fill policy `blend` to `out`, (H, W, 3), rounded half up.

        The same as `reconstruct` of the picture of a `ReferenceBlender`, but in one pass. It needs the kernels.
        """
        assert kernels is not None
        number, references = self._number[frame], self._decisions.references
        blocks = np.ascontiguousarray(self._decisions.blocks[number])
        past, future = int(references.past[number]), int(references.future[number])
        kernels.compensate(
            *out.shape[:2], *blocks.shape[:2], NONE, self._kept.get(past, NONE), self._kept.get(future, NONE),
            blend_weight(frame, past, future), blocks, obmc_weights(), out, True, self._six_tap,
        )  # fmt: skip


def blend_weight(frame: int, past: int, future: int) -> float:
    """Position of a frame between its references, 0…1, as float32; without one of them 0."""
    return float(np.float32((frame - past) / (future - past))) if past >= 0 and future >= 0 else 0.0


def pad_edges(picture: Floats) -> Floats:
    """Pad a picture (H, W, 3) with PADDING edge pixels; the result is contiguous, as `interpolate` requires.

    np.pad keeps the memory order of the axes, which may differ in a network output, for example if it is one pixel
    high.
    """
    return np.ascontiguousarray(np.pad(picture, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)), mode="edge"))


def compensate_frame(
    estimate: Floats, past: Floats | None, future: Floats | None, decisions: npt.NDArray[np.int16],
    six_tap: bool = False,
) -> Floats:  # fmt: skip
    """Reconstruct a dropped frame (H, W, 3) from its network prediction and its padded references; see `Composer`.

    The picture is divided into squares of BLOCK pixels between the centres of four blocks. If the four blocks agree, as
    they mostly do, one prediction is enough. Blocks outside the picture repeat those at its edge, so the weights sum to
    1 there too.
    """
    height, width = estimate.shape[:2]
    rows, columns, _ = decisions.shape
    if kernels is not None:
        made = np.empty((height, width, 3), np.float32)
        kernels.compensate(
            height, width, rows, columns, pad_edges(estimate), NONE if past is None else past,
            NONE if future is None else future, 0.0, np.ascontiguousarray(decisions), obmc_weights(), made, False,
            six_tap,
        )  # fmt: skip
        return made
    padded = np.pad(decisions, ((1, 1), (1, 1), (0, 0)), mode="edge")
    four = np.stack([padded[i : i + rows + 1, j : j + columns + 1] for i in (0, 1) for j in (0, 1)]).reshape(4, -1, 5)
    agreed = (four[1:] == four[0]).all(axis=(0, 2))
    corners = np.stack(np.divmod(np.arange(len(agreed)), columns + 1), axis=1).astype(np.int32) * BLOCK - OVERLAP
    model, kept = pad_edges(estimate), (past, future)
    squares = np.empty((len(agreed), BLOCK, BLOCK, 3), np.float32)
    one, many = np.flatnonzero(agreed), np.flatnonzero(~agreed)
    squares[one] = predict_blocks(model, kept, corners[one], four[0, one], six_tap)
    total = np.zeros((many.size, BLOCK, BLOCK, 3), np.float32)
    for weights, chosen in zip(obmc_weights(), four, strict=True):
        total += predict_blocks(model, kept, corners[many], chosen[many], six_tap) * weights
    squares[many] = total
    whole = squares.reshape(rows + 1, columns + 1, BLOCK, BLOCK, 3).swapaxes(1, 2)
    whole = whole.reshape((rows + 1) * BLOCK, (columns + 1) * BLOCK, 3)
    out: Floats = whole[OVERLAP : OVERLAP + height, OVERLAP : OVERLAP + width]
    return out


def predict_blocks(
    estimate: Floats, kept: tuple[Floats | None, Floats | None], corners: Ints, decisions: npt.NDArray[np.int16],
    six_tap: bool = False,
) -> Floats:  # fmt: skip
    """Predict squares of BLOCK pixels at `corners` (n, 2) by `decisions` (n, 5) from padded pictures."""
    out = np.zeros((len(corners), BLOCK, BLOCK, 3), np.float32)
    modes, vectors = decisions[:, 0].astype(np.uint8), decisions[:, 1:].astype(np.int32).reshape(-1, 2, 2)
    where = np.flatnonzero(modes == MODEL)
    out[where] = interpolate(estimate, corners[where], np.zeros((where.size, 2), np.int32))
    used = uses(modes)
    for side, source in enumerate(kept):
        where = np.flatnonzero(used[:, side])
        if source is not None:
            out[where] += interpolate(source, corners[where], vectors[where, side], six_tap)
    out[modes == BI] *= np.float32(0.5)
    return out


def interpolate(source: Floats, corners: Ints, vectors: Ints, six_tap: bool = False) -> Floats:
    """Squares of BLOCK pixels of a padded picture at `corners` (n, 2) + `vectors` (n, 2) / SUBPEL. Samples between
    pixels are linearly interpolated, or come from the filter TAPS."""
    assert source.flags.c_contiguous  # otherwise the view below would be out of bounds
    height, width = source.shape[:2]
    whole, part = vectors // SUBPEL, vectors % SUBPEL
    before, more = (2, 5) if six_tap else (0, 1)
    before, more = (before, more) if part.any() else (0, 0)
    # Farther out all samples are equal, so the position can be clamped.
    limit = height - 2 * PADDING + 2, width - 2 * PADDING + 2
    y, x = (np.clip(corners + whole, 2 - PADDING, limit) + PADDING - before).T
    side = BLOCK + more
    a, b, c = source.strides
    shape = (height - side + 1, width - side + 1, side, side * 3)
    out: Floats = as_strided(source, shape, (a, b, a, c), writeable=False)[y, x].reshape(len(y), side, side, 3)
    if more:
        down, right = (part[:, axis, None, None, None] for axis in (0, 1))
        out = _half_pel(out, 1, before, down)
        out = _half_pel(out, 2, before, right)
    return out


def _half_pel(samples: Floats, axis: int, before: int, part: Ints) -> Floats:
    """Samples half a pixel further along an axis where `part` is not 0, without those around that the filter needs."""

    def at(place: int) -> Floats:
        first = before + place
        return samples[:, first : first + BLOCK] if axis == 1 else samples[:, :, first : first + BLOCK]

    if not before:
        return at(0) + (at(1) - at(0)) * (part.astype(np.float32) / np.float32(SUBPEL))
    outer, inner, nearest = (at(-k) + at(k + 1) for k in (2, 1, 0))
    filtered = ((outer - inner * np.float32(5)) + nearest * np.float32(20)) * np.float32(1 / 32)
    return np.where(part != 0, filtered, at(0))


@lru_cache(maxsize=1)
def window() -> Floats:
    """Window of a block along one axis, (WINDOW_SIZE,); overlapping windows sum to 1."""
    out: Floats = (np.sin(np.pi * (np.arange(WINDOW_SIZE) + 0.5) / WINDOW_SIZE) ** 2).astype(np.float32)
    return out


@lru_cache(maxsize=1)
def obmc_weights() -> Floats:
    """Weights (4, BLOCK, BLOCK, 1) of the blocks above left, above right, below left and below right of a square."""
    references = window()[BLOCK:], window()[:BLOCK]
    out: Floats = np.stack([down[:, None] * right for down in references for right in references])[..., None]
    return out
