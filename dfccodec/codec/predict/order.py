"""References of predicted kept frames, and edits of clips that keep them (SPEC.md 7.10). Imports no torch."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import MotionField, References
from dfccodec.codec.motion.direct import DirectMotion
from dfccodec.codec.predict.compose import compose
from dfccodec.container.records import Clip, Coding, Header
from dfccodec.entropy.mixing.tables import Content
from dfccodec.entropy.motion_tools import dropped_content, has_direct_motion
from dfccodec.entropy.predicted import FrameTypes, decode_detail, divide, join
from dfccodec.errors import DamagedError

Bools = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


def references(order: Index, intra: Bools) -> References:
    """The predicted frames of a clip, in order of frames, and their reference frames.

    The references of a frame are the nearest frames before and after it that come earlier in the coding order.

    Args:
        order: (K,) frame numbers in coding order.
        intra: (K,) whether each is an intra frame.
    """
    found = []
    for position in np.flatnonzero(~intra).tolist():
        frame, known = order[position], order[:position]
        past, future = known[known < frame], known[known > frame]
        found.append((frame, past.max() if past.size else -1, future.min() if future.size else -1))
    table = np.array(sorted(found), np.intp).reshape(-1, 3)
    return References(table[:, 0], table[:, 1], table[:, 2])


def read_motion(clip: Clip, header: Header) -> MotionField:
    """Decode the motion of the predicted frames of a clip.

    Raises:
        DamagedError: the latents or the motion are invalid.
    """
    parts = divide(clip)
    if parts.motion and parts.types.intra.all():
        raise DamagedError(f"latents: {len(parts.motion)} bytes of motion, but no frame is predicted")
    found = references(clip.coding_order, parts.types.intra)
    content = Content.KEPT_MOTION if parts.mixed else None
    return payload.read_field(parts.motion, found, header, "motion of kept frames", content)


def direct_motion(clip: Clip, header: Header) -> DirectMotion | None:
    """The direct motion of a clip in the predicted coding; None if it has none.

    Raises:
        DamagedError: the latents or the motion are invalid.
    """
    if not has_direct_motion(clip):
        return None
    field, out = read_motion(clip, header), DirectMotion()
    ends = zip(field.references.past.tolist(), field.references.future.tolist(), field.blocks, strict=True)
    moved = dict(zip(field.references.dropped.tolist(), ends, strict=True))
    for frame in clip.coding_order.tolist():
        if frame in moved:
            out.add(frame, *moved[frame])
    return out


def check_pictures(clip: Clip, header: Header) -> None:
    """Check what only the pictures of the kept frames of a clip need, in any coding: motion and details.

    Raises:
        DamagedError: it is invalid.
        LimitError: a frame has more integers of details than its bytes can hold.
    """
    if clip.coding == Coding.PREDICTED and clip.kept.any():
        read_motion(clip, header)
        for detail in divide(clip).details:
            if detail is not None:
                decode_detail(detail, header)


def bisecting_order(kept: Bools) -> Index:
    """Coding order (K,) of kept frames: the middle one, then always the frame farthest from those before it.

    So references are near, and the first frames of the order are spread over the clip, whatever their number.
    """
    left = np.flatnonzero(kept)
    if not left.size:
        return left
    out = [left[len(left) // 2]]
    distance = np.abs(left - out[0])
    while len(out) < len(left):
        out.append(left[int(distance.argmax())])
        distance = np.minimum(distance, np.abs(left - out[-1]))
    return np.array(out, np.intp)


def order_importance(importance: npt.NDArray[np.uint8], order: Index) -> npt.NDArray[np.uint8]:
    """Permute the importance (T,) of the frames in `order` (K,) so that it falls strictly in that order.

    It is changed no further than needed: equal values are raised from the last frame on.
    """
    out = importance.copy()
    values = np.sort(importance[order].astype(np.int64))
    step = np.arange(len(order))
    values = np.minimum(np.maximum.accumulate(values - step) + step, 255 - step[::-1])
    out[order] = values[::-1]
    return out


def keeps_references(clip: Clip, part: Clip, first: int) -> bool:
    """Whether every predicted frame of a part of a clip keeps its reference frames, so that no model is needed.

    Args:
        clip: the clip.
        part: its record with other `kept` and `importance`.
        first: number of the first frame of the part in the clip.

    Raises:
        DamagedError: the latents of the clip are invalid.
    """
    old, new = clip.coding_order, part.coding_order + first
    if not np.isin(new, old).all():
        return False
    if not len(new):
        return True
    types = divide(clip).types
    intra = types.intra[_places(old, new)]
    before, after = references(old, types.intra), references(new, intra)
    at = np.searchsorted(before.dropped, after.dropped)
    same = np.array_equal(before.past[at], after.past) and np.array_equal(before.future[at], after.future)
    return bool(intra[0]) and same


def trim(clip: Clip, header: Header, part: Clip, values: np.ndarray, first: int) -> Clip:
    """Code a part of a clip: fewer kept frames, or a range of its frames. Motion is chained to those left.

    Args:
        clip: the clip.
        header: header of its file.
        part: its record with other `kept` and `importance`, for which `keeps_references` is true; its latents and its
            fill payload are replaced.
        values: integers (K', 1, rows, columns, C) of the kept frames that remain, in order of frames.
        first: number of the first frame of the part in the clip.

    Raises:
        DamagedError: the latents or the motion are invalid.
    """
    if not part.kept.any():
        return dataclasses.replace(part, latents=b"", fill_payload=b"")
    old, new = clip.coding_order, part.coding_order + first
    parts, place = divide(clip), _places(old, new)
    types = FrameTypes(parts.types.qp[place], parts.types.intra[place])
    predicted, after = read_motion(clip, header), references(new, types.intra)
    at = np.searchsorted(predicted.references.dropped, after.dropped)
    content = Content.KEPT_MOTION if parts.mixed else None
    motion = payload.write(MotionField(after, np.ascontiguousarray(predicted.blocks[at])), content)
    details = [parts.details[position] for position in place.tolist()]
    latents = join(
        types, motion, values[np.argsort(np.argsort(new))], details, parts.motion_filter, parts.direct, parts.mixed
    )
    fill = _dropped_motion(clip, header, predicted, part, first)
    return dataclasses.replace(part, latents=latents, fill_payload=fill)


def _places(old: Index, new: Index) -> Index:
    """Position in the coding order `old` of each frame of `new`."""
    sorter = np.argsort(old)
    out: Index = sorter[np.searchsorted(old, new, sorter=sorter)]
    return out


def _dropped_motion(clip: Clip, header: Header, predicted: MotionField, part: Clip, first: int) -> bytes:
    """Fill payload of a part of a clip."""
    after = References.of(part.kept)
    if not len(after.dropped):
        return b""
    past, future = (np.where(side < 0, -1, side + first) for side in (after.past, after.future))
    dropped = payload.read_clip(clip, header)
    ends = References(after.dropped + first, past, future)
    moved = compose(dropped, predicted, ends, divide(clip).motion_filter.subpel)
    return payload.write(MotionField(after, moved.blocks), dropped_content(clip))
