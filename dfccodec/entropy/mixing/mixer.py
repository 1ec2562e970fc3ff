"""The mixer in plain Python: what `native/mixing.c` does (SPEC.md 7.11.1), for the twins of both kinds of streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from dfccodec.entropy.mixing.tables import MAX_COUNT, MAX_WEIGHT, UNARY, Tables, squash_and_stretch

LEAST = 32
"""Least probability of a decision, in 1/65536."""

_START = 1 << 24
_MASK = _START - 1
_CLIP = 2047

_RATES = [655360 // (10 * n + 16) for n in range(256)]
_SCALES = [0] + [256 if n >= 30 else 256 * (2 * n + 3) // 63 for n in range(1, 256)]


@dataclass(frozen=True)
class NumberSets:
    """Where a number finds its weights: set `a` + `a_step` × node of A, `b` + `b_step` × min(length, `b_most`) of B."""

    a: int
    a_step: int
    b: int
    b_step: int
    b_most: int
    top_a: int
    top_b: int
    sign_a: int
    sign_b: int


class Mixer(ABC):
    """What learns: probabilities, counts and weights."""

    def __init__(self, tables: Tables, sets_a: int) -> None:
        squash, stretch = squash_and_stretch()
        self.squash: list[int] = squash.view(np.uint16).tolist()
        self.stretch: list[int] = stretch.tolist()
        self.probabilities: list[int] = tables.probabilities.tolist()
        self.counts: list[int] = tables.counts.tolist()
        self.weights: list[list[int]] = tables.weights.tolist()
        self.sets_a = sets_a

    def decide(self, contexts: list[int], set_a: int, set_b: int, bit: bool, least: int = LEAST) -> bool:
        """Code a decision; `bit` is for the encoder."""
        p, n, squash = self.probabilities, self.counts, self.squash
        a, b = self.weights[set_a], self.weights[self.sets_a + set_b]
        inputs = [self.stretch[p[c] >> 4] * _SCALES[n[c]] >> 8 for c in contexts]
        x = min(max(sum(w * v for w, v in zip(a, inputs, strict=True)) >> 16, -_CLIP), _CLIP) + 2048
        y = min(max(sum(w * v for w, v in zip(b, inputs, strict=True)) >> 16, -_CLIP), _CLIP) + 2048
        bit = self.code(min(max(squash[(x + y) >> 1], least), 65536 - least), bit)
        error_a, error_b = 10 * ((bit << 16) - squash[x]), 10 * ((bit << 16) - squash[y])
        limit, target = MAX_WEIGHT, 65535 if bit else 0
        for i, (c, v) in enumerate(zip(contexts, inputs, strict=True)):
            a[i] = min(max(a[i] + ((v * error_a + (1 << 17)) >> 18), -limit), limit)
            b[i] = min(max(b[i] + ((v * error_b + (1 << 17)) >> 18), -limit), limit)
            p[c] = min(max(p[c] + ((target - p[c]) * _RATES[n[c]] >> 16), LEAST), 65535 - LEAST)
            if n[c] < MAX_COUNT:
                n[c] += 1
        return bit

    @abstractmethod
    def code(self, one: int, bit: bool) -> bool:
        """Code a decision that is 1 with probability `one` / 65536."""

    @abstractmethod
    def bypass(self, bits: int, value: int) -> int:
        """Code a number of equally likely bits."""

    def length(self, first: list[int], sets: NumberSets, wanted: int) -> int:
        """Code the length in bits, 0 to 16, of a number (SPEC.md 7.11.1); `first` are the contexts of node 0."""
        bits, length = abs(wanted).bit_length(), 0
        while length < 16:
            node, set_b = min(length, UNARY - 1), sets.b + sets.b_step * min(length, sets.b_most)
            if not self.decide([c + node for c in first], sets.a + sets.a_step * node, set_b, bits > length):
                break
            length += 1
        return length

    def sign_and_digits(self, first: list[int], signs: list[int], sets: NumberSets, length: int, wanted: int) -> int:
        """Code a number whose length is not 0."""
        positive, found = self.decide(signs, sets.sign_a, sets.sign_b, wanted > 0), 1
        if length > 1:
            node, rest, magnitude = min(length, 7) - 2, length - 2, abs(wanted)
            contexts = [c + UNARY + node for c in first]
            found = 2 + self.decide(contexts, sets.top_a + node, sets.top_b, bool(magnitude >> rest & 1))
            found = found << rest | self.bypass(rest, magnitude & ((1 << rest) - 1))
        return wrap(found if positive else -found)

    def words_left(self) -> int:
        """Words that a decoder has not read yet."""
        return 0

    def is_lost(self) -> bool:
        """Whether a decoder is certainly out of step."""
        return False


class MixingEncoder(Mixer):
    def __init__(self, tables: Tables, sets_a: int) -> None:
        super().__init__(tables, sets_a)
        self.tape: list[tuple[int, int]] = []

    def code(self, one: int, bit: bool) -> bool:
        one <<= 8
        self.tape.append((one, _START - one) if bit else (_START - one, 0))
        return bit

    def bypass(self, bits: int, value: int) -> int:
        if bits:
            self.tape.append((1 << (24 - bits), value << (24 - bits)))
        return value

    def finish(self) -> bytes:
        x, words = _START, []
        for frequency, left in reversed(self.tape):
            if x >> 40 >= frequency:
                words.append(x & 0xFFFFFFFF)
                x >>= 32
            x = (x // frequency << 24) + left + x % frequency
        words += [x & 0xFFFFFFFF, x >> 32]
        return np.array(words if x >> 32 else words[:-1], "<u4").tobytes()


class MixingDecoder(Mixer):
    def __init__(self, data: bytes, tables: Tables, sets_a: int) -> None:
        super().__init__(tables, sets_a)
        self.words: list[int] = np.frombuffer(data, "<u4").tolist()
        self.state: int = self.words.pop()
        self._refill()

    def _refill(self) -> None:
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()

    def code(self, one: int, bit: bool) -> bool:
        one <<= 8
        low, zero = self.state & _MASK, _START - one
        bit = low >= zero
        self.state = (self.state >> 24) * (one if bit else zero) + low - (zero if bit else 0)
        self._refill()
        return bit

    def bypass(self, bits: int, value: int) -> int:
        if not bits:
            return 0
        low: int = self.state & _MASK
        self.state = (self.state >> 24 << (24 - bits)) + (low & ((1 << (24 - bits)) - 1))
        self._refill()
        return low >> (24 - bits)

    def words_left(self) -> int:
        return len(self.words)

    def is_lost(self) -> bool:
        return not self.words and self.state < _START

    def is_at_end(self) -> bool:
        return not self.words and self.state == _START


def wrap(x: int) -> int:
    """A number modulo 2^16, read as two's complement."""
    return (x + 32768 & 65535) - 32768
