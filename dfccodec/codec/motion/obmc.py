"""Overlapped block motion compensation (OBMC) of fill policy `motion` (SPEC.md 7.8)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from dfccodec.codec.motion.blocks import BI, BLOCK, MODEL, MotionField, uses
from dfccodec.codec.motion.direct import DirectMotion
from dfccodec.container.records import MotionFilter
from dfccodec.native import kernels

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
OVERLAP = BLOCK // 2
"""Pixels by which the window of a block overlaps each neighbour."""
NONE = np.zeros(0, np.float32)
"""Stands for a picture that does not exist in calls of a kernel."""
WINDOW_SIZE = BLOCK + 2 * OVERLAP
PADDING = BLOCK + 7
"""Pixels of edge padding around a picture, 3 of them for the filter. Farther out every sample equals its nearest edge
pixel, so this is enough."""

_WHOLE = (0, 0, 0, 64, 0, 0, 0, 0)
_HALF_SIX = (0, 2, -10, 40, 40, -10, 2, 0)
_HALF, _QUARTER = (-1, 4, -11, 40, 40, -11, 4, -1), (-1, 4, -10, 58, 17, -5, 1, 0)
TAPS = {
    MotionFilter.SIX_TAP: np.array([_WHOLE, _HALF_SIX], np.float32) / np.float32(64),
    MotionFilter.EIGHT_TAP: np.array([_WHOLE, _HALF], np.float32) / np.float32(64),
    MotionFilter.QUARTER: np.array([_WHOLE, _QUARTER, _HALF, _QUARTER[::-1]], np.float32) / np.float32(64),
}
"""Filters (phases, 8) for samples between pixels, of the pixels −3 to 4: that of H.264 (ITU-T H.264, 8.4.2.2.1), and
those of HEVC (ITU-T H.265, 8.5.3.3.3.1)."""
NO_TAPS = np.zeros(0, np.float32)
"""Stands for linear interpolation in calls of a kernel."""


class Composer:
    """Reconstructs the dropped frames of a clip by motion compensation; frames arrive in decode order.

    Args:
        decisions: modes and vectors.
        motion_filter: of samples between pixels.
        direct: direct motion of the clip, if it has any. Then blocks of mode 0 are blends of the references.
    """

    def __init__(
        self, decisions: MotionField, motion_filter: MotionFilter = MotionFilter.LINEAR,
        direct: DirectMotion | None = None,
    ) -> None:  # fmt: skip
        references = decisions.references
        self._decisions, self._filter, self._direct = decisions, motion_filter, direct
        self._number = {int(frame): number for number, frame in enumerate(references.dropped)}
        self._references = {*references.past.tolist(), *references.future.tolist()}
        self._kept: dict[int, Floats] = {}

    def add_reference(self, frame: int, picture: Floats) -> None:
        """Add kept frame `frame` of the clip, (H, W, 3) in 0…1."""
        if frame in self._references:
            self._kept[frame] = pad_edges(picture)

    def reconstruct(self, frame: int, estimate: Floats) -> Floats:
        """Reconstruct dropped frame `frame` from its network prediction `estimate`, (H, W, 3) in 0…1.

        Filters may exceed 0…1; see `clip.frame_buffer.round_samples`.
        """
        past, future, chosen = self._sides_and_blocks(frame)
        if not chosen.any():
            return estimate
        fraction = None if self._direct is None else blend_weight(frame, past, future)
        sides = self._kept.get(past), self._kept.get(future)
        return compensate_frame(estimate, *sides, chosen, self._filter, fraction)

    def compose(self, frame: int, out: npt.NDArray[np.uint8]) -> None:
        """Reconstruct dropped frame `frame` of fill policy `blend` to `out`, (H, W, 3), rounded half up.

        The same as `reconstruct` of the picture of a `ReferenceBlender`, but in one pass. It needs the kernels.
        """
        assert kernels is not None
        past, future, blocks = self._sides_and_blocks(frame)
        kernels.compensate(
            *out.shape[:2], *blocks.shape[:2], NONE, self._kept.get(past, NONE), self._kept.get(future, NONE),
            blend_weight(frame, past, future), blocks, obmc_weights(), out, True, TAPS.get(self._filter, NO_TAPS),
        )  # fmt: skip

    def _sides_and_blocks(self, frame: int) -> tuple[int, int, npt.NDArray[np.int16]]:
        """References of a dropped frame, and its decisions (rows, columns, 5) with direct vectors."""
        number, references = self._number[frame], self._decisions.references
        past, future = int(references.past[number]), int(references.future[number])
        blocks = np.ascontiguousarray(self._decisions.blocks[number])
        return past, future, blocks if self._direct is None else self._direct.fill(frame, past, future, blocks)


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
    motion_filter: MotionFilter = MotionFilter.LINEAR, fraction: float | None = None,
) -> Floats:  # fmt: skip
    """Reconstruct a dropped frame (H, W, 3) from its network prediction and its padded references; see `Composer`.

    If `fraction` is given, blocks of mode 0 are blends of the references, at their direct vectors, at that position
    between past and future. `estimate` then only tells the size.

    The picture is divided into squares of BLOCK pixels between the centres of four blocks. If the four blocks agree, as
    they mostly do, one prediction is enough. Blocks outside the picture repeat those at its edge, so the weights sum to
    1 there too.
    """
    height, width = estimate.shape[:2]
    rows, columns, _ = decisions.shape
    if kernels is not None:
        made = np.empty((height, width, 3), np.float32)
        kernels.compensate(
            height, width, rows, columns, NONE if fraction is not None else pad_edges(estimate),
            NONE if past is None else past, NONE if future is None else future, fraction or 0.0,
            np.ascontiguousarray(decisions), obmc_weights(), made, False, TAPS.get(motion_filter, NO_TAPS),
        )  # fmt: skip
        return made
    padded = np.pad(decisions, ((1, 1), (1, 1), (0, 0)), mode="edge")
    four = np.stack([padded[i : i + rows + 1, j : j + columns + 1] for i in (0, 1) for j in (0, 1)]).reshape(4, -1, 5)
    agreed = (four[1:] == four[0]).all(axis=(0, 2))
    corners = np.stack(np.divmod(np.arange(len(agreed)), columns + 1), axis=1).astype(np.int32) * BLOCK - OVERLAP
    model, kept = pad_edges(estimate) if fraction is None else fraction, (past, future)
    squares = np.empty((len(agreed), BLOCK, BLOCK, 3), np.float32)
    one, many = np.flatnonzero(agreed), np.flatnonzero(~agreed)
    squares[one] = predict_blocks(model, kept, corners[one], four[0, one], motion_filter)
    total = np.zeros((many.size, BLOCK, BLOCK, 3), np.float32)
    for weights, chosen in zip(obmc_weights(), four, strict=True):
        total += predict_blocks(model, kept, corners[many], chosen[many], motion_filter) * weights
    squares[many] = total
    whole = squares.reshape(rows + 1, columns + 1, BLOCK, BLOCK, 3).swapaxes(1, 2)
    whole = whole.reshape((rows + 1) * BLOCK, (columns + 1) * BLOCK, 3)
    out: Floats = whole[OVERLAP : OVERLAP + height, OVERLAP : OVERLAP + width]
    return out


def predict_blocks(
    estimate: Floats | float, kept: tuple[Floats | None, Floats | None], corners: Ints,
    decisions: npt.NDArray[np.int16], motion_filter: MotionFilter = MotionFilter.LINEAR,
) -> Floats:  # fmt: skip
    """Predict squares of BLOCK pixels at `corners` (n, 2) by `decisions` (n, 5) from padded pictures.

    Instead of an estimate there may be the position between past and future of a blend of these pictures.
    """
    out = np.zeros((len(corners), BLOCK, BLOCK, 3), np.float32)
    modes, vectors = decisions[:, 0].astype(np.uint8), decisions[:, 1:].astype(np.int32).reshape(-1, 2, 2)
    where = np.flatnonzero(modes == MODEL)
    still = np.zeros((where.size, 2), np.int32)
    known = [source for source in kept if source is not None]
    if not isinstance(estimate, float):
        out[where] = interpolate(estimate, corners[where], still)
    elif len(known) == 1:
        out[where] = interpolate(known[0], corners[where], still)
    else:
        a, b = (interpolate(known[side], corners[where], vectors[where, side], motion_filter) for side in (0, 1))
        out[where] = a + (b - a) * np.float32(estimate)
    used = uses(modes)
    for side, source in enumerate(kept):
        where = np.flatnonzero(used[:, side])
        if source is not None:
            out[where] += interpolate(source, corners[where], vectors[where, side], motion_filter)
    out[modes == BI] *= np.float32(0.5)
    return out


def interpolate(
    source: Floats, corners: Ints, vectors: Ints, motion_filter: MotionFilter = MotionFilter.LINEAR
) -> Floats:  # fmt: skip
    """Squares of BLOCK pixels of a padded picture at `corners` (n, 2) + `vectors` (n, 2), which are in units of
    1 / `motion_filter.subpel` pixel. Samples between pixels come from the filter."""
    assert source.flags.c_contiguous  # otherwise the view below would be out of bounds
    height, width = source.shape[:2]
    whole, part = np.divmod(vectors, motion_filter.subpel)
    before, more = (0, 1) if motion_filter == MotionFilter.LINEAR else (3, 7)
    before, more = (before, more) if part.any() else (0, 0)
    # Farther out all samples are equal, so the position can be clamped.
    limit = height - 2 * PADDING + 3, width - 2 * PADDING + 3
    y, x = (np.clip(corners + whole, 3 - PADDING, limit) + PADDING - before).T
    side = BLOCK + more
    a, b, c = source.strides
    shape = (height - side + 1, width - side + 1, side, side * 3)
    out: Floats = as_strided(source, shape, (a, b, a, c), writeable=False)[y, x].reshape(len(y), side, side, 3)
    for axis in (0, 1) if more else ():
        out = _between(out, axis + 1, part[:, axis], motion_filter)
    return out


def _between(samples: Floats, axis: int, part: Ints, motion_filter: MotionFilter) -> Floats:
    """Samples `part` (n,) of a pixel further along an axis, without those around that the filter needs."""

    def at(place: int) -> Floats:
        return samples[:, place : place + BLOCK] if axis == 1 else samples[:, :, place : place + BLOCK]

    weights = part[:, None, None, None]
    if motion_filter == MotionFilter.LINEAR:
        return at(0) + (at(1) - at(0)) * (weights.astype(np.float32) / np.float32(motion_filter.subpel))
    taps = TAPS[motion_filter][part][..., None, None, None]
    filtered = at(0) * taps[:, 0]
    for place in range(1, 8):
        filtered = filtered + at(place) * taps[:, place]
    return np.where(weights != 0, filtered, at(3))


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
