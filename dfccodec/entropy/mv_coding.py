"""Coding of motion vectors with candidates from neighbouring blocks (SPEC.md 7.5).

All parameters are integers. They were fitted on training clips at QP 24, for fill policy `motion`. They affect only
the size of a payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from dfccodec.entropy.bit_table import BIT
from dfccodec.entropy.context_model import Coder
from dfccodec.entropy.context_tables import ESCAPE, SYMBOLS
from dfccodec.errors import DamagedError
from dfccodec.native import kernels

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int16]

CHOICES = 6
"""Number of choices for a vector: the median (0), the vector of a neighbour (1 to 4), or a new vector (5)."""

NEWMV = CHOICES - 1
"""Choice of a new vector."""

SPREAD_CLASSES, AGREEMENT_CLASSES = 4, 4
"""Number of classes of the spread of candidates, and of the number of candidates equal to the median."""

MVD_CLASSES = 8
"""Number of classes of the expected size of a vector difference."""

CHOICE_CONTEXTS = 2 * SPREAD_CLASSES * AGREEMENT_CLASSES
CONTEXTS = CHOICE_CONTEXTS + 2 * MVD_CLASSES
"""Contexts of choices, by adjacency, spread and agreement; then contexts of differences, in pairs (down, right)."""

INITIAL_TOTAL = 1024
"""Sum of the initial counts of a context: the weight of 32 symbols, a quarter of the weight for latents."""

# Initial counts, of 1024, of the median and of a new vector, by context.
_MEDIAN = (
    700, 710, 750, 890, 560, 590, 660, 710, 480, 540, 600, 620, 300, 470, 550, 520,
    760, 870, 930, 1012, 560, 680, 760, 820, 510, 680, 690, 750, 330, 530, 640, 660,
)  # fmt: skip
_NEW = (
    130, 140, 130, 130, 160, 130, 100, 70, 150, 150, 150, 100, 300, 200, 190, 120,
    60, 30, 16, 8, 100, 60, 30, 16, 100, 46, 50, 30, 160, 96, 54, 30,
)  # fmt: skip

# Initial count, of 1024, of difference 0; then the share, of 256, of the remaining count for each next magnitude.
_ZERO = (270, 240, 250, 195, 140, 110, 80, 60)
_RATIO = (60, 140, 120, 85, 60, 44, 28, 20)


@lru_cache(maxsize=1)
def initial_counts() -> npt.NDArray[np.int64]:
    """Return the symbol counts at the beginning of a clip, (CONTEXTS, SYMBOLS). Each row adds up to 1024."""
    out = np.zeros((CONTEXTS, SYMBOLS), np.int64)
    for row, median, new in zip(out, _MEDIAN, _NEW, strict=False):
        rest = INITIAL_TOTAL - median - new
        row[ESCAPE : ESCAPE + 6] = median, rest - 3 * (rest >> 2), rest >> 2, rest >> 2, rest >> 2, new
    for number, row in enumerate(out[CHOICE_CONTEXTS:]):
        row[:] = _difference_row(_ZERO[number // 2], _RATIO[number // 2])
    return out


def _difference_row(zero: int, ratio: int) -> list[int]:
    row, rest = [0] * SYMBOLS, INITIAL_TOTAL - zero
    row[ESCAPE] = zero
    for size in range(1, ESCAPE + 1):
        here = rest * ratio >> 8 if size < ESCAPE else rest
        rest -= here
        row[ESCAPE + size] = here >> 1
        row[ESCAPE - size] = here - (here >> 1)
    return row


@dataclass(frozen=True)
class MVCandidates:
    """Candidates and contexts of n vectors. More dimensions may follow the n.

    Attributes:
        vectors: (5, n, 2) candidates, down and right: the median, then the vectors of the four neighbours.
        context: (n,) context of the choice.
        mvd_context: (n,) context of the difference down; the next context is for the difference right.
    """

    vectors: Shorts
    context: Bytes
    mvd_context: Bytes

    @classmethod
    def from_neighbours(cls, neighbours: Shorts, fifth: Shorts, adjacent: bool, offset: int) -> MVCandidates:
        """Build candidates.

        Args:
            neighbours: (4, n, 2) vectors of the neighbours.
            fifth: (n, 2) fifth candidate, in general the vector of the same block in another frame.
            adjacent: whether neighbours share an edge with the block.
            offset: number of the first context of vectors.
        """
        if kernels is not None:
            return cls._from_kernel(neighbours, fifth, adjacent, offset)
        five = np.stack([*neighbours, fifth])
        low, median, high = np.sort(five, axis=0)[1:4]
        spread = (high.astype(np.int32) - low).sum(axis=-1)
        same = (five == median).all(axis=-1).sum(axis=0)
        same = np.where(spread > 0, same, np.maximum(same, 2) - 2)
        apart = np.searchsorted([1, 2, 4], spread, side="right")
        size = np.minimum(np.searchsorted(1 << np.arange(MVD_CLASSES - 1), spread, side="right"), MVD_CLASSES - 1)
        return cls(
            np.stack([median, *neighbours]),
            (offset + (adjacent * SPREAD_CLASSES + apart) * AGREEMENT_CLASSES + same).astype(np.uint8),
            (offset + CHOICE_CONTEXTS + 2 * size).astype(np.uint8),
        )

    @classmethod
    def _from_kernel(cls, neighbours: Shorts, fifth: Shorts, adjacent: bool, offset: int) -> MVCandidates:
        assert kernels is not None
        vectors = np.empty((5, *fifth.shape), np.int16)
        vectors[1:] = neighbours
        contexts, sizes = np.empty((2, *fifth.shape[:-1]), np.uint8)
        kernels.candidates(
            vectors[1:], np.ascontiguousarray(fifth, np.int16), adjacent, offset, vectors[0], contexts, sizes
        )
        return cls(vectors, contexts, sizes)

    def select(self, *where: Any) -> MVCandidates:
        """Return a subset, by an index of the dimensions from n on."""
        return MVCandidates(self.vectors[(slice(None), *where)], self.context[where], self.mvd_context[where])

    def bits(self, mvs: Shorts, bits: Ints) -> Longs:
        """Return the cost of each choice, (CHOICES, n), in the unit of `bits`.

        Args:
            mvs: (n, 2) the new vectors.
            bits: (contexts, SYMBOLS) cost of each symbol in 1 / BIT.
        """
        out = bits[self.context, ESCAPE : ESCAPE + CHOICES].T.astype(np.int64)
        difference = mvs.astype(np.int32) - self.vectors[0]
        for axis in (0, 1):
            symbols = np.clip(difference[:, axis], -ESCAPE, ESCAPE) + ESCAPE
            out[NEWMV] += bits[self.mvd_context.astype(np.intp) + axis, symbols]
        more = np.maximum(np.abs(difference) - ESCAPE + 1, 0)
        octave = np.frexp(np.maximum(more, 1).astype(np.float64))[1] - 1
        out[NEWMV] += BIT * ((more > 0) * (4 + octave)).sum(axis=1)
        return out

    def code(self, coder: Coder, mvs: Shorts | None, what: str) -> Shorts:
        """Encode or decode vectors.

        Args:
            coder: encodes or decodes symbols.
            mvs: (n, 2) vectors to encode; None to decode.
            what: name of the data, for messages.

        Returns:
            The vectors, (n, 2) int16.

        Raises:
            DamagedError: a decoded choice is invalid.
        """
        choices = coder.code(self.context, None, None if mvs is None else first_match(self.vectors, mvs))
        if choices.size and not (choices.min() >= 0 and choices.max() < CHOICES):
            raise DamagedError(
                f"{what}: vector choices from {choices.min()} to {choices.max()}; only 0 to {CHOICES - 1} are valid"
            )
        found = self.vectors[np.minimum(choices, NEWMV - 1), np.arange(len(choices))]
        new = np.flatnonzero(choices == NEWMV)
        context, median = self.mvd_context[new], self.vectors[0, new]
        difference = None if mvs is None else (mvs[new] - median).T.astype(np.int32).ravel()
        difference = coder.code(np.concatenate([context, context + np.uint8(1)]), None, difference)
        found[new] = median + difference.reshape(2, -1).T.astype(np.int16)
        return found


def first_match(candidates: Shorts, mvs: Shorts) -> Ints:
    """Return the index of the first of `candidates` (5, n, 2) that equals `mvs` (n, 2), or NEWMV; (n,) int32."""
    same = (candidates == mvs).all(axis=-1)
    out: Ints = np.where(same.any(axis=0), same.argmax(axis=0), NEWMV).astype(np.int32)
    return out
