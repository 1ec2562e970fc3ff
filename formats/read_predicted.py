"""Latent coding 3, predicted (SPEC.md 7.10), for `read_dfc.py`: how latents are divided, and who refers to whom."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from read_motion import Sides


def divide(data: bytes, kept: list[int], importance: list[int], need: Callable[..., None]) -> dict[str, Any]:
    """QP and kind of each kept frame, references of the predicted ones, and the three streams."""
    order = sorted(kept, key=lambda t: -importance[t])
    need(data[:1] in (b"", b"\0"), "latents: unknown tools", "unsupported")
    need(len(data) >= 9 + len(order), "latents: too short for coding 3")
    _, motion, intra = struct.unpack_from("<BII", data)
    kinds = data[9 : 9 + len(order)]
    need(all(kind & 127 <= 63 for kind in kinds) and kinds[0] >= 128, "latents: a QP, or the first frame is predicted")
    body = data[9 + len(order) :]
    need(motion + intra <= len(body), "latents: sizes of coding 3")
    sides: Sides = {}
    for i, t in enumerate(order):
        if kinds[i] < 128:
            past, future = [k for k in order[:i] if k < t], [k for k in order[:i] if k > t]
            sides[t] = max(past, default=None), min(future, default=None)
    return {
        "qps": [kinds[order.index(t)] & 127 for t in kept], "sides": sides,
        "intra": [i for i, t in enumerate(order) if t not in sides], "order": [kept.index(t) for t in order],
        "motion": body[:motion], "streams": (body[motion : motion + intra], body[motion + intra :]),
    }  # fmt: skip
