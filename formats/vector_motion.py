"""The conformance vectors of fill policy 3, motion (SPEC.md 7.8)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from vector_clips import Clip, Ints, integers
from vector_files import File
from vector_parts import Head, join

Good = tuple[str, str, File]
Row = tuple[str, str, str, str, bytes]
SMALL = Head(width=48, height=32, channels=4)  # 4 × 6 blocks
FOUR = Clip(frames=7, kept=(1, 4), fill=3)  # dropped: 0 (future only), 2, 3 (both), 5, 6 (past only)


def decisions(modes: tuple[tuple[int, ...], ...], rows: int, columns: int, span: int = 15) -> Ints:
    """For each dropped frame modes in turn, and vectors up to `span` / 2; unused ones are random too."""
    shape = len(modes), rows, columns
    out = integers((*shape, 5), 7, span)
    for number, y, x in np.ndindex(shape):
        out[number, y, x, 0] = modes[number][(y * 3 + x) % len(modes[number])]
    return out


def smooth_decisions(shape: tuple[int, int, int]) -> Ints:
    """Decisions (D, rows, columns, 5) similar to those of their neighbours, with a few exceptions."""
    noise = integers((*shape, 5), 3, 1009)
    out = np.zeros((*shape, 5), np.int16)
    for t, y, x in np.ndindex(shape):
        out[t, y, x] = (3 - (y * 3 + x) // 14 % 4, y // 3 - t, x // 5, 4 - y // 5, x // 4 + t)
        for i, value in enumerate(noise[t, y, x].tolist()):
            if abs(value) < (40, 160, 90, 160, 90)[i]:
                out[t, y, x, i] = abs(value) % 4 if i == 0 else out[t, y, x, i] + value % 33 - 16
    return out


EVERY = ((0, 2), (3, 1, 2, 0), (3,), (1, 0, 1), (1,))


def valid_motion() -> Iterator[Good]:
    """Ordinary files."""
    moved = decisions(EVERY, 4, 6)
    yield "fill-motion", "every mode, before, between and after kept frames", File(
        SMALL, [replace(FOUR, motion=moved)]
    )  # fmt: skip
    still = np.zeros((5, 4, 6, 5), np.int16)
    still[1:3, 1:3, 2:5] = [3, 2, -3, -2, 3]
    yield "motion-square", "a square that moves over the model's picture, latents in coding 1", File(
        SMALL, [replace(FOUR, motion=still, coding=1)]
    )  # fmt: skip
    yield "motion-none", "no payload: mode 0 everywhere", File(SMALL, [FOUR])
    yield "fill-blend", "every mode, fill policy blend", File(SMALL, [replace(FOUR, fill=4, motion=moved)])
    yield "blend-none", "fill policy blend, no payload: mode 0 everywhere", File(SMALL, [replace(FOUR, fill=4)])


def uncommon_motion() -> Iterator[Good]:
    """Sizes and vectors that a careless reader misreads."""
    yield "nothing-kept-motion", "no kept frame, fill policy motion", File(body=[Clip(frames=3, kept=(), fill=3)])
    yield "nothing-kept-blend", "no kept frame, fill policy blend", File(body=[Clip(frames=3, kept=(), fill=4)])
    yield "motion-all-kept", "nothing is dropped", File(SMALL, [Clip(frames=2, kept=(0, 1), fill=3)])
    wide = decisions(EVERY, 4, 6, 65535)
    yield "motion-far", "vectors far outside of the picture, differences that wrap modulo 2^16", File(
        SMALL, [replace(FOUR, motion=wide)]
    )  # fmt: skip
    small = Head(width=37, height=21, patch=4, channels=2)
    yield "motion-odd-size", "37 × 21 pixels in patches of 4: 3 × 5 blocks of 8", File(
        small, [Clip(frames=3, kept=(0, 2), fill=3, motion=decisions(((0, 1, 2, 3),), 3, 5))]
    )  # fmt: skip
    field = Head(width=132, height=135, patch=64)
    yield "motion-grid", "17 × 17 blocks: every step, nearly every context", File(
        field, [Clip(frames=6, kept=(0, 2, 5), fill=3, motion=smooth_decisions((3, 17, 17)))]
    )  # fmt: skip
    tiled = Head(width=40, height=24, patch=8, channels=2, tile=16, overlap=8)
    yield "motion-tiles", "blocks are of the whole picture, whatever the tiles", File(
        tiled, [Clip(frames=2, kept=(0,), fill=3, motion=decisions(((1, 0),), 3, 5))]
    )  # fmt: skip


def faulty_motion() -> Iterator[Row]:
    """One broken rule of SPEC.md 7.8.1 each."""
    good = replace(FOUR, motion=decisions(EVERY, 4, 6))
    sane = good.motion_payload()

    def one(payload: bytes, clip: Clip = FOUR, head: Head = SMALL) -> bytes:
        return join(File(head, [replace(clip, payload=payload)]).chunks()[0])

    def with_symbol(number: int, what: Any, value: int) -> bytes:
        """The payload with another symbol of the last block of a frame."""
        block = (0, 2, 3, 5, 6)[number], 3, 5
        return one(replace(good, motion_overrides={(block, what): value}).motion_payload())

    def mode(number: int, value: int) -> bytes:
        wrong = decisions(EVERY, 4, 6)
        wrong[number, 3, 5, 0] = value
        return one(replace(FOUR, motion=wrong).motion_payload())

    yield "motion-mode-symbol-4", "damaged", "7.8.1", "mode symbol 4", with_symbol(1, "mode", 4)
    yield "motion-mode-symbol-minus-1", "damaged", "7.8.1", "mode symbol -1", with_symbol(1, "mode", -1)
    yield "motion-vector-symbol-6", "damaged", "7.8.1", "vector symbol 6", with_symbol(2, ("which", 0), 6)
    yield "motion-vector-symbol-minus-1", "damaged", "7.8.1", "vector symbol -1", with_symbol(2, ("which", 1), -1)
    yield "motion-no-past", "damaged", "7.8.1", "mode 1 before the first kept frame", mode(0, 1)
    yield "motion-no-future", "damaged", "7.8.1", "mode 2 after the last kept frame", mode(4, 2)
    yield "motion-one-side", "damaged", "7.8.1", "mode 3 after the last kept frame", mode(3, 3)
    yield "motion-word-missing", "damaged", "7.8.1", "the first word is missing", one(sane[4:])
    yield "motion-last-word-missing", "damaged", "7.8.1", "begins at the wrong word", one(sane[:-4])
    yield "motion-trailing-word", "damaged", "7.8.1", "a word is left at the end", one(b"\1\2\3\4" + sane)
    yield "motion-half-word", "damaged", "7.8.1", "two bytes after the last word", one(sane + b"\0\1")
    yield "motion-zeros", "damaged", "7.8.1", "the last word is 0", one(bytes(8))
    none = Clip(frames=2, kept=(), values=np.zeros((0, 1, 2, 3, 4), np.int16), fill=3)
    still = replace(none, motion=np.zeros((2, 4, 6, 5), np.int16)).motion_payload()
    yield "motion-nothing-kept", "damaged", "7.8.1", "a payload and no kept frame", one(still, none)
    last = Clip(frames=2, fill=3, motion=np.zeros((1, 1, 1, 5), np.int16))
    short = last.motion_payload()
    assert len(short) == 4, "a state of one word stays what it is with a word of 0 above it"
    yield "motion-last-word-0", "damaged", "7.8.1", "a word of 0 after the last", one(
        short + bytes(4), last, Head(width=8, height=8, patch=8)
    )  # fmt: skip
    every = Clip(frames=1, kept=(0,), fill=3)
    yield "motion-nothing-dropped", "damaged", "7.8.1", "a payload and no dropped frame", one(b"\0\0\0\1", every)
    large = Head(width=2056, height=2048, patch=64)
    clip = Clip(frames=2, fill=3)
    yield "motion-expansion", "limit", "7.8.1", "65 792 blocks from four bytes", one(b"\0\0\0\1", clip, large)
