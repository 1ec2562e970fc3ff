"""Writes payloads of fill policy 3 for the conformance vectors: the walk of `read_motion.py`, told what to find."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import numpy.typing as npt
from read_motion import Motion
from write_range import START, Script, symbols_of

Ints = npt.NDArray[np.int16]
Place = tuple[int, int, int]
Odd = dict[tuple[Place, Any], int]


class Encoder(Motion):
    """Finds decisions `wanted`, frame, row and column -> five integers, save what is `odd`."""

    def __init__(
        self, script: Script, wanted: dict[Place, list[int]], odd: Odd, frames: int, kept: list[int]
    ) -> None:  # fmt: skip
        self.script, self.wanted, self.odd = script, wanted, odd
        _, rows, columns = max(wanted)
        super().__init__(script, frames, kept, rows + 1, columns + 1)

    def code(self, todo: list[Any]) -> list[int]:
        residuals = []
        for block, what, known, *_ in todo:
            mode, *numbers = self.wanted[block]
            if what == "mode":
                r = known.index(mode)
            elif what[0] == "which":
                vector = tuple(numbers[2 * what[1] :][:2])
                r = known.index(vector) if vector in known else 5
            else:
                r = (numbers[2 * what[1] + what[2]] - known + 32768) % 65536 - 32768
            residuals.append(self.odd.get((block, what), r))
        self.script.lines = symbols_of(residuals, [item[4:] for item in todo])
        return super().code(todo)


def unused_cleared(decisions: Ints) -> Ints:
    """Decisions (D, rows, columns, 5) with the vectors that no block uses 0."""
    out = decisions.copy()
    out[..., 1:3] *= out[..., :1] & 1
    out[..., 3:5] *= out[..., :1] >> 1 & 1
    return out


def motion_of(decisions: Ints, frames: int, kept: tuple[int, ...], odd: Odd) -> bytes:
    """The payload of decisions (D, rows, columns, 5) of the frames that are not kept."""
    dropped = [t for t in range(frames) if t not in kept]
    wanted = {
        (t, y, x): [int(n) for n in decisions[number, y, x]]
        for number, t in enumerate(dropped)
        for y, x in np.ndindex(decisions.shape[1:3])
    }
    script = Script()
    with contextlib.suppress(ValueError):  # at a symbol that no reader takes: what was said so far is the vector
        Encoder(script, wanted, odd, frames, list(kept))
    return script.coded(START)
