"""Write `traces/`: the decoding of four small vectors, symbol by symbol, and a worked fingerprint (SPEC.md 15.4).

`python formats/make_traces.py`. It runs the independent reader with a rANS decoder that records what it does.
"""

from __future__ import annotations

import argparse
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import read_dfc
import read_mixed_integers
import read_mixed_motion
import read_motion
from read_inter import InterDecoder
from read_mixed_integers import MixedIntegers
from read_mixed_motion import Facts, MixedMotion, median
from read_mixing import SCALE, STRETCH, Keys, MixingModel, MixingReader
from read_motion import MotionDecoder, Place
from read_range import LatentDecoder, RansDecoder

HERE = Path(__file__).resolve().parent
Lines = list[str]
COUNTS = "States, q, left and f are hexadecimal. n5(16) is count n(16) of context 5."
MIXING = """\
States, q, left and f are hexadecimal.
Each decision has two lines: what it is of, its sets A and B, x, y, p, the state before it, the decision, then
its contexts c and inputs s, from 0 to 6. Contexts and sets are counted through all kinds of a content. Each
stream begins with the tables of its content; no stream depends on another. Before a number are the keys of its
length, then of its sign."""
CONTENTS = ["intra integers", "residual integers", "motion of predicted frames", "motion of dropped frames"]
SIDE = ("past", "future")


class TracedRans(RansDecoder):
    """Records every symbol: the state before it, the symbol and its interval."""

    lines: Lines

    def __init__(self, data: bytes) -> None:
        self.label = ""
        super().__init__(data)
        words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
        self.lines += wrapped(f"{len(data)} bytes, words from the last: ", [f"{word:08x}" for word in words[::-1]], " ")
        self.lines.append(f"state {self.x:016x}, {len(self.words)} words left")

    def decode(self, sums: range | list[int]) -> int:
        state = self.x
        symbol = super().decode(sums)
        left, f = sums[symbol], sums[symbol + 1] - sums[symbol]
        what = f"bypass({(len(sums) - 1).bit_length() - 1})" if isinstance(sums, range) else self.label
        q = state & (1 << 24) - 1
        self.lines.append(f"  {what:<12} state {state:016x}  q {q:06x}  symbol {symbol:<5}  left {left:06x}  f {f:06x}")
        return symbol

    def check_end(self) -> None:
        self.lines.append(f"end: state {self.x:x}, {len(self.words)} words left")
        super().check_end()


class Traced:
    """Records every pass: its items, and the counts it changes."""

    rans: RansDecoder
    n: list[list[int]]
    passes = 0

    def code_pass(self, items: list[Any]) -> list[int]:
        if not items:
            return []
        rans = self.rans
        assert isinstance(rans, TracedRans)
        self.passes += 1
        before = [list(counts) for counts in self.n]
        rans.lines += ["", f"pass {self.passes}: {len(items)} of {kind_of(items[0])}"]
        rans.label = ""
        labels = [f"context {items[i][4]}" for i in sorted(range(len(items)), key=lambda i: items[i][4])]
        original = rans.decode

        def labelled(sums: range | list[int]) -> int:
            if not isinstance(sums, range):
                rans.label = labels.pop(0)
            return original(sums)

        rans.decode = labelled  # type: ignore[method-assign]
        out: list[int] = super().code_pass(items)  # type: ignore[misc]
        del rans.decode
        rows = [f"{place_of(item)}: r = {r}{shift_of(item)}" for item, r in zip(items, out, strict=True)]
        rans.lines += wrapped("  residuals: ", rows)
        changed = [
            f"n{context}({s}) = {count}"
            for context, (old, new) in enumerate(zip(before, self.n, strict=True))
            for s, (was, count) in enumerate(zip(old, new, strict=True))
            if was != count
        ]
        rans.lines += wrapped("  counts: ", changed)
        return out


def kind_of(item: Any) -> str:
    """What a pass codes."""
    if isinstance(item[1], int):
        return "levels" if item[4] == 112 else "integers"
    name = item[1] if isinstance(item[1], str) else item[1][0]
    return {"mode": "mode ranks", "which": "vector choices", "new": "vector differences"}[name]


def place_of(item: Any) -> str:
    """Where an item of a pass is."""
    here, what, *_, context, _ = item
    if isinstance(what, int):
        return f"channel {what}" if context == 112 else f"cell {here} channel {what}"
    where = f"frame {here[0]} block {here[1]},{here[2]}" if isinstance(here, tuple) else f"cell {here}"
    return where + "".join(f" {part}" for part in axes(what))


def axes(what: Any) -> Lines:
    """Side and axis of a vector."""
    names = {("which", 0): ["past"], ("which", 1): ["future"], ("new", 0): ["down"], ("new", 1): ["right"]}
    if isinstance(what, str):
        return []
    if len(what) == 3:
        return [("past", "future")[what[1]], ("down", "right")[what[2]]]
    return names[what]


