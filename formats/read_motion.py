"""Decoder of the motion payload (SPEC.md 7.8.1), one block at a time, for `read_dfc.py`. ValueError: damaged."""

import struct
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from read_range import LatentDecoder, RansDecoder

FIRST = [420, 880, 760, 950, 980, 1012, 600, 820, 900, 966, 1016, 1021]
MEDIAN = [700, 710, 750, 890, 560, 590, 660, 710, 480, 540, 600, 620, 300, 470, 550, 520]
MEDIAN += [760, 870, 930, 1012, 560, 680, 760, 820, 510, 680, 690, 750, 330, 530, 640, 660]
NEW = [130, 140, 130, 130, 160, 130, 100, 70, 150, 150, 150, 100, 300, 200, 190, 120]
NEW += [60, 30, 16, 8, 100, 60, 30, 16, 100, 46, 50, 30, 160, 96, 54, 30]
ZERO, RATIO = [270, 240, 250, 195, 140, 110, 80, 60], [60, 140, 120, 85, 60, 44, 28, 20]
CORNERS, SIDES = [(-1, -1), (-1, 1), (1, -1), (1, 1)], [(-1, 0), (0, -1), (0, 1), (1, 0)]
BATCH_BLOCKS = 1 << 19
Place = tuple[int, int, int]  # frame, row, column
Block = tuple[int, list[tuple[int, int]]]  # mode, vectors into past and future
Sides = dict[int, tuple[int | None, int | None]]  # frame: its past and its future reference frame


