"""Decoder of latent coding 1, range (SPEC.md 7.4, 7.6), one integer at a time. ValueError: damaged."""

from bisect import bisect_right
from itertools import accumulate, pairwise, product

Z = [4092] * 5 + [4083, 4052, 4012, 3960, 3876, 3784, 3694, 3537, 3337, 3148, 2938, 2698, 2431, 2185, 2000, 1768]
Z += [1516, 1368, 1205, 1071, 913, 823, 750]
R = [24] * 13 + [26, 28, 32, 38, 46, 56, 66, 82, 96, 112, 124, 142, 160, 166, 170]
# Weights mean, near, far, past, around, own, beside, least by (group > 0, k > 0, phase): of size, of change.
WEIGHTS = {
    (False, False, 0): ((348, 0, 0, 0, 0, 0, 0, 40),),
    (False, False, 1): ((16, 0, 0, 0, 15, 0, 7, 84),),
    (True, False, 0): ((5, 320, 16, 0, 0, 0, 0, 22),),
    (True, False, 1): ((3, 76, 7, 0, 67, 0, 45, 12),),
    (False, True, 0): ((88, 0, 0, 144, 0, 79, 0, 18), (7, 0, 0, 18, 0, 82, 0, 34)),
    (False, True, 1): ((30, 0, 0, 12, 12, 16, 16, 20), (0, 0, 0, 0, 130, 6, 38, 34)),
    (True, True, 0): ((2, 224, 86, 22, 0, 34, 0, 17), (8, 365, 102, 22, 0, 32, 0, 22)),
    (True, True, 1): ((1, 177, 12, 18, 14, 23, 20, 6), (2, 197, 246, 0, 32, 27, 17, 27)),
}
Item = tuple[int, int, int, int, int, int]  # cell, channel, guess, flip, context, shift


class RansDecoder:  # SPEC.md 7.4.1
    def __init__(self, data: bytes) -> None:
        self.words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
        self.x = self.words.pop()
        self.refill()

    def refill(self) -> None:
        if self.x < 1 << 32 and self.words:
            self.x = self.x << 32 | self.words.pop()

    def check_end(self) -> None:
        if self.words or self.x != 1 << 24:
            raise ValueError("rANS stream: wrong final state or unread words")

    def bypass(self, bits: int) -> int:
        return self.decode(range(0, (1 << 24) + 1, 1 << 24 - bits))

    def decode(self, sums: range | list[int]) -> int:
        """Decode the symbol s with sums[s] <= q < sums[s + 1]."""
        q = self.x & (1 << 24) - 1
        symbol = bisect_right(sums, q) - 1
        self.x = (self.x >> 24) * (sums[symbol + 1] - sums[symbol]) + q - sums[symbol]
        self.refill()
        return symbol


def initial_counts(context: int) -> list[int]:
    """Counts of a context at the beginning of a clip (SPEC.md 7.6.3)."""
    kind, bucket = (0, 20) if context == 112 else divmod(context, 28)
    j = max(bucket - 2, 0) if kind == 2 else bucket
    n, rest = [0] * 16 + [Z[j]] + [0] * 16, 4096 - Z[j]
    for m in range(1, 17):
        t = rest - (rest * R[j] >> 8 if m < 16 else 0)
        up = t * (8, 10, 8, 5)[kind] >> 4
        n[16 + m], n[16 - m], rest = up, t - up, rest - t
    return n