def shift_of(item: Any) -> str:
    """The shift of an integer that has one."""
    return f" (shift {item[5]})" if item[5] else ""


def wrapped(first: str, parts: Lines, separator: str = "; ") -> Lines:
    """Parts in lines of at most 118 characters."""
    lines, line = [], first
    for i, part in enumerate(parts):
        piece = part + (separator if i + 1 < len(parts) else "")
        if len(line) + len(piece) > 118 and line.strip():
            lines.append(line.rstrip())
            line = "    "
        line += piece
    return [*lines, line.rstrip()]


class TracedRange(Traced, LatentDecoder):
    """Coding 1."""


class TracedInter(Traced, InterDecoder):
    """Coding 2."""


class TracedMotion(Traced, MotionDecoder):
    """The payload of motion."""


class TracedMixing(MixingReader, TracedRans):
    """Records the bypass bits; keeps the state before a decision, and its p."""

    def __init__(self, data: bytes) -> None:
        self.begin, self.seen = len(self.lines), (0, 0)
        super().__init__(data)

    def decision(self, p: int, wanted: int) -> int:
        self.seen = self.x, p
        return super().decision(p, wanted)

    def decode(self, sums: range | list[int]) -> int:
        return super().decode(sums) if isinstance(sums, range) else RansDecoder.decode(self, sums)


class TracedModel(MixingModel):
    """Records every decision of a stream. `place` is where it is, `what` what it is of."""

    coder: TracedMixing
    place = what = ""
    r = 0

    def __init__(self, coder: TracedMixing, content: int, *rest: Any) -> None:
        coder.lines[coder.begin : coder.begin] = [""] * (coder.begin > 0) + [f"content {content}, {CONTENTS[content]}"]
        super().__init__(coder, content, *rest)

    def decide_node(self, kind: int, node: int, *rest: Any) -> int:
        number = f"{'length' if node < 12 else 'top bit'}, node {node}"
        kinds = [number, "sign", f"depth, node {node}"]
        if self.content > 1:
            kinds = [f"mode, node {node}", f"choice, node {node}", number, "sign"]
        self.what = kinds[kind]
        return super().decide_node(kind, node, *rest)

    def decide(self, contexts: list[int], set_a: int, set_b: int, least: int, bit: int) -> int:
        s = [STRETCH[self.p[c] >> 4] * SCALE[self.n[c]] >> 8 for c in contexts]
        sums = (sum(w * t for w, t in zip(row, s, strict=True)) for row in (self.a[set_a], self.b[set_b]))
        x, y = (min(max(total >> 16, -2047), 2047) for total in sums)
        d = super().decide(contexts, set_a, set_b, least, bit)
        state, p = self.coder.seen
        self.coder.lines += [
            f"  {self.place + ': ' + self.what:<43} A {set_a:<3}  B {set_b:<3}  x {x:<5}  y {y:<5}  p {p:<5}  "
            f"state {state:016x}  decision {d}",
            f"    c{''.join(f' {c:>6}' for c in contexts)}  s{''.join(f' {t:>5}' for t in s)}",
        ]
        return d

    def code_number(self, kinds: tuple[int, int], keys: tuple[Keys, Keys], *rest: Any) -> int:
        of_length, of_sign = (" ".join(map(str, part)) for part in keys)
        at, before = len(self.coder.lines), self.place
        if self.content > 1:
            self.place += f" {('down', 'right')[keys[0][5] & 1]}"
        r = super().code_number(kinds, keys, *rest)
        self.coder.lines.insert(at, f"  {self.place}: r = {r}, keys {of_length}; {of_sign}")
        self.place, self.r = before, r
        return r


class TracedMixedIntegers(TracedModel, MixedIntegers):
    """Contents 0 and 1."""

    cell = -1
    q = 0

    def code_depths(self, old: list[int], aim: Any) -> list[int]:
        self.cell = -1
        self.coder.lines.append(f"depths of frame {len(self.v)} of the stream")
        return super().code_depths(old, aim)

    def decide_node(self, kind: int, node: int, *rest: Any) -> int:
        if kind == read_mixed_integers.DEPTH:
            self.cell += node == 0
            self.place = f"cell {self.cell}"
        return super().decide_node(kind, node, *rest)

    def linear(self, *where: int) -> int:
        self.q = super().linear(*where)
        return self.q

    def code_integer(self, c: int, g: int, i: int, *rest: int) -> int:
        at, self.place, self.q = len(self.coder.lines), f"channel {c} cell {i}", 0
        v = super().code_integer(c, g, i, *rest)
        row = f"{self.place}: integer {v}, linear prediction {self.q} / 256, guess {v - self.r}"
        self.coder.lines.insert(at, row)
        return v


