"""The twin of native/mixing_latents.c in plain Python: the same bytes, about a second for a clip at 256×256."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfccodec.entropy.mixing import tables as t
from dfccodec.entropy.mixing.mixer import Mixer, MixingDecoder, MixingEncoder, NumberSets, wrap
from dfccodec.entropy.mixing.tables import Content, Tables

Shorts = npt.NDArray[np.int16]

_LEAST_DEPTH = 128
_GUESSED = (0, 1, 4)
_LEFT, _RIGHT, _ABOVE, _BELOW = 1, 2, 4, 8
_NO_DEPTH = t.DEPTHS + 1
_BESIDE = (1, 4, 8, 12, 20, 40, 80)

_SETS_A = sum(kind.sets_a for kind in t.LATENT_KEYS)
_TOP_A, _TOP_B = 2 * t.DEPTHS * t.UNARY, 3 * 24 * 4
_SIGN_A, _SIGN_B = t.LATENT_KEYS[0].sets_a, t.LATENT_KEYS[0].sets_b
_DEPTH_A, _DEPTH_B = _SIGN_A + t.LATENT_KEYS[1].sets_a, _SIGN_B + t.LATENT_KEYS[1].sets_b


def encode(frames: Shorts, content: Content, level: int, tables: Tables) -> bytes:
    """Encode integers (K, rows, columns, channels)."""
    coder = MixingEncoder(tables, _SETS_A)
    _Clip(frames, content, tables, coder).run(level)
    return coder.finish()


def decode(
    data: bytes, frames: Shorts, content: Content, tables: Tables, left: npt.NDArray[np.int32] | None = None
) -> bool:
    """Decode into `frames` (K, rows, columns, channels), which is zero before; return whether the stream is valid. The
    number of words left after each frame is written to `left`."""
    coder = MixingDecoder(data, tables, _SETS_A)
    clip = _Clip(frames, content, tables, coder)
    valid = clip.run(0) and coder.is_at_end()
    if left is not None and valid:
        left[:] = clip.left
    return valid


def _bucket(x: int) -> int:
    if x < 4:
        return 0
    e = x.bit_length() - 1
    return min(2 * (e - 2) + (x >> (e - 1) & 1) + 1, 23)


def _sign(x: int) -> int:
    return (x > 0) - (x < 0)


class _Energy:
    """Fading sums of magnitudes over the channels before: of each cell."""

    def __init__(self, cells: int) -> None:
        self.near, self.far = [0] * cells, [0] * cells

    def add(self, magnitudes: list[int]) -> None:
        self.near = [(e * 7 >> 3) + 256 * m for e, m in zip(self.near, magnitudes, strict=True)]
        self.far = [(e * 31 >> 5) + 256 * m for e, m in zip(self.far, magnitudes, strict=True)]


class _Clip:
    def __init__(self, frames: Shorts, content: Content, tables: Tables, coder: Mixer) -> None:
        self.frames, self.intra, self.tables, self.coder = frames, content == Content.INTRA, tables, coder
        self.groups = content.groups
        self.coefficient, self.sign, self.depth = t.first_contexts(t.keys_of(content))
        self.writing = isinstance(coder, MixingEncoder)
        self.kept, self.rows, self.columns, _ = frames.shape
        self.cells = self.rows * self.columns
        self.linear: list[list[int]] = tables.linear.tolist()
        self.partners: list[list[int]] = tables.partners.tolist()
        self.last_depths, self.means = [_NO_DEPTH] * self.cells, [0] * self.groups[-1]
        self.previous: list[list[int]] | None = None
        self.edges = [
            _LEFT * (x > 0) | _RIGHT * (x + 1 < self.columns) | _ABOVE * (y > 0) | _BELOW * (y + 1 < self.rows)
            for y in range(self.rows)
            for x in range(self.columns)
        ]

    def run(self, level: int) -> bool:
        level = self.coder.bypass(6, level)
        if level > t.MAX_LEVEL:
            return False
        self.left: list[int] = []
        for k, frame in enumerate(self.frames):
            self._set_means(k, level)
            self.values: list[list[int]] = frame.reshape(self.cells, -1).tolist()
            self._code_frame()
            frame[...] = np.array(self.values, np.int16).reshape(frame.shape)
            self.previous = self.values
            self.left.append(self.coder.words_left())
            if self.coder.is_lost():
                return False
        return True

    def _set_means(self, k: int, level: int) -> None:
        most = (1 << 18) - 1
        if k == 0:
            scale = (2 + (level & 1)) << (level >> 1)
            self.means = [min(max(p * scale >> 8, 2), most) for p in self.tables.profile.tolist()]
            return
        sums = np.abs(self.frames[k - 1].astype(np.int64)).sum(axis=(0, 1)).tolist()
        found = [min(max(256 * s // self.cells, 2), most) for s in sums]
        self.means = found if k == 1 else [(5 * a + 3 * m) >> 3 for a, m in zip(self.means, found, strict=True)]

    def _code_frame(self) -> None:
        self.later = self.previous is not None
        self.depths = [0] * self.cells
        for i in range(self.cells):
            self.depths[i] = self._code_depth(i)
        self.size, self.change = _Energy(self.cells), _Energy(self.cells)
        self.near_sum = self.far_sum = 0
        for group, (first, end) in enumerate(zip(self.groups, self.groups[1:], strict=False)):
            active = [i for i in range(self.cells) if self.depths[i] > group]
            if not active:
                break
            for c in range(first, end):
                for i in active:
                    self.values[i][c] = self._code_integer(i, c, group)
                self.size.add([abs(cell[c]) for cell in self.values])
                if self.previous:
                    both = zip(self.values, self.previous, strict=True)
                    self.change.add([abs(new[c] - old[c]) for new, old in both])
                self.near_sum = (self.near_sum * 7 >> 3) + self.means[c]
                self.far_sum = (self.far_sum * 31 >> 5) + self.means[c]
        self.last_depths = self.depths

    def _code_depth(self, i: int) -> int:
        d, w, e = self.depths, self.columns, self.edges[i]
        wanted = 0
        if self.writing:
            used = max((c + 1 for c, v in enumerate(self.values[i]) if v), default=0)
            wanted = sum(first < used for first in self.groups[:-1])
        above = d[i - w] if e & _ABOVE else d[i - 1] if e & _LEFT else 4
        left = d[i - 1] if e & _LEFT else above
        above_left = d[i - w - 1] if e & _ABOVE and e & _LEFT else above
        above_right = d[i - w + 1] if e & _ABOVE and e & _RIGHT else above
        second_left = d[i - 2] if i % w > 1 else left
        second_above = d[i - 2 * w] if i >= 2 * w else above
        before, after = self.last_depths[i], self.last_depths[min(i + 1, self.cells - 1)]
        keys = (
            left + above, left * 9 + above, before * 17 + left + above, above_right * 9 + above,
            left + above + above_left + above_right + 40 * self.later, second_left * 9 + second_above,
            before * 10 + after,
        )  # fmt: skip
        found = 0
        while found < t.DEPTHS:
            contexts = [o + key * t.DEPTHS + found for o, key in zip(self.depth, keys, strict=True)]
            set_a, set_b = _DEPTH_A + 2 * found + self.later, _DEPTH_B + left
            if not self.coder.decide(contexts, set_a, set_b, wanted > found, _LEAST_DEPTH):
                break
            found += 1
        return found

    def _around(self, values: list[list[int]], i: int, c: int) -> list[int]:
        """The integers left, above, above left and above right; 0 outside of the picture."""
        w, e = self.columns, self.edges[i]
        return [
            values[i - 1][c] if e & _LEFT else 0,
            values[i - w][c] if e & _ABOVE else 0,
            values[i - w - 1][c] if e & _ABOVE and e & _LEFT else 0,
            values[i - w + 1][c] if e & _ABOVE and e & _RIGHT else 0,
        ]

    def _predict(self, i: int, c: int, around: list[int]) -> int:
        w, e, values, row = self.columns, self.edges[i], self.values, self.linear[c]
        sides = (
            i, i - 1 if e & _LEFT else i, i - w if e & _ABOVE else i,
            i + 1 if e & _RIGHT else i, i + w if e & _BELOW else i,
        )  # fmt: skip
        known = min(c, t.LINEAR_CHANNELS)
        total = 0
        for s, cell in enumerate(sides):
            at = s * t.LINEAR_CHANNELS
            total += sum(p * v for p, v in zip(row[at : at + known], values[cell], strict=False))
        left, above, above_left, above_right = around
        left = left if e & _LEFT else above
        above = above if e & _ABOVE else left
        above_left = left if not e & _ABOVE else above_left if e & _LEFT else above
        above_right = left if not e & _ABOVE else above_right if e & _RIGHT else above
        last = row[t.LINEAR_CELLS * t.LINEAR_CHANNELS :]
        return total + last[0] * left + last[1] * above + last[2] * above_left + last[3] * above_right

    def _code_integer(self, i: int, c: int, group: int) -> int:
        e, w, mean, later, coder = self.edges[i], self.columns, self.means[c], self.later, self.coder
        both = (_LEFT | _ABOVE, _RIGHT | _ABOVE)
        weight = (
            5 * (e & _LEFT > 0) + 5 * (e & _ABOVE > 0) + 3 * (e & both[0] == both[0]) + 3 * (e & both[1] == both[1])
        )
        near = self._around(self.values, i, c)
        around = _weigh(near)
        energy, static, past, guess, predicted = self.size, False, 0, 0, 0
        if self.previous:
            old = self._around(self.previous, i, c)
            moved = [a - b for a, b in zip(near, old, strict=True)]
            changed = _weigh(moved)
            size = 4 * self.size.near[i] + self.size.far[i] + 64 * around
            change = 4 * self.change.near[i] + self.change.far[i] + 64 * changed
            past, static = self.previous[i][c], 8 * change < 5 * size
            if static:
                energy, around, near, guess = self.change, changed, moved, past
        if not static and c < t.LINEAR_ROWS:
            predicted = self._predict(i, c, near)
            if self.intra and c in _GUESSED:
                guess = (predicted + 128) >> 8
                predicted -= guess * 256
        near_ratio = far_ratio = side_ratio = 256
        if c:
            at = [i - 1] * (e & _LEFT > 0) + [i + 1] * (e & _RIGHT > 0)
            at += [i - w] * (e & _ABOVE > 0) + [i + w] * (e & _BELOW > 0)
            near_ratio = min(256 * energy.near[i] // self.near_sum, 1 << 16)
            far_ratio = min(256 * energy.far[i] // self.far_sum, 1 << 16)
            if at:
                side_ratio = min(256 * sum(energy.near[j] for j in at) // (len(at) * self.near_sum), 1 << 16)
        around_ratio = min(65536 * around // (weight * mean) if weight else side_ratio, 4096)
        scale = _bucket(((140 * near_ratio + 64 * far_ratio + 26 * side_ratio + 26 * around_ratio) >> 8) * mean >> 8)
        near_bucket, far_bucket = _bucket(near_ratio * mean >> 8), _bucket(far_ratio * mean >> 8)
        below, linear = min(self.depths[i] - group - 1, 3), _bucket(abs(predicted))
        beside = sum(16 * around // weight >= limit for limit in _BESIDE) if weight else 0
        pair = []
        for j in self.partners[c]:
            x = self.values[i][j] - (self.previous[i][j] if static and self.previous else 0) if j < c else 0
            pair.append(abs(x) if abs(x) < 4 else 3 if abs(x) < 8 else 4)
        state = 0 if not later else 6 if static else 1 + min(abs(past), 4)
        keys = (
            c * 25 + pair[0] * 5 + pair[1], c * 24 + scale, near_bucket * 24 + far_bucket,
            (_bucket(((around_ratio + near_ratio) >> 1) * mean >> 8) * 8 + beside) * 4 + below,
            (c * 8 + beside) * 4 + below, linear * 24 + scale, (scale * 7 + state) * 4 + below,
        )  # fmt: skip
        first = [o + key * t.NODES for o, key in zip(self.coefficient, keys, strict=True)]
        before = _sign(past) + 1
        sets = NumberSets(
            group * t.UNARY * 2 + later, 2, scale * 4 + below, 24 * 4, 2, _TOP_A, _TOP_B + scale,
            _SIGN_A + 2 * group + later, _SIGN_B + before,
        )  # fmt: skip
        residual = wrap(self.values[i][c] - guess) if self.writing else 0
        length = coder.length(first, sets, residual)
        if not length:
            return wrap(guess)
        tilt, signs = linear * 2 + (predicted > 0), (_sign(near[0]) + 1) * 3 + _sign(near[1]) + 1
        sign_keys = (
            c * 9 + signs, tilt, c * 3 + before, scale * 48 + tilt, min(c, 20) * 48 + tilt, c, group * 9 + signs,
        )  # fmt: skip
        contexts = [o + key for o, key in zip(self.sign, sign_keys, strict=True)]
        return wrap(guess + coder.sign_and_digits(first, contexts, sets, length, residual))


def _weigh(around: list[int]) -> int:
    left, above, above_left, above_right = around
    return 5 * (abs(left) + abs(above)) + 3 * (abs(above_left) + abs(above_right))