class LatentDecoder:
    """The integers of a clip, v[k][cell][channel]; `cell` is (tile × rows + row) × columns + column."""

    def __init__(self, rans: RansDecoder, kept: int, grid: list[int], channels: int) -> None:
        (tiles, self.rows, self.columns), self.channels = grid, channels
        self.lines, self.rans = tiles * self.rows, rans
        self.n = self.all_counts()
        self.v = [[[0] * channels for _ in range(self.lines * self.columns)] for _ in range(kept)]
        zero = [[0] * channels] * (self.lines * self.columns)
        self.current = self.p = zero
        levels = accumulate(self.code_pass([(0, c, 0, 1, 112, 0) for c in range(channels)]))
        self.a = [self.level_mean(level) for level in levels]
        height = max(1, 16384 // self.columns)
        edges = [0, 2, 6, 12, 20, 32, 48, *range(64, channels, 32)]
        groups = list(pairwise([*(edge for edge in edges if edge < channels), channels]))
        for k in range(kept):
            errors = [[v - p for v, p in zip(*rows, strict=True)] for rows in zip(self.current, self.p, strict=True)]
            self.k, self.current, self.m = k, self.v[k], errors
            self.p = self.predict(self.v[k - 1]) if k else zero
            for top in range(0, self.lines, height):
                self.decode_band(range(top, min(top + height, self.lines)), groups)
            for c in range(channels):
                m = min(max(256 * sum(abs(v[c]) for v in self.current) // len(self.current), 2), (1 << 18) - 1)
                self.a[c] = m if k == 0 else (5 * self.a[c] + 3 * m) >> 3
        self.rans.check_end()

    def all_counts(self) -> list[list[int]]:
        """Initial counts of every context."""
        return [initial_counts(context) for context in range(113)]

    def predict(self, before: list[list[int]]) -> list[list[int]]:
        """The prediction p of a kept frame from the previous kept frame."""
        return before

    def level_mean(self, level: int) -> int:
        return (2 + (level & 1)) << range(34).index(level) // 2  # index() raises ValueError beyond 33

    def decode_band(self, lines: range, groups: list[tuple[int, int]]) -> None:
        cells = sorted(product(lines, range(self.columns)), key=lambda at: (at[0] % self.rows + at[1]) & 1)
        even = sum((line % self.rows + x) % 2 == 0 for line, x in cells)
        near = {at: ([0, 0], [0, 0]) for at in cells}  # of size and change: sum over the previous group, far
        near_a = far_a = 1
        for g, (first, last) in enumerate(groups):
            group, own_a = range(first, last), sum(self.a[first:last])
            for phase, part in enumerate([cells[:even], cells[even:]] if g < 4 else [cells]):
                self.latent_pass(g, phase, part, lines, group, near, (near_a, far_a, own_a))
            for at in cells:
                here = at[0] * self.columns + at[1]
                for kind in (0, 1):
                    total = sum(abs(self.current[here][c] - kind * self.p[here][c]) for c in group)
                    near[at][kind][:] = total, (near[at][kind][1] >> 1) + total
            near_a, far_a = own_a, (far_a >> 1 if g else 0) + own_a

    def latent_pass(self, g, phase, part, lines, group, near, sums) -> None:  # type: ignore[no-untyped-def]
        """Contexts of the integers of a pass, then the integers (SPEC.md 7.6.5)."""
        items = []
        for line, x in part:
            here, y = line * self.columns + x, line % self.rows
            sides = [(y > 0 and line > lines[0], -self.columns), (x > 0, -1), (x + 1 < self.columns, 1)]
            sides.append((y + 1 < self.rows and line < lines[-1], self.columns))
            around = [here + step for exists, step in sides if exists] if phase else []
            scales = []
            for kind, w in enumerate(WEIGHTS[g > 0, self.k > 0, phase]):
                own = [abs((self.m if kind else self.p)[here][c]) for c in group]
                beside = [sum(abs(self.current[i][c] - kind * self.p[i][c]) for i in around) for c in group]
                total, far = near[line, x][kind]
                activity = w[0] + w[1] * 256 * total // sums[0] + w[2] * 256 * far // sums[1]
                activity += w[3] * 256 * sum(own) // sums[2]
                activity = min(activity + w[4] * 256 * sum(beside) // (sums[2] * max(1, len(around))), 8191)
                extra = [w[5] * m + w[6] * b + w[7] for m, b in zip(own, beside, strict=True)]
                scales.append([(activity * self.a[c] >> 8) + e for c, e in zip(group, extra, strict=True)])
            for i, c in enumerate(group):
                p, t, d = self.p[here][c], sum(self.current[n][c] for n in around), len(around)
                static = self.k > 0 and scales[1][i] < scales[0][i]
                scale = min(scales[static][i], (1 << 18) - 1)
                guess = p if static else (2 * t + d) // (2 * d) if g == 0 and d else 0
                e = scale.bit_length() - 1
                bucket = 4 * (min(e, 9) - 3) + (scale >> e - 2 & 3) if scale >= 8 else 0
                context = 28 * (2 * static + (p != 0)) + bucket
                items.append((here, c, guess, -1 if p < 0 else 1, context, max(e - 9, 0)))
        for (here, c, guess, flip, _, _), r in zip(items, self.code_pass(items), strict=True):
            self.current[here][c] = (guess + flip * r + 32768) % 65536 - 32768

    def code_pass(self, items: list[Item]) -> list[int]:
        """Decode the residuals of a pass (SPEC.md 7.4.2)."""
        symbols, low, more = [0] * len(items), [0] * len(items), [0] * len(items)
        sums: dict[int, list[int]] = {}
        for i in sorted(range(len(items)), key=lambda i: items[i][4]):
            if (context := items[i][4]) not in sums:
                n = self.n[context]
                f = [256 + count * ((1 << 24) - 33 * 256) // sum(n) for count in n]
                f[16] += (1 << 24) - sum(f)
                sums[context] = list(accumulate(f, initial=0))
            symbols[i] = self.rans.decode(sums[context])
        for b, i in sorted((shift, i) for i, (*_, shift) in enumerate(items) if shift):
            low[i] = self.rans.bypass(b)
        lengths = {i: self.rans.bypass(4) for i, s in enumerate(symbols) if s in (0, 32)}
        for b, i in sorted((b, i) for i, b in lengths.items() if b):
            more[i] = self.rans.bypass(b)
        out = []
        for i, ((*_, context, shift), s) in enumerate(zip(items, symbols, strict=True)):
            self.n[context][s] += 32
            q = s - 16 + (0 if i not in lengths else ((1 << lengths[i]) - 1 + more[i]) * (1 if s else -1))
            out.append((q << shift) + low[i] - (1 << shift >> 1))
        return out
