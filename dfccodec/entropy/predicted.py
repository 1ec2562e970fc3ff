"""Predicted coding of latents (SPEC.md 7.10): how the latents of a clip are divided, and their integers.

The integers of *intra* frames are latents, those of *predicted* frames are prediction residuals. Both are streams of
the range coding. The motion of the predicted frames is a third stream, which only pictures need.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfccodec.container.records import Clip, Header
from dfccodec.entropy.rans import decode_range, encode_range
from dfccodec.errors import DamagedError, UnsupportedError
from dfccodec.limits import MAX_QP

Bools = npt.NDArray[np.bool_]

TOOLS = 0
"""Value of the field `tools`; readers reject other values, which later versions may use."""

_INTRA = 0x80
_HEAD = "<BII"


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
class PredictedParts:
    """The latents of a clip, divided.

    Attributes:
        types: quantizer and type of each kept frame.
        motion: coded motion of the predicted frames.
        latents: coded integers of the intra frames.
        residuals: coded integers of the predicted frames.
    """

    types: FrameTypes
    motion: bytes
    latents: bytes
    residuals: bytes


def divide(clip: Clip) -> PredictedParts:
    """Divide the latents of a clip with kept frames.

    Raises:
        DamagedError: a field is out of range, or sizes do not agree.
        UnsupportedError: the clip uses tools of a later version.
    """
    data, kept = clip.latents, int(clip.kept.sum())
    head = struct.calcsize(_HEAD)
    if data[:1] not in (b"", bytes([TOOLS])):  # first: later tools may have another layout
        raise UnsupportedError(f"latents: tools {data[0]} of coding 3 are not known to this reader: get a newer dfc")
    if len(data) < head + kept:
        raise DamagedError(f"latents: {len(data)} bytes, the head of coding 3 has {head + kept}")
    _, motion, latents = struct.unpack_from(_HEAD, data)
    frames = np.frombuffer(data, np.uint8, kept, head)
    types = FrameTypes(frames & ~np.uint8(_INTRA), (frames & _INTRA) != 0)
    if (types.qp > MAX_QP).any():
        raise DamagedError(f"latents: QP {types.qp.max()} of a kept frame: must be 0 to {MAX_QP}")
    if not types.intra[0]:
        raise DamagedError("latents: the first frame in coding order is predicted")
    if head + kept + motion + latents > len(data):
        raise DamagedError(f"latents: {len(data)} bytes, the streams need more than {motion + latents}")
    body = data[head + kept :]
    return PredictedParts(types, body[:motion], body[motion : motion + latents], body[motion + latents :])


def join(types: FrameTypes, motion: bytes, values: np.ndarray) -> bytes:
    """Code the latents of a clip.

    Args:
        types: of the kept frames, in coding order.
        motion: coded motion of the predicted frames.
        values: (K, tiles, rows, columns, C) int16, in coding order.
    """
    if not len(values):
        return b""
    latents, residuals = (encode_range(values[which]) for which in (types.intra, ~types.intra))
    frames = (types.qp | np.where(types.intra, _INTRA, 0)).astype(np.uint8)
    return struct.pack(_HEAD, TOOLS, len(motion), len(latents)) + frames.tobytes() + motion + latents + residuals


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
    latents = decode_range(parts.latents, int(intra.sum()), grid, channels)
    residuals = decode_range(parts.residuals, int((~intra).sum()), grid, channels)
    values = np.empty((len(order), *grid, channels), np.int16)
    place = np.argsort(np.argsort(order))
    values[place[intra]], values[place[~intra]] = latents, residuals
    return values
