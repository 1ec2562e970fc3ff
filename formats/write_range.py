"""Encoder of latent coding 1 for the conformance vectors: the decoder of `read_range.py`, made to write.

The decoder asks for every symbol of a stream in coding order. `SymbolRecorder` answers with the symbols to be coded and
records the frequency intervals, then writes the words from the last symbol to the first.
"""

from __future__ import annotations

import contextlib

import numpy as np
import numpy.typing as npt
from read_range import Item, LatentDecoder, RansDecoder

START = 1 << 24


class SymbolRecorder(RansDecoder):
    """Stands in for the rANS decoder: returns given symbols and records their frequency intervals."""

    def __init__(self) -> None:
        self.words, self.x = [], START
        self.symbols: list[int] = []
        self.intervals: list[tuple[int, int]] = []

    def decode(self, sums: range | list[int]) -> int:
        symbol = self.symbols.pop(0)
        self.intervals.append((sums[symbol], sums[symbol + 1] - sums[symbol]))
        return symbol

    def finish(self, x: int) -> bytes:
        """Code the recorded symbols, beginning with state x (SPEC.md 7.4.1)."""
        words = []
        for left, f in reversed(self.intervals):
            if x >= f << 40:
                words.append(x & 0xFFFFFFFF)
                x >>= 32
            x = ((x // f) << 24) + left + x % f
        while x:
            words.append(x & 0xFFFFFFFF)
            x >>= 32
        return b"".join(word.to_bytes(4, "little") for word in words)


class LatentEncoder(LatentDecoder):
    """Codes the integers `wanted` (K, cells, C), with `levels` for the means."""

    def __init__(
        self, recorder: SymbolRecorder, wanted: npt.NDArray[np.int16], grid: list[int], levels: list[int]
    ) -> None:
        self.wanted, self.first = wanted.tolist(), [b - a for a, b in zip([0, *levels], levels, strict=False)]
        self.recorder, self.k = recorder, -1
        super().__init__(recorder, len(wanted), grid, wanted.shape[2])

    def level_mean(self, level: int) -> int:
        """The mean of any level, without the limit of 33, modulo 2^16. ValueError: below 0."""
        level = level - 65536 if level > 65535 else level
        return (2 + (level & 1)) << (level // 2)

    def code_pass(self, items: list[Item]) -> list[int]:
        wanted = []
        for here, c, guess, flip, *_ in items:
            r = flip * (self.wanted[self.k][here][c] - guess)
            wanted.append(self.first[c] if self.k < 0 else (r + 32768) % 65536 - 32768)
        self.recorder.symbols = pass_symbols(wanted, [item[4:] for item in items])
        return super().code_pass(items)


def pass_symbols(residuals: list[int], contexts: list[tuple[int, int]]) -> list[int]:
    """The symbols of a pass, from residuals and from context and shift of each (SPEC.md 7.4.2)."""
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


class RandomSymbols(SymbolRecorder):
    """Returns pseudo-random symbols, whatever integers they code.

    Args:
        levels: number of symbols at the beginning that are levels; all levels are `first`.
        first: the level of every channel, 0…15.
        most: probability, in 256ths, of symbol 16, a residual of 0.
        longest: largest length of an escape. Writers code at most 14.
    """

    def __init__(self, levels: int, first: int, most: int, longest: int = 14) -> None:
        super().__init__()
        self.given, self.most, self.longest, self.state = [16 + first, *[16] * (levels - 1)], most, longest, 1

    def dice(self, sides: int) -> int:
        self.state = (self.state * 1103515245 + 12345) % (1 << 31)
        return (self.state >> 16) * sides >> 15

    def decode(self, sums: range | list[int]) -> int:
        if self.given:
            symbol = self.given.pop(0)
        elif isinstance(sums, range):
            symbol = self.dice(min(len(sums) - 1, 1 << 14))
            if len(sums) == 17:  # the length of an escape, or four low bits
                symbol = min(symbol, self.longest)
        else:
            symbol = 16 if self.dice(256) < self.most else self.dice(33)
        self.symbols = [symbol]
        return super().decode(sums)


def random_latents(
    shape: tuple[int, ...], first: int, most: int, longest: int = 14
) -> tuple[npt.NDArray[np.int16], bytes]:
    """Integers (K, tiles, rows, columns, C) and their words, from random symbols; arguments as of `RandomSymbols`."""
    recorder = RandomSymbols(shape[4], first, most, longest)
    found = LatentDecoder(recorder, shape[0], list(shape[1:4]), shape[4]).v
    return np.array(found, np.int16).reshape(shape), recorder.finish(START)


class LenientRans(RansDecoder):
    """A rANS decoder that does not check its final state."""

    def check_end(self) -> None:
        pass


class LenientDecoder(LatentDecoder):
    """A decoder that does not check levels."""

    level_mean = LatentEncoder.level_mean


def decode_leniently(data: bytes, shape: tuple[int, ...]) -> npt.NDArray[np.int16]:
    """Integers (K, tiles, rows, columns, C) that a decoder finds in faulty words if it does not check them."""
    return np.array(LenientDecoder(LenientRans(data), shape[0], list(shape[1:4]), shape[4]).v, np.int16).reshape(shape)


def nearest_levels(flat: npt.NDArray[np.int16]) -> list[int]:
    """The level nearest to the mean magnitude of the first frame, for each channel of integers (K, cells, C)."""
    means = np.abs(flat[0].astype(np.int64)).sum(axis=0) * 256 // flat.shape[1]
    table = np.array([(2 + (i & 1)) << (i >> 1) for i in range(34)])
    return np.abs(table - means[:, None]).argmin(axis=1).tolist()  # type: ignore[no-any-return]


def encode_range(values: npt.NDArray[np.int16], levels: list[int] | None = None, start: int = START) -> bytes:
    """Latents of coding 1 for integers (K, tiles, rows, columns, C), K at least 1.

    Args:
        values: the integers.
        levels: SPEC.md 7.6.4, one for each channel; by default the nearest to the mean of the first frame.
        start: initial state of the encoder; only 2^24 is valid.
    """
    kept, *grid, channels = values.shape
    flat = values.reshape(kept, -1, channels)
    recorder = SymbolRecorder()
    with contextlib.suppress(ValueError):  # raised at an invalid level: the symbols up to it are the vector
        LatentEncoder(recorder, flat, grid, nearest_levels(flat) if levels is None else levels)
    return recorder.finish(start)
