"""The conformance vectors of fill policy 6, direct (SPEC.md 7.8.4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from vector_clips import Clip, Ints
from vector_files import File
from vector_inter import moving_integers
from vector_motion import EVERY, decisions
from vector_parts import Head, join

Good = tuple[str, str, File]
Row = tuple[str, str, str, str, bytes]
SMALL = Head(width=40, height=24, channels=96)  # grid (1, 2, 3), 3 × 5 blocks
KEPT = (1, 3, 6)
MODES = ((0, 2), (3, 0, 0), (0,), (1, 0, 2), (0, 1))


def moved_vectors() -> Ints:
    """Vectors of the cells of three kept frames, of every remainder modulo 4 and of both signs."""
    out = np.zeros((3, 6, 2), np.int16)
    out[1] = (12, -8), (13, -7), (14, -6), (15, -5), (-9, 40), (0, 0)
    out[2] = (-12, 9), (13, -6), (13, -6), (2, 3), (-41, 65), (-1, -3)
    return out


def direct_clip(tools: int, vectors: Ints, **more: object) -> Clip:
    """A clip in coding 2 with dropped frames before, between and after kept ones."""
    values = moving_integers((len(vectors), 1, 2, 3, 96), vectors, 3)
    clip = Clip(frames=8, kept=KEPT, values=values, vectors=vectors, coding=2, fill=6, tools=tools)
    return replace(clip, **more)  # type: ignore[arg-type]


def valid_direct() -> Iterator[Good]:
    """Ordinary files."""
    vectors, modes = moved_vectors(), decisions(MODES, 3, 5)
    yield "fill-direct", "tools 12: eight taps, direct motion in half pixels", File(
        SMALL, [direct_clip(12, vectors, motion=modes)]
    )  # fmt: skip
    yield "direct-quarter", "tools 14: direct motion in quarter pixels", File(
        SMALL, [direct_clip(14, vectors, motion=modes)]
    )  # fmt: skip
    yield "direct-no-decisions", "a payload of one byte: every block has mode 0", File(
        SMALL, [direct_clip(12, vectors)]
    )  # fmt: skip


def uncommon_direct() -> Iterator[Good]:
    """Files that a careless reader misreads."""
    vectors = moved_vectors()
    far = np.where(vectors & 1, 32767, -32768).astype(np.int16)
    yield "direct-far", "vectors of 16 bits, before and after they are turned", File(SMALL, [direct_clip(14, far)])
    yield "direct-not-moved", "tools 0 and 6: a filter, no direct motion", File(
        SMALL, [direct_clip(0, vectors), direct_clip(6, vectors, motion=decisions(MODES, 3, 5))]
    )  # fmt: skip
    none = Clip(frames=3, kept=(), coding=2, fill=6)
    one = direct_clip(12, vectors[:1], frames=4, kept=(2,))
    every = direct_clip(14, vectors, frames=3, kept=(0, 1, 2))
    yield "direct-few-kept", "no kept frame and no byte, one kept frame, every frame kept", File(
        SMALL, [none, one, every]
    )  # fmt: skip
    plain = Clip(frames=7, kept=(1, 4), fill=6, tools=4, motion=decisions(EVERY, 3, 5))
    codings = [replace(plain, coding=coding, planes=1 if coding else 2) for coding in (0, 1)]
    yield "direct-other-codings", "a filter in codings 0 and 1", File(SMALL, [*codings])


def faulty_direct() -> Iterator[Row]:
    """One broken rule of SPEC.md 7.8.4 each."""
    good = direct_clip(12, moved_vectors(), motion=decisions(MODES, 3, 5))
    sane = good.dropped_payload()

    def one(payload: bytes, clip: Clip = good, head: Head = SMALL) -> bytes:
        return join(File(head, [replace(clip, payload=payload)]).chunks()[0])

    yield "direct-tools-1", "unsupported", "7.8.4", "bit 0 of tools", one(b"\x0d" + sane)
    yield "direct-tools-32", "unsupported", "7.8.4", "bit 5 of tools", one(b"\x20" + sane)
    yield "direct-no-tools", "damaged", "7.8.4", "no byte of fill payload", one(b"")
    none = Clip(frames=2, kept=(), coding=2, fill=6)
    yield "direct-nothing-kept", "damaged", "7.8.4", "tools and no kept frame", one(b"\x0c", none)
    ranged = replace(good, coding=1)
    yield "direct-of-coding-1", "damaged", "7.8.4", "direct motion in coding 1", one(b"\x0c" + sane, ranged)
    tiled = Head(width=48, height=32, channels=96, tile=32, overlap=16)
    vectors = np.zeros((2, 8, 2), np.int16)
    values = moving_integers((2, 2, 2, 2, 96), vectors, 1)
    tiles = Clip(frames=3, kept=(0, 2), values=values, vectors=vectors, coding=2, fill=6)
    yield "direct-of-tiles", "damaged", "7.8.4", "direct motion and tiles", one(b"\x0c", tiles, tiled)
    yield "direct-word-missing", "damaged", "7.8.1", "the first word of the decisions is missing", one(
        b"\x0c" + sane[4:]
    )  # fmt: skip
    three = Clip(frames=3, kept=(0, 2), coding=3, fill=6, values=np.zeros((2, 1, 2, 3, 96), np.int16))
    yield "direct-of-coding-3", "damaged", "7.10", "fill policy 6 in coding 3", one(b"\x04", three)
