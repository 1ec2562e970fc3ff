"""Encoder of latent coding 2 for the conformance vectors: the decoder of `read_inter.py`, made to write."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt
from read_inter import InterDecoder
from read_range import LatentDecoder
from write_range import START, LatentEncoder, RandomSymbols, SymbolRecorder, nearest_levels, pass_symbols

Ints = npt.NDArray[np.int16]
Overrides = dict[tuple[int, int, Any], int]


class InterEncoder(LatentEncoder, InterDecoder):
    """Codes the integers `wanted` (K, cells, 96) with vectors (K, cells, 2).

    `overrides` replaces a residual: (kept frame, cell, syntax element) -> residual.
    """

    def __init__(
        self, recorder: SymbolRecorder, wanted: Ints, grid: list[int], vectors: Ints, overrides: Overrides
    ) -> None:
        self.given_vectors, self.overrides = [[tuple(v) for v in frame] for frame in vectors.tolist()], overrides
        super().__init__(recorder, wanted, grid, nearest_levels(wanted))

    def code_pass(self, items: list[Any]) -> list[int]:
        if not items or isinstance(items[0][1], int):
            return super().code_pass(items)
        residuals = []
        for here, what, known, *_ in items:
            vector = self.given_vectors[self.k][here]
            if what == "which":
                r = known.index(vector) if vector in known else 5
            else:
                r = (vector[what[1]] - known + 32768) % 65536 - 32768
            residuals.append(self.overrides.get((self.k, here, what), r))
        self.recorder.symbols = pass_symbols(residuals, [item[4:] for item in items])
        return LatentDecoder.code_pass(self, items)


def encode_inter(values: Ints, vectors: Ints | None, overrides: Overrides) -> bytes:
    """Latents of coding 2 for integers (K, tiles, rows, columns, 96) and vectors (K, cells, 2), 0 by default."""
    kept, *grid, channels = values.shape
    flat = values.reshape(kept, -1, channels)
    recorder = SymbolRecorder()
    with contextlib.suppress(ValueError):  # raised at an invalid symbol: the symbols up to it are the vector
        InterEncoder(
            recorder, flat, grid, np.zeros((*flat.shape[:2], 2), np.int16) if vectors is None else vectors, overrides
        )
    return recorder.finish(START)


class RandomInter(InterDecoder):
    """Integers and vectors from random symbols.

    `new` of 16 vectors are coded as differences: of up to `span` if that is not 0, else of up to 2, or any that one
    symbol codes.
    """

    new, span = 8, 0

    def code_pass(self, items: list[Any]) -> list[int]:
        random = self.rans
        assert isinstance(random, RandomSymbols)
        if items and items[0][1] == "which":
            random.given = [16 + (5 if random.dice(16) < self.new else random.dice(5)) for _ in items]
        elif items and not isinstance(items[0][1], int) and self.span:
            residuals = [random.dice(2 * self.span + 1) - self.span for _ in items]
            random.given = pass_symbols(residuals, [item[4:] for item in items])
        elif items and not isinstance(items[0][1], int):
            sizes = [33 if random.dice(16) < self.new else 5 for _ in items]
            random.given = [16 + random.dice(size) - size // 2 for size in sizes]
        return super().code_pass(items)


def random_inter(shape: tuple[int, ...], first: int, most: int, new: int, span: int = 0) -> tuple[Ints, bytes]:
    """Integers (K, tiles, rows, columns, 96) and their words; arguments as of `RandomSymbols` and `RandomInter`."""
    recorder = RandomSymbols(shape[4], first, most)
    found = type("Some", (RandomInter,), {"new": new, "span": span})(recorder, shape[0], list(shape[1:4]), shape[4]).v
    return np.array(found, np.int16).reshape(shape), recorder.finish(START)