class TracedMixedMotion(MixedMotion):
    """Contents 2 and 3."""

    model: TracedModel

    def code_block(self, layer: int, phase: int, block: Place) -> None:
        t, y, x = block
        at, self.model.place = len(self.model.coder.lines), f"block {y},{x}"
        super().code_block(layer, phase, block)
        mode, vectors = self.blocks[block]
        used = "".join(f", {SIDE[side]} {vectors[side]}" for side in (0, 1) if mode >> side & 1)
        row = f"frame {t} block {y},{x}, layer {layer}, phase {phase}: mode {mode}{used}"
        self.model.coder.lines.insert(at, row)

    def code_vector(self, five: list[tuple[int, int]], facts: Facts, *rest: Any) -> tuple[int, tuple[int, int]]:
        before, at = self.model.place, len(self.model.coder.lines)
        self.model.place += f" {SIDE[facts.side]}"
        choice, vector = super().code_vector(five, facts, *rest)
        n = " ".join(map(str, five))
        row = f"  {self.model.place}: choice {choice}, n1 … n5 {n}, median {median(five)}"
        self.model.coder.lines.insert(at, row)
        self.model.place = before
        return choice, vector


def trace(name: str, title: str, legend: str = COUNTS) -> str:
    """The trace of a vector."""
    lines: Lines = []
    TracedRans.lines = lines
    own = {read_dfc: ("RansDecoder", "LatentDecoder", "InterDecoder"), read_motion: ("RansDecoder", "MotionDecoder")}
    own[read_mixed_integers] = ("MixingReader", "MixedIntegers")
    own[read_mixed_motion] = ("MixingReader", "MixingModel", "MixedMotion")
    classes = {"RansDecoder": TracedRans, "LatentDecoder": TracedRange, "InterDecoder": TracedInter}
    classes |= {"MotionDecoder": TracedMotion, "MixingReader": TracedMixing, "MixingModel": TracedModel}
    classes |= {"MixedIntegers": TracedMixedIntegers, "MixedMotion": TracedMixedMotion}
    saved = [(module, part, getattr(module, part)) for module, parts in own.items() for part in parts]
    for module, part, _ in saved:
        setattr(module, part, classes[part])
    try:
        found = read_dfc.read((HERE / "vectors" / f"{name}.dfc").read_bytes())
    finally:
        for module, part, value in saved:
            setattr(module, part, value)
    clip = found["clips"][0]
    header = [
        f"Trace of formats/vectors/{name}.dfc: {title}.",
        f"Written by formats/make_traces.py. {legend}",
        f"Grid {tuple(found['header']['grid'])}, {found['header']['channels']} channels, "
        f"{clip['frames']} frames, kept {clip['kept']}.",
        "",
    ]
    return "\n".join([*header, *lines, "", f"integers_sha256 {clip['integers_sha256']}", *moved(clip)]) + "\n"


def moved(clip: dict[str, Any]) -> Lines:
    """The hashes of the decisions, if there are any."""
    return [f"{key} {clip[key]}" for key in ("motion_sha256", "kept_motion_sha256") if key in clip]


def fingerprint() -> str:
    """Return the text of the trace: the bytes that are hashed for a model with two tensors, and their hash."""
    tensors = {
        "b.weight": ("F32", (2, 1), struct.pack("<2f", 1.0, -0.5)),
        "b": ("I8", (3,), struct.pack("<3b", 1, -1, 127)),
    }
    lines = [
        "The fingerprint of a model of two tensors, b.weight and b (SPEC.md 5.3).",
        "Written by formats/make_traces.py. Bytes are hexadecimal.",
        "",
        "b comes first: its name is a prefix of the other.",
        "",
    ]
    whole = b""
    for name in sorted(tensors, key=str.encode):
        dtype, shape, values = tensors[name]
        parts = [
            (struct.pack("<I", len(name)), f"bytes of the name: {len(name)}"),
            (name.encode(), f"name: {name}"),
            (struct.pack("<I", len(dtype)), f"bytes of the dtype: {len(dtype)}"),
            (dtype.encode(), f"dtype: {dtype}"),
            (struct.pack("<I", len(shape)), f"number of dimensions: {len(shape)}"),
            *((struct.pack("<Q", size), f"dimension: {size}") for size in shape),
            (values, "values: " + {"b": "1, -1, 127", "b.weight": "1.0, -0.5"}[name]),
        ]
        lines += [f"{data.hex(' '):<24} {text}" for data, text in parts]
        whole += b"".join(data for data, _ in parts)
    return "\n".join([*lines, "", f"SHA-256 of these {len(whole)} bytes: {sha256(whole).hexdigest()}"]) + "\n"


def traces() -> dict[str, str]:
    """File name -> text."""
    return {
        "range.txt": trace("valid/range-trace", "coding 1, range"),
        "inter.txt": trace("valid/inter-trace", "coding 2, inter"),
        "motion.txt": trace("valid/motion-trace", "the payload of fill policy motion"),
        "mixing.txt": trace("valid/mixing-trace", "coding 3 with tools 16, context mixing", MIXING),
        "fingerprint.txt": fingerprint(),
    }


def main() -> None:
    """Write the traces."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "traces", help="where the files go")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, text in traces().items():
        (out / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
