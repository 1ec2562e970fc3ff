"""How vectors of motion are coded: by those of their neighbours (SPEC.md 7.5). Numbers are all integers.

They were fitted on training clips at QP 24, for fill policy motion. They decide how small a payload becomes, never
whether it can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from dfccodec.entropy.context_model import Coder
from dfccodec.entropy.context_tables import ESCAPE, SYMBOLS
from dfccodec.errors import DamagedError

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Shorts = npt.NDArray[np.int16]

CHOICES = 6
"""What a vector may be: the median (0), that of a neighbour (1 to 4), or a new one (5)."""

NEWMV = CHOICES - 1

SPREAD_CLASSES, AGREEMENT_CLASSES = 4, 4
"""Classes of how far candidates are apart, and of how many of them are the median."""

MVD_CLASSES = 8
"""Classes of how large a difference is to be expected."""

CHOICE_CONTEXTS = 2 * SPREAD_CLASSES * AGREEMENT_CLASSES
CONTEXTS = CHOICE_CONTEXTS + 2 * MVD_CLASSES
"""First those of choices, by whether neighbours are close, spread and sameness; then pairs of those of differences."""

PRIOR = 1024
"""What the first counts of a context add up to: 32 symbols, a quarter of what those of latents weigh."""

# Of 1024: the median, and a new vector, by spread and by how many are the same.
_MEDIAN = (
    700, 710, 750, 890, 560, 590, 660, 710, 480, 540, 600, 620, 300, 470, 550, 520,
    760, 870, 930, 1012, 560, 680, 760, 820, 510, 680, 690, 750, 330, 530, 640, 660,
)  # fmt: skip
_NEW = (
    130, 140, 130, 130, 160, 130, 100, 70, 150, 150, 150, 100, 300, 200, 190, 120,
    60, 30, 16, 8, 100, 60, 30, 16, 100, 46, 50, 30, 160, 96, 54, 30,
)  # fmt: skip

# Of 1024: no difference; of 256: what of the rest is the next magnitude.
_ZERO = (270, 240, 250, 195, 140, 110, 80, 60)
_RATIO = (60, 140, 120, 85, 60, 44, 28, 20)


@lru_cache(maxsize=1)
def initial_counts() -> npt.NDArray[np.int64]:
    """(CONTEXTS, SYMBOLS): the statistics that every clip begins with, each row adds up to 1024."""
    out = np.zeros((CONTEXTS, SYMBOLS), np.int64)
    for row, median, new in zip(out, _MEDIAN, _NEW, strict=False):
        rest = PRIOR - median - new
        row[ESCAPE : ESCAPE + 6] = median, rest - 3 * (rest >> 2), rest >> 2, rest >> 2, rest >> 2, new
    for number, row in enumerate(out[CHOICE_CONTEXTS:]):
        row[:] = _differences(_ZERO[number // 2], _RATIO[number // 2])
    return out


def _differences(zero: int, ratio: int) -> list[int]:
    row, rest = [0] * SYMBOLS, PRIOR - zero
    row[ESCAPE] = zero
    for size in range(1, ESCAPE + 1):
        here = rest * ratio >> 8 if size < ESCAPE else rest
        rest -= here
        row[ESCAPE + size] = here >> 1
        row[ESCAPE - size] = here - (here >> 1)
    return row


@dataclass(frozen=True)
class MVCandidates:
    """What is known of n vectors before they are coded; more dimensions may follow the n.

    Attributes:
        vectors: (5, n, 2) down and right: the median, and those of the neighbours.
        context: (n,) of the choice.
        mvd_context: (n,) of a difference down; the context after it is that of one right.
    """

    vectors: Shorts
    context: Bytes
    mvd_context: Bytes

    @classmethod
    def of(cls, neighbours: Shorts, before: Shorts, close: bool, offset: int) -> MVCandidates:
        """From (4, n, 2) and (n, 2), in a phase whose neighbours are `close`; `offset` is the number of context 0."""
        five = np.stack([*neighbours, before])
        low, median, high = np.sort(five, axis=0)[1:4]
        spread = (high.astype(np.int32) - low).sum(axis=-1)
        same = (five == median).all(axis=-1).sum(axis=0)
        same = np.where(spread > 0, same, np.maximum(same, 2) - 2)
        apart = np.searchsorted([1, 2, 4], spread, side="right")
        size = np.minimum(np.searchsorted(1 << np.arange(MVD_CLASSES - 1), spread, side="right"), MVD_CLASSES - 1)
        return cls(
            np.stack([median, *neighbours]),
            (offset + (close * SPREAD_CLASSES + apart) * AGREEMENT_CLASSES + same).astype(np.uint8),
            (offset + CHOICE_CONTEXTS + 2 * size).astype(np.uint8),
        )

    def at(self, *where: Any) -> MVCandidates:
        """Some of them, by index of the dimensions from n on."""
        return MVCandidates(self.vectors[(slice(None), *where)], self.context[where], self.mvd_context[where])

    def bits(self, mvs: Shorts, bits: Floats) -> Floats:
        """What each choice costs, (CHOICES, n), where a new vector is `mvs` (n, 2).

        Args:
            mvs: the new ones.
            bits: (contexts, SYMBOLS) of each symbol.
        """
        out = np.empty((CHOICES, len(mvs)), np.float32)
        out[:] = bits[self.context, ESCAPE : ESCAPE + CHOICES].T
        difference = mvs.astype(np.int32) - self.vectors[0]
        for axis in (0, 1):
            symbols = np.clip(difference[:, axis], -ESCAPE, ESCAPE) + ESCAPE
            out[NEWMV] += bits[self.mvd_context.astype(np.intp) + axis, symbols]
        more = np.maximum(np.abs(difference) - ESCAPE + 1, 0)
        out[NEWMV] += ((more > 0) * (4 + np.floor(np.log2(np.maximum(more, 1))))).sum(axis=1)
        return out

    def code(self, coder: Coder, mvs: Shorts | None, what: str) -> Shorts:
        """Hand vectors (n, 2) to a coder, or take them from it.

        Raises:
            DamagedError: a symbol that no writer makes; `what` is read.
        """
        choices = coder.code(self.context, None, None if mvs is None else choose(self.vectors, mvs))
        if choices.size and not (choices.min() >= 0 and choices.max() < CHOICES):
            raise DamagedError(f"{what}: vector symbol {choices.min()} or {choices.max()}: 0 to {CHOICES - 1}")
        found = self.vectors[np.minimum(choices, NEWMV - 1), np.arange(len(choices))]
        new = np.flatnonzero(choices == NEWMV)
        context, median = self.mvd_context[new], self.vectors[0, new]
        difference = None if mvs is None else (mvs[new] - median).T.astype(np.int32).ravel()
        difference = coder.code(np.concatenate([context, context + np.uint8(1)]), None, difference)
        found[new] = median + difference.reshape(2, -1).T.astype(np.int16)
        return found


def choose(known: Shorts, mvs: Shorts) -> Ints:
    """Which of `known` (5, n, 2) is `mvs` (n, 2): the first that is, or NEW."""
    same = (known == mvs).all(axis=-1)
    out: Ints = np.where(same.any(axis=0), same.argmax(axis=0), NEWMV).astype(np.int32)
    return out
