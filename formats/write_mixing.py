"""Encoder of context mixing (SPEC.md 7.11) for the conformance vectors: the readers, made to write."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from read_mixed_integers import MixedIntegers
from read_mixed_motion import MixedMotion
from read_mixing import read_tables
from read_motion import Block, Place, Sides
from write_motion import clear_unused_vectors
from write_range import START, SymbolRecorder

Ints = npt.NDArray[np.int16]


class MixingWriter(SymbolRecorder):
    """The coder that writes: records what is wanted, and returns it."""

    def decision(self, p: int, wanted: int) -> int:
        self.symbols = [wanted]
        return self.decode([0, (1 << 24) - 256 * p, 1 << 24])

    def bits(self, count: int, wanted: int) -> int:
        self.symbols = [wanted]
        return self.bypass(count)


def nearest_level(values: Ints, content: int) -> int:
    """The level whose means are nearest to the magnitudes of the first frame (frames, rows, columns, channels)."""
    profile = np.array(read_tables(content).profile)
    mean = 256 * np.abs(values[0].astype(np.int64)).mean(axis=(0, 1)).sum()
    factors = np.array([(2 + (level & 1)) << (level >> 1) for level in range(34)])
    return int(np.abs(np.log2(factors * max(profile.sum(), 1) / 256) - np.log2(max(mean, 1))).argmin())


def level_of(data: bytes) -> int:
    """The level of a stream of integers: its first six bits."""
    return int.from_bytes(data[-8:], "little") >> 18 & 63 if len(data) > 4 else 0


def mixed_integers(values: Ints, content: int, level: int | None = None, start: int = START) -> bytes:
    """The stream of integers (frames, rows, columns, channels) of content 0, 1 or 4; no byte without frames.

    Args:
        values: the integers.
        content: which tables.
        level: 0 … 33 (SPEC.md 7.11.3); by default the nearest to the first frame.
        start: initial state of the encoder; only 2^24 is valid.
    """
    frames, rows, columns, _ = values.shape
    if not frames:
        return b""
    recorder = MixingWriter()
    chosen = nearest_level(values, content) if level is None else level
    MixedIntegers(recorder, content, (frames, rows, columns), chosen, values)
    return recorder.finish(start)


def mixed_motion(decisions: Ints, sides: Sides, rows: int, columns: int, content: int, start: int = START) -> bytes:
    """The stream of decisions (D, rows, columns, 5) of the frames with references, of content 2 or 3.

    It is written also if all modes are 0, for which a writer of files writes no byte. ValueError: a mode that uses a
    reference that does not exist.
    """
    numbers = {t: number for number, t in enumerate(sorted(sides))}
    plain = clear_unused_vectors(decisions).tolist()

    def wanted(place: Place) -> Block:
        t, y, x = place
        mode, *rest = plain[numbers[t]][y][x]
        return mode, [(rest[0], rest[1]), (rest[2], rest[3])]

    recorder = MixingWriter()
    blocks = MixedMotion(recorder, content, sides, (rows, columns), wanted).blocks
    for place, (mode, vectors) in blocks.items():
        aim, aims = wanted(place)
        if mode != aim or any(mode >> side & 1 and vectors[side] != aims[side] for side in (0, 1)):
            raise ValueError(f"block {place} cannot be coded: mode {aim}")
    return recorder.finish(start)
