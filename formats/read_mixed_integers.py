"""Integers in context mixing (SPEC.md 7.11.3)."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

import numpy as np
from read_mixing import Coder, MixingModel, MixingReader, Need, groups_of, refuse, sign, wrapped

MAGNITUDE, SIGN, DEPTH = range(3)


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


def check_integers(data: bytes, frames: int, rows: int, columns: int, need: Need = refuse) -> None:
    """The rules that come before any allocation (SPEC.md 7.4.1, 7.11), for integers."""
    need(bool(data) == bool(frames), "context mixing: no byte for a frame, or bytes of none")
    claim = frames * rows * columns
    need(claim <= 4096 * len(data), f"context mixing: {claim} cells claimed from {len(data)} bytes", "limit")
    need(len(data) % 4 == 0 and (not data or any(data[-4:])), "context mixing: words")


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
