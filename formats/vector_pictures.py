"""What a decoder computes from the numbers of the model, sample by sample: SPEC.md 6.5, 6.6 and 7.8.2.

Files hold none of these numbers, so the vectors are JSON alone: input and result. Samples of the input are
whole numbers of 256ths, some of them below 0 and above 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from vector_clips import integers
from vector_parts import Head

Picture = dict[str, Any]
Sample = Callable[[int, int, int], float]


def made_up(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """256ths between -20 and 280, the same on every machine."""
    return integers(shape, seed, 301).astype(int) + 130


Taps = Sequence[tuple[int, ...]]
WHOLE, HALF, QUARTER = (0, 0, 0, 64, 0, 0, 0, 0), (-1, 4, -11, 40, 40, -11, 4, -1), (-1, 4, -10, 58, 17, -5, 1, 0)
TAPS = {
    "six-tap": [WHOLE, (0, 2, -10, 40, 40, -10, 2, 0)],
    "eight-tap": [WHOLE, HALF],
    "quarter": [WHOLE, QUARTER, HALF, QUARTER[::-1]],
}
"""Filters of SPEC.md 7.8.2 by the fraction of a vector, in 1 / 64."""


def to_byte(sample: float) -> int:
    """SPEC.md 6.6."""
    return math.floor(min(max(sample, 0.0), 1.0) * 255 + 0.5)


def pictures() -> Iterator[tuple[str, Picture]]:
    """Every vector of pictures."""
    yield "fill", fill()
    yield "tiles", tiles()
    yield "motion", motion()
    yield "blend", motion(blends=True)
    for name, taps in TAPS.items():
        yield name, motion(blends=True, taps=taps)
    yield "direct", motion(blends=True, taps=TAPS["quarter"], direct=True)


def fill() -> Picture:
    """Slots of fill policies hold and lerp, one token of three channels."""
    kept, frames = [2, 5, 6], 9
    latents = integers((len(kept), 3), 1, 201)
    slots: dict[str, list[list[float]]] = {"hold": [], "lerp": []}
    for t in range(frames):
        before = max((i for i, k in enumerate(kept) if k <= t), default=0)
        after = min((i for i, k in enumerate(kept) if k >= t), default=len(kept) - 1)
        way = Fraction(t - kept[before], kept[after] - kept[before]) if before < after else Fraction(0)
        z = [[Fraction(int(v)) for v in latents[i]] for i in (before, after)]
        slots["hold"].append([float(v) for v in z[0]])
        slots["lerp"].append([float(a + (b - a) * way) for a, b in zip(*z, strict=True)])
    return {
        "section": "6.5", "note": "slots of dropped and kept frames; within 1e-4", "frames": frames, "kept": kept,
        "latents": latents.tolist(), "slots": slots,
    }  # fmt: skip


def tiles() -> Picture:
    """One frame of four tiles."""
    head = Head(width=21, height=20, patch=8, tile=16, overlap=8)
    starts = [(y, x) for y in head.tile_starts[0] for x in head.tile_starts[1]]
    samples = made_up((len(starts), head.tile, head.tile, 3), 5)
    near = [min(i + 0.5, head.tile - i - 0.5) for i in range(head.tile)]
    ramp = [min(d / max(head.overlap, 1), 1.0) for d in near]
    out = []
    for y in range(head.height):
        for x in range(head.width):
            over = [
                (n, y - top, x - left)
                for n, (top, left) in enumerate(starts)
                if 0 <= y - top < head.tile and 0 <= x - left < head.tile
            ]
            whole = sum(ramp[i] * ramp[j] for _, i, j in over)
            for c in range(3):
                out.append(to_byte(sum(ramp[i] * ramp[j] * int(samples[n, i, j, c]) for n, i, j in over) / whole / 256))
    return {
        "section": "6.6", "note": "tile, row, column, colour -> row, column, colour; within 1 of 255",
        "header": {name: getattr(head, name) for name in ("width", "height", "patch", "tile", "overlap")},
        "samples": samples.ravel().tolist(), "picture": out,
    }  # fmt: skip


def motion(blends: bool = False, taps: Taps = (), direct: bool = False) -> Picture:
    """Four dropped frames of 13 × 18 pixels, so 2 × 3 blocks. Policy blend does not use their samples.

    If `direct`, the vectors of blocks of mode 0 are their direct vectors.
    """
    height, width, kept, frames = 13, 18, [1, 4], 6
    samples = made_up((frames, height, width, 3), 9)
    dropped = [t for t in range(frames) if t not in kept]
    decisions = integers((len(dropped), 2, 3, 5), 2, 23)
    for number, t in enumerate(dropped):
        modes = [0, *([1] if t > kept[0] else []), *([2] if t < kept[-1] else []), *([3] if 1 < t < 4 else [])]
        for n, (y, x) in enumerate(np.ndindex(2, 3)):
            decisions[number, y, x, 0] = modes[(n + t) % len(modes)]
    decisions[0, 0, 0, 1:] = decisions[1, 1, 1, 1:] = [-300, 301, 77, -32768]
    out = []
    for number, t in enumerate(dropped):
        sides = [max((k for k in kept if k < t), default=-1), min((k for k in kept if k > t), default=-1)]
        out += _moved(samples, t, sides, decisions[number].tolist(), blends, taps, direct)
    return {
        "section": "7.8.2",
        "note": "samples: frame, row, column, colour; decisions: dropped frame, row, column, field; "
        "pictures: dropped frame, row, column, colour; within 1 of 255",
        "height": height, "width": width, "frames": frames, "kept": kept,
        "samples": samples.ravel().tolist(), "decisions": decisions.ravel().tolist(), "pictures": out,
    }  # fmt: skip


def between(z: Callable[[int], float], i: int, taps: tuple[int, ...]) -> float:
    """A filter of eight taps."""
    return sum(tap * z(i + k) for k, tap in zip(range(-3, 5), taps, strict=True)) / 64


def _moved(
    samples: np.ndarray, t: int, sides: list[int], decisions: list[list[list[int]]], blends: bool, taps: Taps,
    direct: bool,
) -> list[int]:  # fmt: skip
    """One dropped frame, row, column, colour."""
    _, height, width, _ = samples.shape

    def source(frame: int, c: int, down: int, right: int) -> Callable[[int, int], float]:
        """P(y, x) of a picture and a vector."""

        def s(y: int, x: int) -> float:
            value = int(samples[frame, min(max(y, 0), height - 1), min(max(x, 0), width - 1), c]) / 256
            return min(max(value, 0.0), 1.0)

        a, f = divmod(down, len(taps) or 2)
        b, g = divmod(right, len(taps) or 2)

        def column(y: int, x: int) -> float:
            return between(lambda i: s(i, x + b), y + a, taps[f]) if f else s(y + a, x + b)

        def v(y: int, x: int) -> float:
            return s(y + a, x + b) + (s(y + a + 1, x + b) - s(y + a, x + b)) * f / 2

        if taps:
            return lambda y, x: between(lambda i: column(y, i), x, taps[g]) if g else column(y, x)
        return lambda y, x: v(y, x) + (v(y, x + 1) - v(y, x)) * g / 2

    def blend(c: int, y: int, x: int, numbers: list[int]) -> float:
        """Linear interpolation in time of the reference frames."""
        there = [side for side in sides if side >= 0]
        moved = direct and len(there) == 2
        vectors = [numbers[:2], numbers[2:]] if moved else [[0, 0]] * 2
        a, b = (source(side, c, *v)(y, x) for side, v in zip((there[0], there[-1]), vectors, strict=True))
        return a if len(there) == 1 else a + (b - a) * (t - there[0]) / (there[1] - there[0])

    def predicted(decision: list[int], c: int, y: int, x: int) -> float:
        mode, *numbers = decision
        if mode == 0 and blends:
            return blend(c, y, x, numbers)
        if mode == 0:
            return source(t, c, 0, 0)(y, x)
        used = [source(sides[i], c, *numbers[2 * i : 2 * i + 2])(y, x) for i in (0, 1) if mode >> i & 1]
        return sum(used) / len(used)

    weight = [math.sin(math.pi * (i + 0.5) / 16) ** 2 for i in range(16)]
    out = []
    for y, x, c in np.ndindex(height, width, 3):
        total = whole = 0.0
        for row, line in enumerate(decisions):
            for column, decision in enumerate(line):
                i, j = y - row * 8 + 4, x - column * 8 + 4
                if 0 <= i < 16 and 0 <= j < 16:
                    total += weight[i] * weight[j] * predicted(decision, c, y, x)
                    whole += weight[i] * weight[j]
        out.append(to_byte(total / whole))
    return out
