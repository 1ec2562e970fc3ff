"""Encoder of the motion payload for the conformance vectors: the decoder of `read_motion.py`, made to write."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt
from read_motion import MotionDecoder
from write_range import START, SymbolRecorder, pass_symbols

Ints = npt.NDArray[np.int16]
Place = tuple[int, int, int]
Overrides = dict[tuple[Place, Any], int]


class MotionEncoder(MotionDecoder):
    """Codes the decisions `wanted`: (frame, row, column) -> five integers. `odd` replaces residuals."""

    def __init__(
        self, recorder: SymbolRecorder, wanted: dict[Place, list[int]], odd: Overrides, frames: int, kept: list[int]
    ) -> None:  # fmt: skip
        self.recorder, self.wanted, self.odd = recorder, wanted, odd
        _, rows, columns = max(wanted)
        super().__init__(recorder, frames, kept, rows + 1, columns + 1)

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
            residuals.append(self.odd.get((block, what), r))
        self.recorder.symbols = pass_symbols(residuals, [item[4:] for item in items])
        return super().code_pass(items)


def clear_unused_vectors(decisions: Ints) -> Ints:
    """Decisions (D, rows, columns, 5) with unused vectors set to 0."""
    out = decisions.copy()
    out[..., 1:3] *= out[..., :1] & 1
    out[..., 3:5] *= out[..., :1] >> 1 & 1
    return out


def encode_motion(decisions: Ints, frames: int, kept: tuple[int, ...], odd: Overrides) -> bytes:
    """The payload that codes decisions (D, rows, columns, 5) of the dropped frames."""
    dropped = [t for t in range(frames) if t not in kept]
    wanted = {
        (t, y, x): [int(n) for n in decisions[number, y, x]]
        for number, t in enumerate(dropped)
        for y, x in np.ndindex(decisions.shape[1:3])
    }
    recorder = SymbolRecorder()
    with contextlib.suppress(ValueError):  # raised at an invalid symbol: the symbols up to it are the vector
        MotionEncoder(recorder, wanted, odd, frames, list(kept))
    return recorder.finish(START)
