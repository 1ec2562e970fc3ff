"""Writes latents of coding 1 for the conformance vectors: the walk of `read_range.py`, told what it is to find."""

from __future__ import annotations

import contextlib

import numpy as np
import numpy.typing as npt
from read_range import Decoder, Item, Stack

START = 1 << 24


class Script(Stack):
    """Gives out the symbols it was told, and remembers the tables they were asked for under."""

    def __init__(self) -> None:
        self.words, self.x = [], START
        self.lines: list[int] = []
        self.spoken: list[tuple[int, int]] = []

    def take(self, sums: range | list[int]) -> int:
        symbol = self.lines.pop(0)
        self.spoken.append((sums[symbol], sums[symbol + 1] - sums[symbol]))
        return symbol

    def coded(self, x: int) -> bytes:
        """The words of SPEC.md 7.4.1 from state x on."""
        words = []
        for left, f in reversed(self.spoken):
            if x >= f << 40:
                words.append(x & 0xFFFFFFFF)
                x >>= 32
            x = ((x // f) << 24) + left + x % f
        while x:
            words.append(x & 0xFFFFFFFF)
            x >>= 32
        return b"".join(word.to_bytes(4, "little") for word in words)


class Encoder(Decoder):
    """Finds the integers `wanted` (K, cells, C), with `levels` for the means."""

    def __init__(self, script: Script, wanted: npt.NDArray[np.int16], grid: list[int], levels: list[int]) -> None:
        self.wanted, self.first = wanted.tolist(), [b - a for a, b in zip([0, *levels], levels, strict=False)]
        self.script, self.k = script, -1
        super().__init__(script, len(wanted), grid, wanted.shape[2])

    def mean(self, level: int) -> int:
        """As it would be without a limit, modulo 2^16; a ValueError below 0."""
        level = level - 65536 if level > 65535 else level
        return (2 + (level & 1)) << (level // 2)

    def code(self, todo: list[Item]) -> list[int]:
        wanted = []
        for here, c, guess, flip, *_ in todo:
            r = flip * (self.wanted[self.k][here][c] - guess)
            wanted.append(self.first[c] if self.k < 0 else (r + 32768) % 65536 - 32768)
        self.script.lines = symbols_of(wanted, [item[4:] for item in todo])
        return super().code(todo)


def symbols_of(residuals: list[int], contexts: list[tuple[int, int]]) -> list[int]:
    """What a pass says, for contexts and shifts of each integer (SPEC.md 7.4.2)."""
    symbols, low, escapes = [], [], {}
    for i, (r, (_, shift)) in enumerate(zip(residuals, contexts, strict=True)):
        q = (r + (1 << shift >> 1)) >> shift
        low.append(r + (1 << shift >> 1) - (q << shift))
        symbols.append(min(max(q, -16), 16) + 16)
        if abs(q) >= 16:
            length = (abs(q) - 15).bit_length() - 1
            escapes[i] = length, abs(q) - 15 - (1 << length)
    count = range(len(residuals))
    say = [symbols[i] for i in sorted(count, key=lambda i: contexts[i][0])]
    say += [low[i] for i in sorted(count, key=lambda i: contexts[i][1]) if contexts[i][1]]
    say += [length for length, _ in escapes.values()]
    return say + [more for length, more in sorted(escapes.values(), key=lambda e: e[0]) if length]


class Chance(Script):
    """Symbols made up as they are asked for: whatever integers they stand for.

    Args:
        levels: how many symbols at the beginning are levels, all of them the first one.
        first: the level, 0…15.
        most: chances in 256 that a symbol is 16, an integer as expected.
    """

    def __init__(self, levels: int, first: int, most: int) -> None:
        super().__init__()
        self.given, self.most, self.state = [16 + first, *[16] * (levels - 1)], most, 1

    def dice(self, sides: int) -> int:
        self.state = (self.state * 1103515245 + 12345) % (1 << 31)
        return (self.state >> 16) * sides >> 15

    def take(self, sums: range | list[int]) -> int:
        raw = isinstance(sums, range)
        if raw:
            symbol = self.dice(min(len(sums) - 1, 1 << 14))
            symbol -= symbol == 15 and len(sums) == 17  # an escape that no writer makes
        elif self.given:
            symbol = self.given.pop(0)
        else:
            symbol = 16 if self.dice(256) < self.most else self.dice(33)
        self.lines = [symbol]
        return super().take(sums)


def by_chance(shape: tuple[int, ...], first: int, most: int) -> tuple[npt.NDArray[np.int16], bytes]:
    """Integers (K, tiles, rows, columns, C) and their words, from symbols made up; arguments as of `Chance`."""
    script = Chance(shape[4], first, most)
    found = Decoder(script, shape[0], list(shape[1:4]), shape[4]).v
    return np.array(found, np.int16).reshape(shape), script.coded(START)


class Patient(Stack):
    """Words that may end anywhere."""

    def end(self) -> None:
        pass


class ReadOn(Decoder):
    """What a reader finds that does not see that a level is too high."""

    mean = Encoder.mean


def read_on(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.int16]:
    """Integers (K, tiles, rows, columns, C) that are found in faulty words by a reader that goes on."""
    return np.array(ReadOn(Patient(data), shape[0], list(shape[1:4]), shape[4]).v, np.int16).reshape(shape)


def levels_of(flat: npt.NDArray[np.int16]) -> list[int]:
    """Of integers (K, cells, C), for each channel the level nearest to the mean of the first frame."""
    means = np.abs(flat[0].astype(np.int64)).sum(axis=0) * 256 // flat.shape[1]
    table = np.array([(2 + (i & 1)) << (i >> 1) for i in range(34)])
    return np.abs(table - means[:, None]).argmin(axis=1).tolist()  # type: ignore[no-any-return]


def words_of(values: npt.NDArray[np.int16], levels: list[int] | None = None, start: int = START) -> bytes:
    """Latents of coding 1 for integers (K, tiles, rows, columns, C), K at least 1.

    Args:
        values: the integers.
        levels: SPEC.md 7.4.4, one for each channel; by default the nearest to the mean of the first frame.
        start: the state to begin with; no other than 2^24 is right.
    """
    kept, *grid, channels = values.shape
    flat = values.reshape(kept, -1, channels)
    script = Script()
    with contextlib.suppress(ValueError):  # at a level that no reader takes: what was said so far is the vector
        Encoder(script, flat, grid, levels_of(flat) if levels is None else levels)
    return script.coded(start)
