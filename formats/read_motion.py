"""The payload of fill policy 3 (SPEC.md 6.7), one block at a time, for `read_dfc.py`. A ValueError means "damaged"."""

import struct
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from read_range import Decoder, Stack


def read_motion(
    data: bytes, frames: int, kept: list[int], head: dict[str, Any], need: Callable[..., None]
) -> dict[str, str]:
    """SHA-256 over all decisions; of nothing where there is no payload."""
    dropped = [t for t in range(frames) if t not in kept]
    rows, columns = -(-head["height"] // 8), -(-head["width"] // 8)
    need(not data or (kept and dropped), "fill payload: of nothing")
    claim = 10 * len(dropped) * rows * columns if data else 0
    need(claim <= max(65536, 32768 * len(data)), f"fill payload: {claim} bytes claimed from {len(data)}", "limit")
    need(len(data) % 4 == 0 and (not data or any(data[-4:])), "fill payload: words")
    found = Decoder(Stack(data), len(dropped), [1, rows, columns], 5).v if data else []
    numbers: list[int] = []
    for t, blocks in zip(dropped, found, strict=False):
        modes = [0] + [1] * (t > kept[0]) + [2] * (t < kept[-1]) + [3] * (kept[0] < t < kept[-1])
        for place, block in enumerate(blocks):
            need(block[0] in modes, f"fill payload: mode {block[0]} in frame {t}")
            if place:  # differences to the block to the left; in the first column to the one above
                before = blocks[place - 1 if place % columns else place - columns]
                block[1:] = [(a + b + 32768) % 65536 - 32768 for a, b in zip(block[1:], before[1:], strict=True)]
            numbers += block
    return {"motion_sha256": sha256(struct.pack(f"<{len(numbers)}h", *numbers)).hexdigest()}
