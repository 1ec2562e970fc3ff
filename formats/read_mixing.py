"""Reader of context mixing (SPEC.md 7.11), one decision at a time. ValueError: damaged.

The models below also write: they pass the decision that is wanted to a coder, which returns the one that is coded.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate
from operator import mul
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import zstandard
from read_motion import CORNERS, SIDES, Block, MotionDecoder, Place, Sides, neighbour
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
MAGNITUDE, SIGN, DEPTH = range(3)
MODE, CHOICE, DIFFERENCE, DIFFERENCE_SIGN = range(4)
NOT_USED, NEW = 6, 5  # choices
LIMIT = 1 << 20  # of a weight
STILL: Block = (0, [(0, 0), (0, 0)])
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


def bucket(n: int) -> int:
    if n < 4:
        return 0
    e = n.bit_length() - 1
    return min(2 * (e - 2) + (n >> e - 1 & 1) + 1, 23)


class Cell(NamedTuple):
    """The cells around a cell."""

    neighbours: list[tuple[int, int]]  # index, weight: left, above, above left, above right
    weight: int
    sides: list[int]  # left, right, above, below, inside of the picture
    five: list[int]  # itself, left, above, right, below, or itself
    corners: list[int | None]  # left, above, above left, above right


def cells_around(rows: int, columns: int) -> list[Cell]:
    def at(y: int, x: int) -> int | None:
        return y * columns + x if 0 <= y < rows and 0 <= x < columns else None

    out = []
    for y, x in np.ndindex(rows, columns):
        corners = [at(y, x - 1), at(y - 1, x), at(y - 1, x - 1), at(y - 1, x + 1)]
        near = [(i, w) for i, w in zip(corners, (5, 5, 3, 3), strict=True) if i is not None]
        beside = [corners[0], corners[1], at(y, x + 1), at(y + 1, x)]
        sides, here = [i for i in beside if i is not None], y * columns + x
        five = [here, *(here if i is None else i for i in beside)]
        out.append(Cell(near, sum(w for _, w in near), sides, five, corners))
    return out


class MixedIntegers(MixingModel):
    """The integers of a stream, v[frame][channel][cell] (SPEC.md 7.11.3); `wanted` is those to write."""

    def __init__(
        self, coder: Coder, content: int, shape: tuple[int, int, int], level: int = 0, wanted: np.ndarray | None = None
    ) -> None:
        super().__init__(coder, content)
        self.groups = groups_of(content)
        channels = len(self.groups)
        frames, self.rows, self.columns = shape
        self.cells = cells_around(self.rows, self.columns)
        self.level = coder.bits(6, level)
        if self.level > 33 and wanted is None:
            raise ValueError(f"level {self.level}")
        factor = 2 + (self.level & 1) << (self.level >> 1)
        self.means = [min(max(mean * factor >> 8, 2), (1 << 18) - 1) for mean in self.tables.profile]
        self.v: list[list[list[int]]] = []
        self.depths: list[int] = []
        for k in range(frames):
            aim = None if wanted is None else wanted[k].reshape(-1, channels)
            self.later, self.u = int(k > 0), self.v[-1] if k else [[0] * len(self.cells)] * channels
            self.depths = self.code_depths(self.depths, aim)
            self.code_frame(aim)
            self.update_means()

    def code_depths(self, old: list[int], aim: np.ndarray | None) -> list[int]:
        """The depths of a frame; `old` is those of the frame before."""
        depths: list[int] = []
        smallest = [0] * len(self.cells)
        if aim is not None:
            smallest = [max((self.groups[c] + 1 for c in np.flatnonzero(row)), default=0) for row in aim]
        for y, x in np.ndindex(self.rows, self.columns):
            i, w = y * self.columns + x, self.columns
            above = depths[i - w] if y else depths[i - 1] if x else 4
            left = depths[i - 1] if x else above
            above_left = depths[i - w - 1] if y and x else above
            above_right = depths[i - w + 1] if y and x + 1 < w else above
            left2, above2 = depths[i - 2] if x > 1 else left, depths[i - 2 * w] if y > 1 else above
            before, after = (old[i], old[min(i + 1, len(old) - 1)]) if self.later else (9, 9)
            total = left + above + above_left + above_right
            keys = (
                left + above, 9 * left + above, 17 * before + left + above, 9 * above_right + above,
                total + 40 * self.later, 9 * left2 + above2, 10 * before + after,
            )  # fmt: skip
            d = 0
            while d < 8 and self.decide_node(DEPTH, d, keys, (2 * d + self.later, left), d < smallest[i], 128):
                d += 1
            depths.append(d)
        return depths

    def code_frame(self, aim: np.ndarray | None) -> None:
        """The integers of a frame, channel by channel."""
        cells = len(self.cells)
        self.now: list[list[int]] = []
        self.near, self.far = [[0] * cells, [0] * cells], [[0] * cells, [0] * cells]  # of the size, of the change
        self.nearsum = self.farsum = 0
        self.v.append(self.now)
        for c, g in enumerate(self.groups):
            v, u, wanted = [0] * cells, self.u[c], [0] * cells if aim is None else aim[:, c].tolist()
            self.now.append(v)
            for i, depth in enumerate(self.depths):
                if depth > g:
                    v[i] = self.code_integer(c, g, i, depth, wanted[i])
            for kind in range(1 + self.later):
                sizes = [abs(n - m) for n, m in zip(v, u, strict=True)] if kind else [abs(n) for n in v]
                self.near[kind] = [(7 * n >> 3) + 256 * m for n, m in zip(self.near[kind], sizes, strict=True)]
                self.far[kind] = [(31 * n >> 5) + 256 * m for n, m in zip(self.far[kind], sizes, strict=True)]
            self.nearsum = (7 * self.nearsum >> 3) + self.means[c]
            self.farsum = (31 * self.farsum >> 5) + self.means[c]

    def update_means(self) -> None:
        for c, v in enumerate(self.now):
            m = min(max(256 * sum(map(abs, v)) // len(v), 2), (1 << 18) - 1)
            self.means[c] = 5 * self.means[c] + 3 * m >> 3 if self.later else m

    def linear(self, c: int, i: int, l: int, t: int) -> int:  # noqa: E741
        """The linear prediction q of channel c of cell i, in 1/256; l and t are the integers left and above."""
        w, k, v = self.tables.linear[c], min(c, 16), self.now[c]
        left, above, above_left, above_right = self.cells[i].corners
        l, t = (t if left is None else l), (l if above is None else t)  # noqa: E741
        corners = [
            l if above is None else t if there is None else v[there] for there in (above_left, above_right)
        ]  # fmt: skip
        q = w[80] * l + w[81] * t + w[82] * corners[0] + w[83] * corners[1]
        for j, there in enumerate(self.cells[i].five):
            q += sum(w[16 * j + n] * self.now[n][there] for n in range(k))
        return q

    def ratios(self, c: int, i: int, static: int, around: int) -> tuple[int, int, int, int]:
        cell, near = self.cells[i], self.near[static]
        r1 = r2 = r3 = 256
        if c:
            r1 = min(256 * near[i] // self.nearsum, 65536)
            r2 = min(256 * self.far[static][i] // self.farsum, 65536)
            if cell.sides:
                r3 = min(256 * sum(near[j] for j in cell.sides) // (len(cell.sides) * self.nearsum), 65536)
        return r1, r2, r3, min(65536 * around // (cell.weight * self.means[c]) if cell.weight else r3, 4096)

    def code_integer(self, c: int, g: int, i: int, depth: int, wanted: int) -> int:
        """The integer of channel c, of group g, of cell i."""
        cell, v, old, later = self.cells[i], self.now[c], self.u[c], self.later
        around = sum(w * abs(v[j]) for j, w in cell.neighbours)
        static = 0
        if later:
            changed = sum(w * abs(v[j] - old[j]) for j, w in cell.neighbours)
            change, size = (
                4 * self.near[kind][i] + self.far[kind][i] + 64 * total for kind, total in ((1, changed), (0, around))
            )
            static = int(8 * change < 5 * size)
            around = changed if static else around
        u = old[i]
        l, t = (0 if j is None else v[j] - static * old[j] for j in cell.corners[:2])  # noqa: E741
        guess, q = u * static, 0
        if not static and c < 40:
            q = self.linear(c, i, l, t)
            if self.content == 0 and c in (0, 1, 4):
                guess = q + 128 >> 8
                q -= 256 * guess
        r1, r2, r3, r4 = self.ratios(c, i, static, around)
        a = self.means[c]
        s, b1, b2, b41 = (
            bucket(r * a >> 8) for r in (140 * r1 + 64 * r2 + 26 * r3 + 26 * r4 >> 8, r1, r2, r4 + r1 >> 1)
        )
        below, big = min(depth - g - 1, 3), bucket(abs(q))
        n = bisect_right((1, 4, 8, 12, 20, 40, 80), 16 * around // cell.weight) if cell.weight else 0
        o = []
        for partner in self.tables.partners[c]:
            size = abs(self.now[partner][i] - static * self.u[partner][i]) if partner < c else 0
            o.append(size if size < 4 else 3 if size < 8 else 4)
        state = 6 if static else 1 + min(abs(u), 4) if later else 0
        keys = (
            25 * c + 5 * o[0] + o[1], 24 * c + s, 24 * b1 + b2, (8 * b41 + n) * 4 + below,
            (8 * c + n) * 4 + below, 24 * big + s, (7 * s + state) * 4 + below,
        )  # fmt: skip
        tilt, pair = 2 * big + (q > 0), 3 * (sign(l) + 1) + sign(t) + 1
        sign_keys = (
            9 * c + pair, tilt, 3 * c + sign(u) + 1, 48 * s + tilt, 48 * min(c, 20) + tilt, c, 9 * g + pair,
        )  # fmt: skip

        def sets(length: int, node: int) -> tuple[int, int]:
            if node < 12:
                return (12 * g + node) * 2 + later, (24 * min(length, 2) + s) * 4 + below
            return 192 + node - 12, 288 + s

        aim, sign_sets = wrapped(wanted - guess), (2 * g + later, sign(u) + 1)
        return wrapped(guess + self.code_number((MAGNITUDE, SIGN), (keys, sign_keys), sets, sign_sets, aim))

    def integers(self) -> np.ndarray:
        found = np.array(self.v, np.int16).reshape(-1, len(self.groups), self.rows, self.columns)
        return np.ascontiguousarray(np.moveaxis(found, 1, -1))


class MixedMotion(MotionDecoder):
    """The decisions of a stream (SPEC.md 7.11.4): `blocks[t, y, x]` for every frame t with references."""

    def __init__(
        self,
        coder: Coder,
        content: int,
        sides: Sides,
        grid: tuple[int, int],
        wanted: Callable[[Place], Block] = lambda _: STILL,
    ) -> None:
        self.model, self.sides, self.wanted = MixingModel(coder, content), sides, wanted
        self.rows, self.columns = grid
        self.blocks: dict[Place, Block] = {}
        self.choices: dict[Place, list[int]] = {}
        depth: dict[int, int] = {}
        for t in sorted(sides):
            depth[t] = depth.get(t - 1, -1) + 1
        for layer in range(max(depth.values(), default=-1) + 1):
            for phase in range(7):
                for t in (t for t in depth if depth[t] == layer):
                    for y, x in self.phase_blocks(phase):
                        self.code_block(layer, phase, (t, y, x))

    def phase_blocks(self, phase: int) -> Iterator[tuple[int, int]]:
        """The blocks of a phase, row by row (SPEC.md 7.5.1)."""
        step = (8, 4, 4, 2, 2, 1, 1)[phase]
        for y in range(0, self.rows, step):
            for x in range(0, self.columns, step):
                odd = y // step % 2, x // step % 2
                if phase == 0 or (odd == (1, 1) if phase % 2 else sum(odd) == 1):
                    yield y, x

    def code_block(self, layer: int, phase: int, block: Place) -> None:
        """Mode and vectors of a block."""
        t, y, x = block
        step, aim = (8, 4, 4, 2, 2, 1, 1)[phase], self.wanted(block)
        previous = self.scaled_previous(t, y, x) if layer else STILL
        around, chosen = [previous] * 4, [[NOT_USED] * 2] * 4
        if phase:
            moves = CORNERS if phase % 2 else SIDES
            at = [(t, neighbour(y, i * step, self.rows), neighbour(x, j * step, self.columns)) for i, j in moves]
            around = [STILL if place == block else self.blocks[place] for place in at]
            chosen = [[NOT_USED] * 2 if place == block else self.choices[place] for place in at]
        fives: list[list[tuple[int, int]]] = []
        for side in (0, 1):
            four = [vectors[side] for _, vectors in around]
            fives.append([*four, previous[1][side] if layer else four[0]])
        close = max(phase - 4, 0)
        modes, before = [mode for mode, _ in around], previous[0] if layer else 4
        spreads = [min(spread(five).bit_length(), 7) for five in fives]
        mode = self.code_mode(layer, phase, block, modes, before, spreads, aim[0])
        vectors, choices = [median(five) for five in fives], [NOT_USED, NOT_USED]
        self.blocks[block], self.choices[block] = (mode, vectors), choices
        for side in (0, 1):
            if mode >> side & 1:
                using = int(before >> side & 1) if layer else 2
                was = 3 if not layer else 4 if not using else by_choice(self.choices[t - 1, y, x][side], 0, 2, 1)
                fresh, medians = ([c[side] for c in chosen].count(n) for n in (NEW, 0))
                uses = sum(m >> side & 1 for m in modes)
                other = by_choice(choices[0], 1, 3, 2) if side and mode == 3 else 0
                facts = Facts(
                    side, mode, close, spreads[side], self.distance(t, side), fresh, medians, uses, using, was, other
                )
                choices[side], vectors[side] = self.code_vector(fives[side], facts, aim[1][side])

    def code_mode(
        self, layer: int, phase: int, block: Place, modes: list[int], before: int, spreads: list[int], aim: int
    ) -> int:
        """The mode of a block; `modes` are those of the neighbours, `before` the one in the previous frame."""
        t, y, x = block
        close, count = max(phase - 4, 0), [modes.count(m) for m in range(4)]
        second = self.blocks[t - 2, y, x][0] if layer > 1 else 4
        there = [0, 0, 0, 0]  # T
        if layer:
            at = [(neighbour(y, i, self.rows), neighbour(x, j, self.columns)) for i, j in SIDES]
            old = [self.blocks[t - 1, i, j][0] for i, j in at]
            there = [old.count(m) for m in range(4)]
        ends = sum(1 << side for side in (0, 1) if self.sides[t][side] is not None)
        past, future = (min(self.distance(t, side), 7) for side in (0, 1))
        every = 25 * count[0] + 5 * count[3] + count[1]
        four = ((4 * modes[0] + modes[1]) * 4 + modes[2]) * 4 + modes[3]
        keys = (
            5 * every + before, four * 3 + close, (5 * every + before) * 5 + second,
            (5 * before + there[0]) * 25 + 5 * there[3] + there[1],
            ((8 * spreads[0] + spreads[1]) * 5 + count[0]) * 5 + before,
            (8 * past + future) * 5 + count[0], (3 * every + close) * 4 + ends,
        )  # fmt: skip
        a, decide = 5 * close + before, self.model.decide_node
        if not decide(MODE, 0, keys, (a, 8 * count[0] + phase), aim != 0):
            return 0
        if ends < 3:
            return ends
        if not decide(MODE, 1, keys, (15 + a, 40 + 5 * count[3] + count[0]), aim != 3):
            return 3
        return 1 + decide(MODE, 2, keys, (30 + a, 65 + 5 * count[1] + count[2]), aim == 2)

    def code_vector(
        self, five: list[tuple[int, int]], facts: Facts, aim: tuple[int, int]
    ) -> tuple[int, tuple[int, int]]:
        """Choice and vector of a side; `five` are n1 … n5."""
        middle, f, r = median(five), facts, facts.spread
        same, dist = five.count(middle), f.distance
        candidates = [j for j in range(1, 5) if five[j - 1] != middle and five[j - 1] not in five[: j - 1]]
        distinct, both = len(candidates), int(f.mode == 3)
        size = abs(middle[0]) + abs(middle[1])
        keys = (
            ((6 * r + same) * 3 + f.close) * 4 + f.other, ((3 * f.uses + f.using) * 6 + same) * 4 + f.other,
            ((5 * f.fresh + f.medians) * 5 + f.was) * 4 + f.mode, (5 * r + f.fresh) * 5 + f.was,
            ((8 * min(dist, 15) + r) * 2 + (five[4] == middle)) * 4 + f.mode,
            (8 * min(size.bit_length(), 9) + r) * 5 + distinct, ((6 * f.was + same) * 5 + f.uses) * 8 + r,
        )  # fmt: skip
        decide, a = self.model.decide_node, 2 * both + f.side
        if not decide(CHOICE, 0, keys, (a, 8 * same + r), aim != middle):
            return 0, middle
        known = aim in [five[j - 1] for j in candidates]
        if not distinct or decide(CHOICE, 1, keys, (4 + a, 48 + 8 * distinct + r), not known):
            return NEW, self.code_new(five, facts, aim)
        for j in candidates[:-1]:
            if decide(CHOICE, 1 + j, keys, (7 + j, 88 + 5 * (j - 1) + distinct), aim == five[j - 1]):
                return j, five[j - 1]
        return candidates[-1], five[candidates[-1] - 1]

    def code_new(self, five: list[tuple[int, int]], facts: Facts, aim: tuple[int, int]) -> tuple[int, int]:
        """The numbers of a new vector."""
        f, r, found, other = facts, facts.spread, [], 0
        for axis, middle in enumerate(median(five)):
            line = [vector[axis] for vector in five]
            up, down = (min(n.bit_length(), 7) for n in (max(line) - middle, middle - min(line)))
            keys = (
                (2 * r + axis) * 9 + min(other.bit_length(), 8), (8 * min(middle.bit_length(), 7) + r) * 2 + axis,
                (8 * up + down) * 2 + axis, (2 * min(f.distance, 15) + axis) * 8 + r, (3 * f.mode + f.close) * 8 + r,
                2 * min(abs(other), 15) + axis, ((5 * f.fresh + f.was) * 2 + axis) * 8 + r,
            )  # fmt: skip
            tilt = sign(up - down) + 1
            sign_keys = (
                2 * (sign(other) + 1) + axis, tilt, 8 * up + down, sign(middle) + 1, r, 2 * f.side + axis,
                3 * tilt + sign(other) + 1,
            )  # fmt: skip

            def sets(_: int, node: int, axis: int = axis) -> tuple[int, int]:
                return (2 * node + axis, 8 * node + r) if node < 12 else (24 + node - 12, 96 + r)

            wanted, kinds = wrapped(aim[axis] - middle), (DIFFERENCE, DIFFERENCE_SIGN)
            other = self.model.code_number(kinds, (keys, sign_keys), sets, (0, 8 * up + down), wanted)
            found.append(wrapped(middle + other))
        return found[0], found[1]


class Facts(NamedTuple):
    """What keys of a vector depend on, besides n1 … n5; `spread` is R."""

    side: int
    mode: int
    close: int
    spread: int
    distance: int
    fresh: int
    medians: int
    uses: int
    using: int
    was: int
    other: int


def by_choice(choice: int, of_median: int, of_new: int, of_others: int) -> int:
    return {0: of_median, NEW: of_new}.get(choice, of_others)


def median(five: list[tuple[int, int]]) -> tuple[int, int]:
    down, right = (sorted(part)[2] for part in zip(*five, strict=True))
    return down, right


def spread(five: list[tuple[int, int]]) -> int:
    ordered = [sorted(part) for part in zip(*five, strict=True)]
    return sum(part[3] - part[1] for part in ordered)


def refuse(fine: bool, message: str, kind: str = "damaged") -> None:
    if not fine:
        raise ValueError(message, kind)


def check_integers(data: bytes, frames: int, rows: int, columns: int, need: Need = refuse) -> None:
    """The rules that come before any allocation (SPEC.md 7.4.1, 7.11), for integers."""
    need(bool(data) == bool(frames), "context mixing: no byte for a frame, or bytes of none")
    claim = frames * rows * columns
    need(claim <= 4096 * len(data), f"context mixing: {claim} cells claimed from {len(data)} bytes", "limit")
    need(len(data) % 4 == 0 and (not data or any(data[-4:])), "context mixing: words")


def check_motion(data: bytes, sides: Sides, rows: int, columns: int, need: Need = refuse) -> None:
    """The rules that come before any allocation (SPEC.md 7.4.1, 7.8.1), for motion."""
    need(not data or any(side != (None, None) for side in sides.values()), "motion: no kept or no dropped frame")
    claim = 2 * len(sides) * rows * columns if data else 0
    need(claim <= 32768 * len(data), f"motion: {claim} bytes claimed from {len(data)}", "limit")
    need(len(data) % 4 == 0 and (not data or any(data[-4:])), "motion: words")


def read_mixed_integers(
    data: bytes, frames: int, rows: int, columns: int, content: int, need: Need = refuse
) -> np.ndarray:
    """Integers (frames, rows, columns, channels) of content 0, 1 or 4. `need` is called as `refuse` is."""
    check_integers(data, frames, rows, columns, need)
    if not frames:
        return np.zeros((0, rows, columns, len(groups_of(content))), np.int16)
    coder = MixingReader(data)
    model = MixedIntegers(coder, content, (frames, rows, columns))
    coder.check_end()
    return model.integers()


def read_mixed_motion(
    data: bytes, sides: Sides, rows: int, columns: int, content: int, need: Need = refuse
) -> dict[Place, Block]:
    """All decisions of content 2 or 3, as `MotionDecoder.blocks`; none if there is no payload."""
    check_motion(data, sides, rows, columns, need)
    if not data:
        return {}
    coder = MixingReader(data)
    model = MixedMotion(coder, content, sides, (rows, columns))
    coder.check_end()
    return model.blocks
