"""Context mixing (SPEC.md 7.11.1, 7.11.2): tables, decisions and numbers. ValueError: damaged.

Integers are in `read_mixed_integers.py`, motion in `read_mixed_motion.py`. The models also write: they pass the
decision that is wanted to a coder, which returns the one that is coded.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import zstandard
from read_range import RansDecoder

Keys = tuple[int, ...]
K = [32, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768, 40793, 47911, 53581]
K += [57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65504]
EDGES = [0, 2, 6, 12, 20, 32, 48, 64]  # first channel of each group, of 96
DETAIL_EDGES = [0, 3, 9, 18, 36, 60, 90, 130]  # likewise, of 192
GROUPS = [bisect_right(EDGES, c) - 1 for c in range(96)]
DETAIL_GROUPS = [bisect_right(DETAIL_EDGES, c) - 1 for c in range(192)]
DETAILS = 4  # content
# Of each kind of decision: keys of the seven inputs, nodes, sets of A, sets of B.
INTEGER_KINDS: list[tuple[Keys, int, int, int]] = [
    ((2400, 2304, 576, 768, 3072, 576, 672), 18, 198, 312),
    ((864, 48, 288, 1152, 1008, 96, 72), 1, 16, 3),
    ((17, 81, 170, 81, 73, 81, 100), 8, 16, 9),
]
DETAIL_KINDS: list[tuple[Keys, int, int, int]] = [
    ((4800, 4608, 576, 768, 6144, 576, 672), 18, 198, 312),
    ((1728, 48, 576, 1152, 1008, 192, 72), 1, 16, 3),
    ((17, 81, 170, 81, 73, 81, 100), 8, 16, 9),
]
MOTION_KINDS: list[tuple[Keys, int, int, int]] = [
    ((625, 768, 3125, 625, 1600, 320, 1500), 3, 45, 90),
    ((576, 360, 500, 200, 1024, 400, 1200), 6, 12, 108),
    ((144, 128, 128, 256, 96, 32, 400), 18, 30, 104),
    ((6, 3, 64, 3, 8, 4, 9), 1, 1, 64),
]
LIMIT = 1 << 20  # of a weight
Need = Callable[..., None]


def squash(x: int) -> int:
    j, f = x + 2048 >> 7, x & 127
    return K[j] + ((K[j + 1] - K[j]) * f + 64 >> 7)


SQUASH = [squash(x) for x in range(-2048, 2048)]  # of x: SQUASH[x + 2048]
STRETCH = [min(max(bisect_left(SQUASH, 16 * p + 8) - 2048, -2047), 2047) for p in range(4096)]
SCALE = [0, *(256 * (2 * n + 3) // 63 for n in range(1, 30)), *[256] * 226]
RATE = [655360 // (10 * n + 16) for n in range(256)]


class Coder(Protocol):
    """Reads decisions and bits, or writes those wanted; returns what is coded."""

    def decision(self, p: int, wanted: int) -> int:
        """A decision of probability p / 65536 to be 1."""

    def bits(self, count: int, wanted: int) -> int:
        """`count` bypass bits."""


class MixingReader(RansDecoder):
    """The coder that reads."""

    def decision(self, p: int, wanted: int) -> int:
        zero = (1 << 24) - 256 * p
        symbol = self.decode([0, zero, 1 << 24])
        if self.x < 1 << 24 and not self.words:
            raise ValueError("rANS stream: too short")
        return symbol

    def bits(self, count: int, wanted: int) -> int:
        return self.bypass(count)


class Tables(NamedTuple):
    """The tables of a content (SPEC.md 7.11.2)."""

    profile: list[int]
    partners: list[list[int]]
    linear: list[list[int]]
    probabilities: list[int]
    counts: list[int]
    weights: tuple[list[list[int]], list[list[int]]]  # of sets of A, of sets of B


@cache
def table_file() -> bytes:
    packed = Path(__file__).with_name("mixing.tables").read_bytes()
    return zstandard.ZstdDecompressor().decompress(packed, 1 << 24)


def kinds_of(content: int) -> list[tuple[Keys, int, int, int]]:
    return INTEGER_KINDS if content < 2 else DETAIL_KINDS if content == DETAILS else MOTION_KINDS


def groups_of(content: int) -> list[int]:
    """The group of each channel."""
    return DETAIL_GROUPS if content == DETAILS else GROUPS


def read_tables(content: int) -> Tables:
    """The tables at the beginning of a clip."""
    data, at = table_file(), 0

    def take(layout: str, *shape: int) -> Any:
        nonlocal at
        count = int(np.prod(shape))
        found = np.frombuffer(data, layout, count, at).astype(int).reshape(shape)
        at += count * np.dtype(layout).itemsize
        return found

    for now in range(5):
        integers, kinds = now not in (2, 3), kinds_of(now)
        channels = len(groups_of(now)) * integers
        profile, partners = take("<u2", channels), take("u1", channels, 2)
        linear = take("<i2", 40 * integers, 84)
        contexts = sum(sum(keys) * nodes for keys, nodes, _, _ in kinds)
        places = np.clip(64 * take("i1", contexts), -2047, 2047) + 2048
        counts = take("u1", contexts).tolist()
        numbers = sum(a for _, _, a, _ in kinds), sum(b for _, _, _, b in kinds)
        weights = [64 * take("<i2", count, 7) for count in numbers]
        if now == content:
            probabilities = np.array(SQUASH)[places].tolist()
            sets = weights[0].tolist(), weights[1].tolist()
            return Tables(profile.tolist(), partners.tolist(), linear.tolist(), probabilities, counts, sets)
    raise ValueError(f"content {content}")


class Kind(NamedTuple):
    """A kind of decision: first context of each input, number of nodes, first set of A and of B."""

    first: list[int]
    nodes: int
    a: int
    b: int


def number_kinds(content: int) -> list[Kind]:
    """Where the contexts and sets of each kind begin (SPEC.md 7.11.1)."""
    out, context, a, b = [], 0, 0, 0
    for keys, nodes, sets_a, sets_b in kinds_of(content):
        *first, end = accumulate((count * nodes for count in keys), initial=context)
        out.append(Kind(first, nodes, a, b))
        context, a, b = end, a + sets_a, b + sets_b
    return out


class MixingModel:
    """Probabilities and weights of a stream, with the coder of its decisions (SPEC.md 7.11.1)."""

    def __init__(self, coder: Coder, content: int) -> None:
        self.coder, self.content, self.kinds = coder, content, number_kinds(content)
        self.tables = read_tables(content)
        self.p, self.n = self.tables.probabilities, self.tables.counts
        self.a, self.b = self.tables.weights

    def decide(self, contexts: list[int], set_a: int, set_b: int, least: int, bit: int) -> int:
        """Code a decision; `bit` is the one wanted. Returns the one coded, after which the model has changed."""
        p, n, a, b = self.p, self.n, self.a[set_a], self.b[set_b]
        s = [STRETCH[p[c] >> 4] * SCALE[n[c]] >> 8 for c in contexts]
        x = min(max(sum(map(mul, a, s)) >> 16, -2047), 2047)
        y = min(max(sum(map(mul, b, s)) >> 16, -2047), 2047)
        d = self.coder.decision(min(max(SQUASH[(x + y >> 1) + 2048], least), 65536 - least), bit)
        for weights, place in ((a, x), (b, y)):
            error = 10 * (65536 * d - SQUASH[place + 2048])
            weights[:] = [
                min(max(w + (t * error + (1 << 17) >> 18), -LIMIT), LIMIT) for w, t in zip(weights, s, strict=True)
            ]
        target = 65535 * d
        for c in contexts:
            p[c] = min(max(p[c] + ((target - p[c]) * RATE[n[c]] >> 16), 32), 65503)
            n[c] = min(n[c] + 1, 255)
        return d

    def decide_node(
        self, kind: int, node: int, keys: Keys, sets: tuple[int, int], bit: int | bool, least: int = 32
    ) -> int:
        """A decision of a kind, with keys and sets as numbered within the kind."""
        first, nodes, a, b = self.kinds[kind]
        contexts = [start + key * nodes + node for start, key in zip(first, keys, strict=True)]
        return self.decide(contexts, a + sets[0], b + sets[1], least, int(bit))

    def code_number(
        self,
        kinds: tuple[int, int],
        keys: tuple[Keys, Keys],
        sets: Callable[[int, int], tuple[int, int]],
        sign_sets: tuple[int, int],
        wanted: int,
    ) -> int:
        """A number.

        Args:
            kinds: of its length, of its sign.
            keys: likewise.
            sets: the sets of a node, from the length so far and the node.
            sign_sets: the sets of the sign.
            wanted: the number to write.
        """
        aim, length = abs(wanted), 0
        while length < 16:
            node = min(length, 11)
            if not self.decide_node(kinds[0], node, keys[0], sets(length, node), length < aim.bit_length()):
                break
            length += 1
        if length == 0:
            return 0
        positive, m = self.decide_node(kinds[1], 0, keys[1], sign_sets, wanted > 0), 1
        if length > 1:
            node = 10 + min(length, 7)
            m = 2 + self.decide_node(kinds[0], node, keys[0], sets(length, node), aim >> length - 2 & 1)
        if length > 2:
            m = (m << length - 2) + self.coder.bits(length - 2, aim & (1 << length - 2) - 1)
        return wrapped(m if positive else -m)


def wrapped(n: int) -> int:
    """n modulo 2^16, read as two's complement."""
    return (n + 32768) % 65536 - 32768


def sign(n: int) -> int:
    return (n > 0) - (n < 0)


def refuse(fine: bool, message: str, kind: str = "damaged") -> None:
    if not fine:
        raise ValueError(message, kind)
