"""Latent coding 3, predicted (SPEC.md 7.10), for `read_dfc.py`: how latents are divided, and who refers to whom."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from read_motion import Sides


def divide(data: bytes, kept: list[int], importance: list[int], need: Callable[..., None]) -> dict[str, Any]:
    """QP and kind of each kept frame, references of the predicted ones, and the streams."""
    order = sorted(kept, key=lambda t: -importance[t])
    need(data[:1] < b"\x20", "latents: unknown tools", "unsupported")
    need(len(data) >= 9 + len(order), "latents: too short for coding 3")
    tools, motion, intra = struct.unpack_from("<BII", data)
    direct, mixed, tools = bool(tools & 8), bool(tools & 16), tools & 1  # two other bits are about pictures
    kinds, body = data[9 : 9 + len(order)], data[9 + len(order) :]
    detailed = [i for i in range(len(order)) if tools and kinds[i] & 64]
    kinds = bytes(kind & 191 if tools else kind for kind in kinds)
    need(all(kind & 127 <= 63 for kind in kinds) and kinds[0] >= 128, "latents: a QP, or the first frame is predicted")
    rows: list[tuple[int, int]] = []
    if tools:
        need(len(body) >= 4 + 5 * len(detailed), "latents: too short for details")
        (residual,), head = struct.unpack_from("<I", body), 4 + 5 * len(detailed)
        rows, body = list(struct.iter_unpack("<BI", body[4:head])), body[head:]
        need(motion + intra + residual + sum(n for _, n in rows) == len(body), "latents: sizes of coding 3")
        need(all(qp <= 63 for qp, _ in rows), "latents: QP of details")
    else:
        residual = len(body) - motion - intra
        need(residual >= 0, "latents: sizes of coding 3")
    ends = list(accumulate([motion, intra, residual, *(n for _, n in rows)]))
    streams = [body[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    sides: Sides = {}
    for i, t in enumerate(order):
        if kinds[i] < 128:
            past, future = [k for k in order[:i] if k < t], [k for k in order[:i] if k > t]
            sides[t] = max(past, default=None), min(future, default=None)
    return {
        "qps": [kinds[order.index(t)] & 127 for t in kept], "sides": sides,
        "intra": [i for i, t in enumerate(order) if t not in sides], "order": [kept.index(t) for t in order],
        "direct": direct, "mixed": mixed, "motion": streams[0], "streams": streams[1:3], "details": streams[3:],
        "detail_qps": [{order[i]: qp for i, (qp, _) in zip(detailed, rows, strict=True)}.get(t) for t in kept],
    }  # fmt: skip
