"""Motion in context mixing (SPEC.md 7.11.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from read_mixing import Coder, MixingModel, MixingReader, Need, refuse, sign, wrapped
from read_motion import CORNERS, SIDES, Block, MotionDecoder, Place, Sides, neighbour

MODE, CHOICE, DIFFERENCE, DIFFERENCE_SIGN = range(4)
NOT_USED, NEW = 6, 5  # choices
STILL: Block = (0, [(0, 0), (0, 0)])


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


def check_motion(data: bytes, sides: Sides, rows: int, columns: int, need: Need = refuse) -> None:
    """The rules that come before any allocation (SPEC.md 7.4.1, 7.8.1), for motion."""
    need(not data or any(side != (None, None) for side in sides.values()), "motion: no kept or no dropped frame")
    claim = 2 * len(sides) * rows * columns if data else 0
    need(claim <= 32768 * len(data), f"motion: {claim} bytes claimed from {len(data)}", "limit")
    need(len(data) % 4 == 0 and (not data or any(data[-4:])), "motion: words")


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
