"""Predicted coding of latents (SPEC.md 7.10): how the latents of a clip are divided, and their integers.

The integers of *intra* frames are latents, those of *predicted* frames are prediction residuals. Both are streams of
context mixing or, in older files, of the range coding. The motion of the predicted frames is a third stream, which only
pictures need. So are the *details* of kept frames, one stream each.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from dfccodec.container.records import Clip, Header, MotionFilter
from dfccodec.entropy.inter.motion_compensation import CHANNELS
from dfccodec.entropy.mixing.latents import decode_mixed, encode_mixed
from dfccodec.entropy.mixing.tables import Content
from dfccodec.entropy.motion_tools import DIRECT, FILTER, FILTER_SHIFT, MIXED
from dfccodec.entropy.rans import decode_range, encode_range
from dfccodec.entropy.zstd_coding import Grid
from dfccodec.errors import DamagedError, UnsupportedError
from dfccodec.limits import MAX_QP

Bools = npt.NDArray[np.bool_]

DETAILS = 1
"""Bit of the field `tools`: details. Readers reject bits other than this and those of `motion_tools`, which later
versions may use."""

DETAIL_BLOCK, DETAIL_CHANNELS = 8, 192
"""Side in pixels of a block of details, and its number of integers."""

LATENTS = Content.INTRA, Content.RESIDUAL
"""Both streams of integers, in the order of the layout."""

_INTRA, _DETAILED, _QP = 0x80, 0x40, 0x3F
_HEAD, _RESIDUALS, _DETAIL = "<BII", "<I", "<BI"


@dataclass(frozen=True)
class FrameTypes:
    """How the kept frames of a clip are coded, in coding order.

    Attributes:
        qp: (K,) uint8 quantizer index of each.
        intra: (K,) whether its integers are latents; the first frame always is.
    """

    qp: npt.NDArray[np.uint8]
    intra: Bools


@dataclass(frozen=True)
class Detail:
    """Coded details of a kept frame.

    Attributes:
        qp: their quantizer index.
        data: their integers, see :func:`encode_detail`.
        mixed: whether they are coded by context mixing, as the whole clip is.
    """

    qp: int
    data: bytes
    mixed: bool = True


@dataclass(frozen=True)
class PredictedParts:
    """The latents of a clip, divided.

    Attributes:
        types: quantizer and type of each kept frame.
        motion: coded motion of the predicted frames.
        latents: coded integers of the intra frames.
        residuals: coded integers of the predicted frames.
        details: of each kept frame, in coding order; None for those without.
        motion_filter: of the motion compensation, of dropped frames too.
        direct: whether blocks of mode 0 have direct motion, in dropped frames too.
        mixed: whether integers, motion, of dropped frames too, and details are coded by context mixing.
    """

    types: FrameTypes
    motion: bytes
    latents: bytes
    residuals: bytes
    details: list[Detail | None]
    motion_filter: MotionFilter
    direct: bool
    mixed: bool

    def decode(self, content: Content, grid: Grid, left: npt.NDArray[np.int32] | None = None) -> np.ndarray:
        """Decode the integers (n, 1, rows, columns, 96) int16 of the intra or of the predicted frames, in coding order.

        Args:
            content: INTRA or RESIDUAL.
            grid: (1, rows, columns) of tokens.
            left: (n,) for the words that are left after each frame, in context mixing only; or None.

        Raises:
            DamagedError: the coded bytes are invalid.
            LimitError: the declared sizes are over the limits.
        """
        intra = content == Content.INTRA
        data, count = (self.latents if intra else self.residuals), int((self.types.intra == intra).sum())
        if self.mixed:
            return decode_mixed(data, count, grid, content, left)
        return decode_range(data, count, grid, CHANNELS)


def divide(clip: Clip) -> PredictedParts:
    """Divide the latents of a clip with kept frames.

    Raises:
        DamagedError: a field is out of range, or sizes do not agree.
        UnsupportedError: the clip uses tools of a later version.
    """
    data, kept = clip.latents, int(clip.kept.sum())
    head = struct.calcsize(_HEAD)
    if data[:1] and data[0] & ~(DETAILS | FILTER | DIRECT | MIXED):  # first: later tools may have another layout
        raise UnsupportedError(f"latents: tools {data[0]} of coding 3 are not known to this reader: get a newer dfc")
    if len(data) < head + kept:
        raise DamagedError(f"latents: {len(data)} bytes, the head of coding 3 has {head + kept}")
    tools, motion, latents = struct.unpack_from(_HEAD, data)
    frames = np.frombuffer(data, np.uint8, kept, head)
    has_details, motion_filter = bool(tools & DETAILS), MotionFilter((tools & FILTER) >> FILTER_SHIFT)
    direct, mixed = bool(tools & DIRECT), bool(tools & MIXED)
    detailed = (frames & _DETAILED) != 0 if has_details else np.zeros(kept, bool)
    types = FrameTypes(frames & ~np.uint8(_INTRA | (_DETAILED if has_details else 0)), (frames & _INTRA) != 0)
    if (types.qp > MAX_QP).any():
        raise DamagedError(f"latents: QP {types.qp.max()} of a kept frame: must be 0 to {MAX_QP}")
    if not types.intra[0]:
        raise DamagedError("latents: the first frame in coding order is predicted")
    body = data[head + kept :]
    if has_details:
        return _divide_detailed(types, detailed, body, motion, latents, motion_filter, direct, mixed)
    if motion + latents > len(body):
        raise DamagedError(f"latents: {len(data)} bytes, the streams need more than {motion + latents}")
    streams = body[:motion], body[motion : motion + latents], body[motion + latents :]
    return PredictedParts(types, *streams, [None] * kept, motion_filter, direct, mixed)


def _divide_detailed(
    types: FrameTypes, detailed: Bools, body: bytes, motion: int, latents: int, motion_filter: MotionFilter,
    direct: bool, mixed: bool,
) -> PredictedParts:  # fmt: skip
    """Divide the bytes after the kinds of a clip with details."""
    at, each = struct.calcsize(_RESIDUALS), struct.calcsize(_DETAIL)
    streams = at + int(detailed.sum()) * each
    if streams > len(body):
        raise DamagedError(f"latents: {len(body)} bytes after the kinds, the head of the details has {streams}")
    table = list(struct.iter_unpack(_DETAIL, body[at:streams]))
    sizes = [motion, latents, *struct.unpack_from(_RESIDUALS, body), *(size for _, size in table)]
    if sum(sizes) != len(body) - streams:
        raise DamagedError(f"latents: {len(body) - streams} bytes of streams, their sizes sum to {sum(sizes)}")
    if any(qp > MAX_QP for qp, _ in table):
        raise DamagedError(f"latents: QP {max(qp for qp, _ in table)} of details: must be 0 to {MAX_QP}")
    parts = [body[a:b] for a, b in pairwise(accumulate(sizes, initial=streams))]
    found = iter([Detail(qp, data, mixed) for (qp, _), data in zip(table, parts[3:], strict=True)])
    of_frames = [next(found) if some else None for some in detailed.tolist()]
    return PredictedParts(types, parts[0], parts[1], parts[2], of_frames, motion_filter, direct, mixed)


def join(
    types: FrameTypes, motion: bytes, values: np.ndarray, details: Sequence[Detail | None] = (),
    motion_filter: MotionFilter = MotionFilter.LINEAR, direct: bool = False,
    mixed: bool = True,
) -> bytes:  # fmt: skip
    """Code the latents of a clip.

    Args:
        types: of the kept frames, in coding order.
        motion: coded motion of the predicted frames.
        values: (K, tiles, rows, columns, C) int16, in coding order.
        details: of each kept frame, in coding order; empty if no frame has any.
        motion_filter: of the motion compensation.
        direct: whether blocks of mode 0 have direct motion.
        mixed: whether the integers are to be coded by context mixing, as `motion` and `details` are.
    """
    if not len(values):
        return b""
    both = values[types.intra], values[~types.intra]
    if mixed:
        latents, residuals = (encode_mixed(each, content) for each, content in zip(both, LATENTS, strict=True))
    else:
        latents, residuals = (encode_range(each) for each in both)
    frames = (types.qp | np.where(types.intra, _INTRA, 0)).astype(np.uint8)
    found = [detail for detail in details if detail is not None]
    tools = (DETAILS if found else 0) | motion_filter << FILTER_SHIFT
    tools |= (DIRECT if direct else 0) | (MIXED if mixed else 0)
    head = struct.pack(_HEAD, tools, len(motion), len(latents))
    if not found:
        return head + frames.tobytes() + motion + latents + residuals
    frames |= np.where([detail is not None for detail in details], _DETAILED, 0).astype(np.uint8)
    table = b"".join(struct.pack(_DETAIL, detail.qp, len(detail.data)) for detail in found)
    head += frames.tobytes() + struct.pack(_RESIDUALS, len(residuals)) + table
    return head + motion + latents + residuals + b"".join(detail.data for detail in found)


def decode_predicted(clip: Clip, header: Header) -> np.ndarray:
    """Decode the integers of a clip: (K, tiles, rows, columns, C) int16, in order of frames, not in coding order.

    Raises:
        DamagedError: the coded bytes are invalid.
        LimitError: the declared sizes are over the limits.
        UnsupportedError: the clip uses tools of a later version.
    """
    order = clip.coding_order
    grid, channels = header.grid, header.channels
    if not len(order):
        return decode_range(clip.latents, 0, grid, channels)
    parts = divide(clip)
    intra = parts.types.intra
    if parts.residuals and intra.all():
        raise DamagedError(f"latents: {len(parts.residuals)} bytes of residuals, but no frame is predicted")
    # The limit on the integers of a clip is for both streams together: it is checked when a clip is unpacked.
    latents, residuals = (parts.decode(content, grid) for content in LATENTS)
    values = np.empty((len(order), *grid, channels), np.int16)
    place = np.argsort(np.argsort(order))
    values[place[intra]], values[place[~intra]] = latents, residuals
    return values


def encode_detail(values: np.ndarray) -> bytes:
    """Code the integers (rows, columns, 192) int16 of the details of a frame by context mixing."""
    return encode_mixed(values[None, None], Content.DETAIL)


def decode_detail(detail: Detail, header: Header) -> np.ndarray:
    """Decode the details of a frame: (rows, columns, 192) int16, of blocks of 8×8 pixels over all cells.

    Raises:
        DamagedError: the coded bytes are invalid.
        LimitError: more integers than the bytes can hold.
    """
    _, rows, columns = header.grid
    scale = header.patch // DETAIL_BLOCK
    grid = 1, scale * rows, scale * columns
    if detail.mixed:
        values = decode_mixed(detail.data, 1, grid, Content.DETAIL)
    else:
        values = decode_range(detail.data, 1, grid, DETAIL_CHANNELS)
    out: np.ndarray = values[0, 0]
    return out
