"""Writes latents of coding 2 for the conformance vectors: the walk of `read_inter.py`, told what it is to find."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt
from read_inter import Inter
from read_range import Decoder
from write_range import START, Chance, Encoder, Script, levels_of, symbols_of

Ints = npt.NDArray[np.int16]
Odd = dict[tuple[int, int, Any], int]


class Moved(Encoder, Inter):
    """Finds the integers `wanted` (K, cells, 96) with vectors (K, cells, 2), save what is `odd` of kept frame, cell."""

    def __init__(self, script: Script, wanted: Ints, grid: list[int], vectors: Ints, odd: Odd) -> None:
        self.told, self.odd = [[tuple(v) for v in frame] for frame in vectors.tolist()], odd
        super().__init__(script, wanted, grid, levels_of(wanted))

    def code(self, todo: list[Any]) -> list[int]:
        if not todo or isinstance(todo[0][1], int):
            return super().code(todo)
        residuals = []
        for here, what, known, *_ in todo:
            vector = self.told[self.k][here]
            if what == "which":
                r = known.index(vector) if vector in known else 5
            else:
                r = (vector[what[1]] - known + 32768) % 65536 - 32768
            residuals.append(self.odd.get((self.k, here, what), r))
        self.script.lines = symbols_of(residuals, [item[4:] for item in todo])
        return Decoder.code(self, todo)


def inter_of(values: Ints, vectors: Ints | None, odd: Odd) -> bytes:
    """Latents of coding 2 for integers (K, tiles, rows, columns, 96) and vectors (K, cells, 2), 0 by default."""
    kept, *grid, channels = values.shape
    flat = values.reshape(kept, -1, channels)
    script = Script()
    with contextlib.suppress(ValueError):  # at a symbol that no reader takes: what was said so far is the vector
        Moved(script, flat, grid, np.zeros((*flat.shape[:2], 2), np.int16) if vectors is None else vectors, odd)
    return script.coded(START)


class Dice(Inter):
    """Integers and vectors from symbols made up; `new` of 16 vectors and their differences are anything."""

    new = 8

    def code(self, todo: list[Any]) -> list[int]:
        chance = self.stack
        assert isinstance(chance, Chance)
        if todo and todo[0][1] == "which":
            chance.given = [16 + (5 if chance.dice(16) < self.new else chance.dice(5)) for _ in todo]
        elif todo and not isinstance(todo[0][1], int):
            sizes = [33 if chance.dice(16) < self.new else 5 for _ in todo]
            chance.given = [16 + chance.dice(size) - size // 2 for size in sizes]
        return super().code(todo)


def inter_by_chance(shape: tuple[int, ...], first: int, most: int, new: int) -> tuple[Ints, bytes]:
    """Integers (K, tiles, rows, columns, 96) and their words; arguments as of `write_range.Chance` and `Dice`."""
    script = Chance(shape[4], first, most)
    found = type("Some", (Dice,), {"new": new})(script, shape[0], list(shape[1:4]), shape[4]).v
    return np.array(found, np.int16).reshape(shape), script.coded(START)
