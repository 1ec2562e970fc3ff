"""Write and read the payload of fill policy `generate` (SPEC.md 7.9): the motion latents of a clip.

A payload is four bytes, then the integers in the coding of latents (SPEC.md 7.6), as if they were kept frames of a
smaller picture with 4 · waves channels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfccodec.container.records import Header
from dfccodec.entropy.rans import decode_range, encode_range
from dfccodec.errors import DamagedError

Floats = npt.NDArray[np.float32]
Shorts = npt.NDArray[np.int16]

CELL = 32
"""Side in pixels of a cell."""

NUMBERS_PER_WAVE = 4
MAX_WAVES, MAX_STEP = 16, 63

STEP_UNIT = 1 / 16
"""Step of index 0, in pixels; 8 more double it."""

HEAD = "<BBH"


@dataclass(frozen=True)
class MotionLatents:
    """The motion latents of a clip.

    Args:
        values: (K, gh, gw, 4 · waves) int16: for each wave sine down, sine right; then all cosines alike.
        step: index of the quantizer step, 0…63.
    """

    values: Shorts
    step: int

    def amplitudes(self) -> Floats:
        """(K, 4 · waves, gh, gw) in pixels."""
        out: Floats = (self.values * np.float32(step_size(self.step))).astype(np.float32).transpose(0, 3, 1, 2)
        return out

    @classmethod
    def quantize(cls, amplitudes: Floats, step: int) -> MotionLatents:
        """From amplitudes (K, 4 · waves, gh, gw) in pixels."""
        scaled = np.rint(amplitudes.transpose(0, 2, 3, 1) / step_size(step))
        return cls(np.clip(scaled, -32768, 32767).astype(np.int16), step)


def step_size(step: int) -> float:
    """Quantizer step in pixels."""
    return float(STEP_UNIT * 2 ** (step / 8))


def grid(header: Header) -> tuple[int, int]:
    """Rows and columns of cells of a picture."""
    return -(-header.height // CELL), -(-header.width // CELL)


def write(latents: MotionLatents) -> bytes:
    """Encode the motion latents of a clip; no bytes if all are 0."""
    if not latents.values.any():
        return b""
    waves = latents.values.shape[-1] // NUMBERS_PER_WAVE
    return struct.pack(HEAD, waves, latents.step, 0) + encode_range(latents.values[:, None])


def read(payload: bytes, kept: int, header: Header) -> MotionLatents | None:
    """Decode a payload of :func:`write`; None if it is empty.

    Args:
        payload: the bytes.
        kept: number of kept frames of the clip.
        header: header of the file.

    Raises:
        LimitError: more integers than the bytes can hold; nothing was allocated.
        DamagedError: the bytes are invalid.
    """
    if not payload:
        return None
    if len(payload) < struct.calcsize(HEAD) or not kept:
        raise DamagedError(f"fill payload: {len(payload)} bytes for {kept} kept frames")
    waves, step, reserved = struct.unpack_from(HEAD, payload)
    if not 1 <= waves <= MAX_WAVES or step > MAX_STEP or reserved:
        raise DamagedError(
            f"fill payload: {waves} waves (1 to {MAX_WAVES}), step {step} (0 to {MAX_STEP}) or reserved {reserved} (0) "
            "is impossible"
        )
    body = payload[struct.calcsize(HEAD) :]
    try:
        values = decode_range(body, kept, (1, *grid(header)), NUMBERS_PER_WAVE * waves)
    except DamagedError as error:
        raise type(error)(f"fill payload: {error}") from None
    return MotionLatents(values[:, 0], step)


def trim(payload: bytes, header: Header, old: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_], first: int) -> bytes:
    """The payload after kept frames, or frames at the ends of the clip, were removed.

    The motion latents of the remaining kept frames stay as they are: they are relative to their frame.

    Args:
        payload: the previous payload.
        header: header of the file.
        old, new: (T,) and (T',) bool, the kept frames before and after.
        first: number of the old frame that is now the first.
    """
    latents = read(payload, int(old.sum()), header)
    if latents is None:
        return b""
    remain = np.isin(np.flatnonzero(old), np.flatnonzero(new) + first)
    return write(MotionLatents(latents.values[remain], latents.step))
