"""Encoder of the motion payload for the conformance vectors: the decoder of `read_motion.py`, made to write."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt
from read_motion import MotionDecoder, Sides, sides_of_dropped
from write_range import START, SymbolRecorder, pass_symbols

Ints = npt.NDArray[np.int16]
Place = tuple[int, int, int]
Overrides = dict[tuple[Place, Any], int]


class MotionEncoder(MotionDecoder):
    """Codes the decisions `wanted`: (frame, row, column) -> five integers. `overrides` replaces residuals."""

    def __init__(
        self,
        recorder: SymbolRecorder,
        wanted: dict[Place, list[int]],
        overrides: Overrides,
        sides: Sides,
    ) -> None:
        self.recorder, self.wanted, self.overrides = recorder, wanted, overrides
        _, rows, columns = max(wanted)
        super().__init__(recorder, sides, rows + 1, columns + 1)

    def code_pass(self, items: list[Any]) -> list[int]:
        residuals = []
        for block, what, known, *_ in items:
            mode, *numbers = self.wanted[block]
            if what == "mode":
                r = known.index(mode)
            elif what[0] == "which":
                vector = tuple(numbers[2 * what[1] :][:2])
                r = known.index(vector) if vector in known else 5
            else:
                r = (numbers[2 * what[1] + what[2]] - known + 32768) % 65536 - 32768
            residuals.append(self.overrides.get((block, what), r))
        self.recorder.symbols = pass_symbols(residuals, [item[4:] for item in items])
        return super().code_pass(items)


class RandomMotion(MotionDecoder):
    """Random decisions; vectors are coded as differences of up to `span`, every third time."""

    def __init__(self, recorder: SymbolRecorder, sides: Sides, rows: int, seed: int, span: int) -> None:
        self.recorder, self.state, self.span = recorder, seed, span
        super().__init__(recorder, sides, rows, rows)

    def dice(self, sides: int) -> int:
        self.state = (self.state * 1103515245 + 12345) % (1 << 31)
        return (self.state >> 16) * sides >> 15

    def code_pass(self, items: list[Any]) -> list[int]:
        residuals = []
        for (t, *_), what, known, *_ in items:
            if what == "mode":
                past, future = self.sides[t]
                sides = int(past is not None) | 2 * int(future is not None)
                r = known.index(self.dice(4) & sides)
            elif what[0] == "which":
                r = 5 if self.dice(3) == 0 else self.dice(5)
            else:
                r = self.dice(2 * self.span + 1) - self.span
            residuals.append(r)
        self.recorder.symbols = pass_symbols(residuals, [item[4:] for item in items])
        return super().code_pass(items)


def random_motion(
    frames: int, kept: tuple[int, ...], rows: int, seed: int, span: int
) -> tuple[Ints, bytes]:  # fmt: skip
    """Decisions (D, rows, rows, 5) and their payload; arguments as of `RandomMotion`."""
    recorder = SymbolRecorder()
    found = RandomMotion(recorder, sides_of_dropped(frames, list(kept)), rows, seed, span).blocks
    flat = [[mode, *vectors[0], *vectors[1]] for _, (mode, vectors) in sorted(found.items())]
    made = np.array(flat, np.int16).reshape(-1, rows, rows, 5)
    return clear_unused_vectors(made), recorder.finish(START)


def clear_unused_vectors(decisions: Ints) -> Ints:
    """Decisions (D, rows, columns, 5) with unused vectors set to 0."""
    out = decisions.copy()
    out[..., 1:3] *= out[..., :1] & 1
    out[..., 3:5] *= out[..., :1] >> 1 & 1
    return out


def encode_motion(decisions: Ints, sides: Sides, overrides: Overrides) -> bytes:
    """The payload that codes decisions (D, rows, columns, 5) of the frames with references."""
    wanted = {
        (t, y, x): [int(n) for n in decisions[number, y, x]]
        for number, t in enumerate(sorted(sides))
        for y, x in np.ndindex(decisions.shape[1:3])
    }
    recorder = SymbolRecorder()
    with contextlib.suppress(ValueError):  # raised at an invalid symbol: the symbols up to it are the vector
        MotionEncoder(recorder, wanted, overrides, sides)
    return recorder.finish(START)
