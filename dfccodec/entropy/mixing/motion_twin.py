"""The twin of native/mixing_motion.c in plain Python: the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dfccodec.entropy.hierarchical_scan import phases
from dfccodec.entropy.mixing import tables as t
from dfccodec.entropy.mixing.mixer import Mixer, MixingDecoder, MixingEncoder, NumberSets, wrap
from dfccodec.entropy.mixing.tables import Keys, Tables

Shorts = npt.NDArray[np.int16]
Frames = Sequence[npt.NDArray[np.int32]]
Vector = tuple[int, int]

_NO_MODE = 4
_MEDIAN, _NEW, _UNUSED = 0, 5, 6

_FIRST = dict(zip(t.MOTION_KEYS, t.first_contexts(t.MOTION_KEYS), strict=True))
_SETS_A = sum(kind.sets_a for kind in t.MOTION_KEYS)
_A_CHOICE, _A_LENGTH = t.MODE.sets_a, t.MODE.sets_a + t.CHOICE.sets_a
_A_TOP, _A_SIGN = _A_LENGTH + 2 * t.UNARY, _A_LENGTH + t.DIFFERENCE.sets_a
_B_CHOICE, _B_LENGTH = t.MODE.sets_b, t.MODE.sets_b + t.CHOICE.sets_b
_B_TOP, _B_SIGN = _B_LENGTH + 8 * t.UNARY, _B_LENGTH + t.DIFFERENCE.sets_b


def encode(frames: Frames, blocks: Shorts, tables: Tables) -> bytes:
    """Encode blocks (D, rows, columns, 5) of `frames`: numbers, past and future references, −1 for none."""
    coder = MixingEncoder(tables, _SETS_A)
    _Clip(frames, blocks.copy(), coder).run()
    return coder.finish()


def decode(data: bytes, frames: Frames, blocks: Shorts, tables: Tables) -> bool:
    """Decode into `blocks`, which are zero before; return whether the stream is valid."""
    coder = MixingDecoder(data, tables, _SETS_A)
    return _Clip(frames, blocks, coder).run() and coder.is_at_end()


@dataclass
class _Block:
    """A block and what is known of it; lists are by side, or by neighbour."""

    phase: int
    nearness: int
    later: bool
    references: int
    distances: list[int]
    before: int = _NO_MODE
    second: int = _NO_MODE
    neighbours: list[int] = field(default_factory=list)
    choices: list[list[int]] = field(default_factory=list)
    known: list[list[Vector]] = field(default_factory=list)
    medians: list[Vector] = field(default_factory=list)
    ranges: list[int] = field(default_factory=list)
    same: list[int] = field(default_factory=list)
    own: list[int] = field(default_factory=lambda: [_UNUSED, _UNUSED])
    """Choices of this block so far."""

    def add_side(self, known: list[Vector]) -> None:
        """Set candidates, median and how far the candidates are apart."""
        sorts = [sorted(v[axis] for v in known) for axis in range(2)]
        median = sorts[0][2], sorts[1][2]
        self.known.append(known)
        self.medians.append(median)
        self.ranges.append(min(sum(s[3] - s[1] for s in sorts).bit_length(), 7))
        self.same.append(known.count(median))


class _Clip:
    def __init__(self, frames: Frames, blocks: Shorts, coder: Mixer) -> None:
        self.dropped, *self.sides = (x.tolist() for x in frames)
        self.count, self.rows, self.columns, _ = blocks.shape
        self.blocks, self.coder = blocks, coder
        self.wanted: list[list[list[int]]] = blocks.reshape(self.count, -1, 5).tolist()
        cells = self.rows * self.columns
        self.modes = [[0] * cells for _ in range(self.count)]
        self.choices = [[[_UNUSED, _UNUSED] for _ in range(cells)] for _ in range(self.count)]
        self.vectors: list[list[list[Vector]]] = [[[(0, 0), (0, 0)] for _ in range(cells)] for _ in range(self.count)]

    def run(self) -> bool:
        layers: list[int] = []
        for i, frame in enumerate(self.dropped):
            layers.append(layers[-1] + 1 if i and frame - self.dropped[i - 1] == 1 else 0)
        for layer in range(max(layers) + 1):
            for phase in phases(self.rows, self.columns):
                cells = phase.cells.tolist()
                near = [[]] * len(cells) if phase.neighbours is None else phase.neighbours.T.tolist()
                nearness = 2 if phase.adjacent else int(phase.number == 5)
                for frame in range(self.count):
                    if layers[frame] == layer:
                        for cell, neighbours in zip(cells, near, strict=True):
                            self._code_block(frame, cell, phase.number, nearness, layer, neighbours)
            if self.coder.is_lost():
                return False
        self.blocks[...] = np.array(self.wanted, np.int16).reshape(self.blocks.shape)
        return True

    def _distance(self, frame: int, side: int) -> int:
        reference = self.sides[side][frame]
        return 0 if reference < 0 else abs(self.dropped[frame] - reference)

    def _code_block(self, frame: int, cell: int, phase: int, nearness: int, layer: int, neighbours: list[int]) -> None:
        b = _Block(
            phase, nearness, layer > 0, sum((1 << side) * (self.sides[side][frame] >= 0) for side in range(2)),
            [self._distance(frame, side) for side in range(2)],
        )  # fmt: skip
        old: list[Vector] = [(0, 0), (0, 0)]
        if b.later:
            b.before = self.modes[frame - 1][cell]
            for side, now in enumerate(b.distances):
                then = max(self._distance(frame - 1, side), 1)
                v = self.vectors[frame - 1][cell][side]
                old[side] = _turned(v[0], now, then), _turned(v[1], now, then)
        if layer > 1:
            b.second = self.modes[frame - 2][cell]
        b.neighbours = [self.modes[frame][n] for n in neighbours] or [b.before if b.later else 0] * 4
        b.choices = [self.choices[frame][n] for n in neighbours] or [[_UNUSED, _UNUSED]] * 4
        for side in range(2):
            around = [self.vectors[frame][n][side] for n in neighbours] or [old[side]] * 4
            b.add_side([*around, around[0] if neighbours and not b.later else old[side]])
        wanted = self.wanted[frame][cell]
        mode = self._code_mode(b, frame, cell, wanted[0])
        vectors = list(b.medians)
        for side in range(2):
            if mode >> side & 1:
                target = wanted[1 + 2 * side], wanted[2 + 2 * side]
                vectors[side] = self._code_vector(b, frame, cell, side, mode, target)
        used = [x for side in range(2) for x in (vectors[side] if mode >> side & 1 else (0, 0))]
        self.modes[frame][cell], self.choices[frame][cell], self.vectors[frame][cell] = mode, b.own, vectors
        self.wanted[frame][cell] = [mode, *used]

    def _ask(self, kind: Keys, keys: tuple[int, ...], node: int, set_a: int, set_b: int, bit: bool) -> bool:
        contexts = [first + key * kind.nodes + node for first, key in zip(_FIRST[kind], keys, strict=True)]
        return self.coder.decide(contexts, set_a, set_b, bit)

    def _code_mode(self, b: _Block, frame: int, cell: int, mode: int) -> int:
        around = [0] * 4
        if b.later:
            y, x = divmod(cell, self.columns)
            for down, right in (-1, 0), (0, -1), (0, 1), (1, 0):
                there = _reflect(y, down, self.rows) * self.columns + _reflect(x, right, self.columns)
                around[self.modes[frame - 1][there]] += 1
        n, before, count = b.neighbours, b.before, [b.neighbours.count(m) for m in range(4)]
        most = (count[0] * 5 + count[3]) * 5 + count[1]
        keys = (
            most * 5 + before, (((n[0] * 4 + n[1]) * 4 + n[2]) * 4 + n[3]) * 3 + b.nearness,
            (most * 5 + before) * 5 + b.second, (before * 5 + around[0]) * 25 + around[3] * 5 + around[1],
            ((b.ranges[0] * 8 + b.ranges[1]) * 5 + count[0]) * 5 + before,
            (min(b.distances[0], 7) * 8 + min(b.distances[1], 7)) * 5 + count[0],
            (most * 3 + b.nearness) * 4 + b.references,
        )  # fmt: skip
        chosen = b.nearness * 5 + before
        if not self._ask(t.MODE, keys, 0, chosen, count[0] * 8 + b.phase, mode != 0):
            return 0
        if b.references != 3:
            return b.references
        if not self._ask(t.MODE, keys, 1, 15 + chosen, 40 + count[3] * 5 + count[0], mode != 3):
            return 3
        return 1 + self._ask(t.MODE, keys, 2, 30 + chosen, 65 + count[1] * 5 + count[2], mode != 1)

    def _code_vector(self, b: _Block, frame: int, cell: int, side: int, mode: int, wanted: Vector) -> Vector:
        known, median, span, same = b.known[side], b.medians[side], b.ranges[side], b.same[side]
        near = [choice[side] for choice in b.choices]
        fresh, medians, uses = near.count(_NEW), near.count(_MEDIAN), sum(n >> side & 1 for n in b.neighbours)
        candidates = [i for i in range(4) if known[i] != median and known[i] not in known[:i]]
        distinct = len(candidates)
        before_uses, was = 2 if b.before == _NO_MODE else b.before >> side & 1, 3
        if b.later:
            was = {_MEDIAN: 0, _NEW: 2}.get(self.choices[frame - 1][cell][side], 1) if before_uses else 4
        both, other = mode == 3, 0
        if side and both:
            other = {_MEDIAN: 1, _NEW: 3}.get(b.own[0], 2)
        size = (abs(median[0]) + abs(median[1])).bit_length()
        keys = (
            ((span * 6 + same) * 3 + b.nearness) * 4 + other, ((uses * 3 + before_uses) * 6 + same) * 4 + other,
            ((fresh * 5 + medians) * 5 + was) * 4 + mode, (span * 5 + fresh) * 5 + was,
            ((min(b.distances[side], 15) * 8 + span) * 2 + (known[4] == median)) * 4 + mode,
            (min(size, 9) * 8 + span) * 5 + distinct, ((was * 6 + same) * 5 + uses) * 8 + span,
        )  # fmt: skip
        b.own[side] = _MEDIAN
        set_a, set_b = _A_CHOICE + 2 * both + side, _B_CHOICE + same * 8 + span
        if not self._ask(t.CHOICE, keys, 0, set_a, set_b, wanted != median):
            return median
        which = next((i for i, c in enumerate(candidates) if known[c] == wanted), distinct)
        if not distinct or self._ask(
            t.CHOICE, keys, 1, set_a + 4, _B_CHOICE + 48 + distinct * 8 + span, which == distinct
        ):
            b.own[side] = _NEW
            down = self._code_difference(b, side, 0, mode, (fresh, was), 0, wanted[0])
            ahead = wrap(down - median[0])
            return down, self._code_difference(b, side, 1, mode, (fresh, was), ahead, wanted[1])
        found = 0
        while found < distinct - 1:
            c = candidates[found]
            if self._ask(t.CHOICE, keys, 2 + c, _A_CHOICE + 8 + c, _B_CHOICE + 88 + c * 5 + distinct, which == found):
                break
            found += 1
        b.own[side] = 1 + candidates[found]
        return known[candidates[found]]

    def _code_difference(
        self, b: _Block, side: int, axis: int, mode: int, near: tuple[int, int], other: int, wanted: int
    ) -> int:  # fmt: skip
        median, span, (fresh, was) = b.medians[side][axis], b.ranges[side], near
        values = [v[axis] for v in b.known[side]]
        up, down = (min(d.bit_length(), 7) for d in (max(values) - median, median - min(values)))
        keys = (
            (span * 2 + axis) * 9 + min(abs(other).bit_length(), 8),
            (min(abs(median).bit_length(), 7) * 8 + span) * 2 + axis,
            (up * 8 + down) * 2 + axis, (min(b.distances[side], 15) * 2 + axis) * 8 + span,
            (mode * 3 + b.nearness) * 8 + span, min(abs(other), 15) * 2 + axis,
            ((fresh * 5 + was) * 2 + axis) * 8 + span,
        )  # fmt: skip
        tilt, ahead = _sign(up - down) + 1, _sign(other) + 1
        sign_keys = (
            ahead * 2 + axis, tilt, up * 8 + down, _sign(median) + 1, span, side * 2 + axis, tilt * 3 + ahead,
        )  # fmt: skip
        sets = NumberSets(
            _A_LENGTH + axis, 2, _B_LENGTH + span, 8, t.UNARY - 1, _A_TOP, _B_TOP + span,
            _A_SIGN, _B_SIGN + up * 8 + down,
        )  # fmt: skip
        first = [o + key * t.NODES for o, key in zip(_FIRST[t.DIFFERENCE], keys, strict=True)]
        signs = [o + key for o, key in zip(_FIRST[t.DIFFERENCE_SIGN], sign_keys, strict=True)]
        difference = wrap(wanted - median)
        length = self.coder.length(first, sets, difference)
        if not length:
            return median
        return wrap(median + self.coder.sign_and_digits(first, signs, sets, length, difference))


def _turned(value: int, now: int, then: int) -> int:
    return min(max((2 * value * now + then) // (2 * then), -32768), 32767) if value else 0


def _reflect(at: int, move: int, size: int) -> int:
    if 0 <= at + move < size:
        return at + move
    return at - move if 0 <= at - move < size else at


def _sign(x: int) -> int:
    return (x > 0) - (x < 0)
