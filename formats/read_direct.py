"""Direct motion (SPEC.md 7.8.4, 7.10.4), one block at a time, for `read_dfc.py`."""

import struct
from hashlib import sha256
from itertools import product

from read_motion import Block, Place, Sides

Vectors = dict[tuple[int, int, int, int], tuple[int, int]]  # frame, side (0 past, 1 future), row, column
NONE: Block = 0, [(0, 0), (0, 0)]


def motion_of_cells(
    vectors: list[list[tuple[int, int]]], kept: list[int], columns: int, units: int, grid: tuple[int, int]
) -> tuple[dict[Place, Block], Sides]:
    """Kept frames in coding 2 as predicted frames: their decisions and references. `columns` are those of cells."""
    known: dict[Place, Block] = {}
    sides: Sides = {}
    for k, t in enumerate(kept[1:], start=1):
        sides[t] = kept[k - 1], None
        for y, x in product(range(grid[0]), range(grid[1])):
            down, right = ((v * units + 2) // 4 for v in vectors[k][y // 2 * columns + x // 2])
            known[t, y, x] = 1, [(down, right), (0, 0)]
    return known, sides


def direct_sha256(
    known: dict[Place, Block], order: list[int], sides: Sides, dropped: Sides, grid: tuple[int, int], coding: int = 3
) -> str:
    """SHA-256 over the direct vectors of all dropped frames, in coding 3 of predicted ones too. `known`: decisions of
    the latter."""
    blocks = list(product(range(grid[0]), range(grid[1])))
    whole: dict[int, Vectors] = {}
    numbers: dict[int, list[int]] = {}
    for t in [t for t in order if t in sides] + list(dropped):
        ends = (sides | dropped)[t]
        found = {(*ends, y, x): direct(t, ends, sides, whole, y, x) for y, x in blocks}
        if coding == 3 or t in dropped:
            numbers[t] = [n for pair in found.values() for vector in pair for n in vector]
        if t in sides:
            whole[t] = complete(t, ends, known, list(found.values()), blocks)
    flat = [n for t in sorted(numbers) for n in numbers[t]]
    return sha256(struct.pack(f"<{len(flat)}h", *flat)).hexdigest()


def turned(vector: tuple[int, int], line: tuple[int, int], t: int, r: int) -> tuple[int, int]:
    n, d = r - t, line[1] - line[0]
    n, d = (-n, -d) if d < 0 else (n, d)
    down, right = (min(max((2 * v * n + d) // (2 * d), -32768), 32767) for v in vector)
    return down, right


def direct(
    t: int, ends: tuple[int | None, int | None], sides: Sides, whole: dict[int, Vectors], y: int, x: int
) -> list[tuple[int, int]]:
    past, future = ends
    if past is not None and future is not None:
        if future in sides and sides[future][0] == past:
            return [turned(whole[future][future, 0, y, x], (future, past), t, r) for r in (past, future)]
        if past in sides and sides[past][1] == future:
            return [turned(whole[past][past, 1, y, x], (past, future), t, r) for r in (past, future)]
    return [(0, 0), (0, 0)]


def complete(
    t: int, ends: tuple[int | None, int | None], known: dict[Place, Block], found: list[list[tuple[int, int]]],
    blocks: list[tuple[int, int]],
) -> Vectors:  # fmt: skip
    """A vector of every block into each reference frame, and then the medians."""
    rough: Vectors = {}
    for (y, x), straight in zip(blocks, found, strict=True):
        mode, vectors = known.get((t, y, x), NONE)
        for side in (0, 1):
            here, there = ends[side], ends[1 - side]
            vector = vectors[side]
            if not mode >> side & 1:
                vector = straight[side] if mode == 0 else (0, 0)
                if mode and here is not None and there is not None:
                    vector = turned(vectors[1 - side], (t, there), t, here)
            rough[t, side, y, x] = vector
    out: Vectors = {}
    for place in rough:
        _, side, y, x = place
        around = [(y, x), (y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        five = [rough.get((t, side, *at), rough[place]) for at in around]
        down, right = (sorted(part)[2] for part in zip(*five, strict=True))
        out[place] = down, right
    return out