def initial_counts(context: int) -> list[int]:
    if context < 12:
        rest = 1024 - FIRST[context]
        row = [FIRST[context], rest - (rest >> 2), (rest >> 2) - (rest >> 3), rest >> 3]
    elif context < 44:
        rest = 1024 - MEDIAN[context - 12] - NEW[context - 12]
        row = [MEDIAN[context - 12], rest - 3 * (rest >> 2), *[rest >> 2] * 3, NEW[context - 12]]
    else:
        zero, ratio = ZERO[(context - 44) // 2], RATIO[(context - 44) // 2]
        up: list[int] = []
        down: list[int] = []
        rest = 1024 - zero
        for m in range(1, 17):
            here = rest * ratio >> 8 if m < 16 else rest
            up, down, rest = [*up, here >> 1], [here - (here >> 1), *down], rest - here
        return [*down, zero, *up]
    return [0] * 16 + row + [0] * (17 - len(row))


class MotionDecoder(LatentDecoder):
    """The decisions of a clip: `blocks[t, y, x]` for every frame t with references."""

    def __init__(self, rans: RansDecoder, sides: Sides, rows: int, columns: int) -> None:
        self.rans, self.rows, self.columns = rans, rows, columns
        self.n, self.sides = [initial_counts(context) for context in range(60)], sides
        self.blocks: dict[Place, Block] = {}
        depth: dict[int, int] = {}
        for t in sorted(sides):
            depth[t] = depth.get(t - 1, -1) + 1
        for level in range(max(depth.values(), default=-1) + 1):
            now, most = [t for t in depth if depth[t] == level], max(BATCH_BLOCKS // (rows * columns), 1)
            for first in range(0, len(now), most):
                self.code_batch(level, now[first : first + most])
        self.rans.check_end()

    def code_batch(self, level: int, now: list[int]) -> None:
        """Decode all phases of one batch of frames of a level."""
        rows, columns = self.rows, self.columns
        self.code_phase(level, [(t, y, x) for t in now for y in range(0, rows, 8) for x in range(0, columns, 8)], 0, [])
        for step in (4, 2, 1):
            grid = [(t, y, x) for t in now for y in range(0, rows, step) for x in range(0, columns, step)]
            self.code_phase(level, [b for b in grid if b[1] // step % 2 and b[2] // step % 2], step, CORNERS)
            self.code_phase(level, [b for b in grid if (b[1] // step + b[2] // step) % 2], step, SIDES)

    def distance(self, t: int, side: int) -> int:
        there = self.sides[t][side]
        return 0 if there is None else abs(there - t)

    def scaled_previous(self, t: int, y: int, x: int) -> Block:
        """The decision of the same block in the previous frame, its vectors scaled."""
        mode, vectors = self.blocks[t - 1, y, x]
        out = []
        for side, vector in enumerate(vectors):
            a, b = self.distance(t, side), max(1, self.distance(t - 1, side))
            down, right = (min(max((2 * v * a + b) // (2 * b), -32768), 32767) for v in vector)
            out.append((down, right))
        return mode, out

    def code_phase(self, level: int, blocks: list[Place], step: int, moves: list[tuple[int, int]]) -> None:
        """Three passes: modes, vector candidates, vector differences."""
        close, vectors = step == 1 and moves == SIDES, {}
        items: list[Any] = []  # block, syntax element, candidates, 1, context, 0
        for t, y, x in blocks:
            before = self.scaled_previous(t, y, x) if level else (0, [(0, 0), (0, 0)])
            around = [before] * 4
            if moves:
                places = [(neighbour(y, i * step, self.rows), neighbour(x, j * step, self.columns)) for i, j in moves]
                around = [self.blocks[t, i, j] if (i, j) != (y, x) else (0, [(0, 0)] * 2) for i, j in places]
            votes = [2 * sum(a[0] == m for a in around) + (level > 0 and before[0] == m) for m in range(4)]
            ranks = sorted(range(4), key=lambda m: -votes[m])
            items.append(((t, y, x), "mode", ranks, 1, 6 * close + max(max(votes), 4) - 4, 0))
            for side in (0, 1):
                known = [a[1][side] for a in around]
                known.append(before[1][side] if level else known[0])
                ordered = [sorted(part) for part in zip(*known, strict=True)]
                median = ordered[0][2], ordered[1][2]
                spread, same = sum(part[3] - part[1] for part in ordered), known.count(median)
                apart = min(spread.bit_length(), 3)
                context = 12 + 16 * close + 4 * apart + (same if spread else max(same, 2) - 2)
                vectors[t, y, x, side] = [median, *known[:4]], context, 44 + 2 * min(spread.bit_length(), 7)
        for (block, _, known, *_), r in zip(items, self.code_pass(items), strict=True):
            self.blocks[block] = known[check_symbol(r, 4)], [vectors[*block, side][0][0] for side in (0, 1)]
        used = [(b, side) for side in (0, 1) for b in blocks if self.blocks[b][0] >> side & 1]
        items = [(b, ("which", side), vectors[*b, side][0], 1, vectors[*b, side][1], 0) for b, side in used]
        new = []
        for (block, (_, side), known, *_), r in zip(items, self.code_pass(items), strict=True):
            new += [(block, side)] if check_symbol(r, 6) == 5 else []
            self.blocks[block][1][side] = known[r % 5]
        items = [
            (b, ("new", side, axis), vectors[*b, side][0][0][axis], 1, vectors[*b, side][2] + axis, 0)
            for axis in (0, 1) for b, side in new
        ]  # fmt: skip
        residuals = self.code_pass(items)
        found = [(guess + r + 32768) % 65536 - 32768 for (_, _, guess, *_), r in zip(items, residuals, strict=True)]
        for (block, side), down, right in zip(new, found[: len(new)], found[len(new) :], strict=True):
            self.blocks[block][1][side] = down, right


def neighbour(at: int, move: int, size: int) -> int:
    return next(n for n in (at + move, at - move, at) if 0 <= n < size)


def check_symbol(r: int, count: int) -> int:
    if not 0 <= r < count:
        raise ValueError(f"symbol {r} of {count}")
    return r


def sides_of_dropped(frames: int, kept: list[int]) -> Sides:
    """The references of dropped frames: the nearest kept ones."""
    return {
        t: (max((k for k in kept if k < t), default=None), min((k for k in kept if k > t), default=None))
        for t in range(frames) if t not in kept
    }  # fmt: skip


def read_decisions(data: bytes, sides: Sides, head: dict[str, Any], need: Callable[..., None]) -> dict[Place, Block]:
    """All decisions; none if there is no payload."""
    rows, columns = -(-head["height"] // 8), -(-head["width"] // 8)
    need(not data or any(side != (None, None) for side in sides.values()), "fill payload: no kept or no dropped frame")
    claim = 2 * len(sides) * rows * columns if data else 0
    need(claim <= 32768 * len(data), f"fill payload: {claim} bytes claimed from {len(data)}", "limit")
    need(len(data) % 4 == 0 and (not data or any(data[-4:])), "fill payload: words")
    known = MotionDecoder(RansDecoder(data), sides, rows, columns).blocks if data else {}
    for (t, _, _), (mode, _) in known.items():
        past, future = (side is not None for side in sides[t])
        need((past or not mode & 1) and (future or not mode & 2), f"fill payload: mode {mode} in frame {t}")
    return known


def digest(known: dict[Place, Block]) -> str:
    """SHA-256 over all decisions; of no byte if there is none."""
    numbers: list[int] = []
    for _, (mode, vectors) in sorted(known.items()):
        numbers += [mode, *(n * (mode >> side & 1) for side in (0, 1) for n in vectors[side])]
    return sha256(struct.pack(f"<{len(numbers)}h", *numbers)).hexdigest()
