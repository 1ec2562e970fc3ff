"""Decoder of latent coding 2, inter (SPEC.md 7.7), for `read_dfc.py`. ValueError: damaged."""

from pathlib import Path
from typing import Any

import numpy as np
from read_motion import CORNERS, SIDES, check_symbol, neighbour
from read_motion import initial_counts as vector_counts
from read_range import LatentDecoder, RansDecoder

BASIS = np.frombuffer(Path(__file__).with_name("basis.i8").read_bytes(), np.int8).reshape(96, 768).astype(np.int64)
TAPS = ((0, 16, 0, 0), (-1, 13, 5, -1), (-1, 9, 9, -1), (-1, 5, 13, -1))
Vector = tuple[int, int]


class InterDecoder(LatentDecoder):
    """The integers of a clip, v[k][cell][channel], and its motion vectors, vectors[k][cell]."""

    def __init__(self, rans: RansDecoder, kept: int, grid: list[int], channels: int) -> None:
        self.vectors: list[list[Vector]] = [[(0, 0)] * (grid[0] * grid[1] * grid[2])]
        super().__init__(rans, kept, grid, channels)

    def all_counts(self) -> list[list[int]]:
        return [*super().all_counts(), *(vector_counts(context) for context in range(12, 60))]

    def predict(self, before: list[list[int]]) -> list[list[int]]:
        per = self.rows * self.columns
        self.vectors.append(list(self.vectors[-1]))
        out = list(before)
        for first in range(0, len(before), per):
            self.code_tile(first)
            samples = to_samples(np.array(before[first : first + per]), self.rows, self.columns)
            for i, vector in enumerate(self.vectors[-1][first : first + per]):
                if vector != (0, 0):
                    out[first + i] = motion_compensate(
                        samples, 16 * (i // self.columns), 16 * (i % self.columns), vector
                    )
        return out

    def code_tile(self, first: int) -> None:
        """Decode the vectors of the tile that begins at cell `first`."""
        rows, columns = self.rows, self.columns
        self.code_phase(first, [(y, x) for y in range(0, rows, 8) for x in range(0, columns, 8)], 0, [])
        for step in (4, 2, 1):
            grid = [(y, x) for y in range(0, rows, step) for x in range(0, columns, step)]
            self.code_phase(first, [(y, x) for y, x in grid if y // step % 2 and x // step % 2], step, CORNERS)
            self.code_phase(first, [(y, x) for y, x in grid if (y // step + x // step) % 2], step, SIDES)

    def code_phase(self, first: int, cells: list[Vector], step: int, moves: list[Vector]) -> None:
        """Two passes: vector candidates, vector differences. Like `read_motion.MotionDecoder.code_phase`."""
        close, now, items = step == 1 and moves == SIDES, self.vectors[-1], []
        sizes: dict[int, int] = {}
        for y, x in cells:
            here = first + y * self.columns + x
            places = [(neighbour(y, i * step, self.rows), neighbour(x, j * step, self.columns)) for i, j in moves]
            around = [now[first + i * self.columns + j] for i, j in places] or [now[here]] * 4
            five = [*around, now[here]]
            down, right = (sorted(part) for part in zip(*five, strict=True))
            median, spread = (down[2], right[2]), down[3] - down[1] + right[3] - right[1]
            same = five.count(median) if spread else max(five.count(median), 2) - 2
            context = 113 + 16 * close + 4 * min(spread.bit_length(), 3) + same
            sizes[here] = 145 + 2 * min(spread.bit_length(), 7)
            items.append((here, "which", [median, *around], 1, context, 0))
        known: dict[int, Any] = {here: candidates for here, _, candidates, *_ in items}
        choices = [check_symbol(r, 6) for r in self.code_pass(items)]  # type: ignore[arg-type]
        new = [here for here, choice in zip(known, choices, strict=True) if choice == 5]
        for here, choice in zip(known, choices, strict=True):
            now[here] = known[here][choice % 5]
        wanted = [
            (here, ("new", axis), known[here][0][axis], 1, sizes[here] + axis, 0) for axis in (0, 1) for here in new
        ]
        found = [
            (guess + r + 32768) % 65536 - 32768
            for (_, _, guess, *_), r in zip(wanted, self.code_pass(wanted), strict=True)  # type: ignore[arg-type]
        ]
        for here, down_, right_ in zip(new, found[: len(new)], found[len(new) :], strict=True):
            now[here] = down_, right_


def to_samples(b: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Inverse transform of a tile: integers (cells, 96) -> samples X (16 rows, 16 columns, 3)."""
    x = np.clip((b @ BASIS + 8) // 16, -1048575, 1048575).reshape(rows, columns, 16, 16, 3)
    return x.swapaxes(1, 2).reshape(16 * rows, 16 * columns, 3)


def motion_compensate(samples: np.ndarray, top: int, left: int, vector: Vector) -> list[int]:
    """Prediction p of the cell at row `top` and column `left`: interpolation, then the forward transform."""
    height, width, _ = samples.shape
    (y, f), (x, g) = divmod(vector[0], 4), divmod(vector[1], 4)
    lines = np.clip(np.arange(top + y - 1, top + y + 18), 0, height - 1)
    places = np.clip(np.arange(left + x - 1, left + x + 18), 0, width - 1)
    window = samples[lines][:, places]
    u = np.stack([TAPS[f][n] * window[n : n + 16] for n in range(4)]).sum(axis=0)
    v = np.stack([TAPS[g][n] * u[:, n : n + 16] for n in range(4)]).sum(axis=0)
    p = (BASIS @ v.reshape(768) + 6422528) // 12845056
    return np.clip(p, -32768, 32767).tolist()  # type: ignore[no-any-return]
