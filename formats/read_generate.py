"""Fill policy 5 (SPEC.md 7.9) for `read_dfc.py`: the motion latents of kept frames."""

from __future__ import annotations

import struct
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
from read_range import LatentDecoder, RansDecoder


def read_generate(data: bytes, kept: int, head: dict[str, Any], need: Callable[..., None]) -> dict[str, object]:
    """Waves, step and SHA-256 over all integers, by kept frame, row, column and number; of no byte if no payload."""
    if not data:
        return {"waves": 1, "motion_step": 0, "motion_sha256": sha256(b"").hexdigest()}
    need(len(data) >= 4 and kept > 0, "fill payload: too short, or of no kept frame")
    waves, step, reserved = struct.unpack_from("<BBH", data)
    need(1 <= waves <= 16 and step <= 63 and not reserved, "fill payload: waves, step or reserved")
    grid, body = [1, -(-head["height"] // 32), -(-head["width"] // 32)], data[4:]
    claim = kept * 4 * waves * grid[1] * grid[2]
    need(claim <= 1 << 28, "fill payload: too many integers", "limit")
    need(body != b"", "fill payload: no byte for a kept frame")
    need(2 * claim <= 32768 * len(body), f"fill payload: {claim} integers claimed from {len(body)} bytes", "limit")
    need(not len(body) % 4 and any(body[-4:]), "fill payload: words")
    numbers = np.array(LatentDecoder(RansDecoder(body), kept, grid, 4 * waves).v, np.int16)
    return {"waves": waves, "motion_step": step, "motion_sha256": sha256(numbers.astype("<i2").tobytes()).hexdigest()}
