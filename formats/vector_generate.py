"""The conformance vectors of fill policy 5, generate (SPEC.md 7.9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from vector_clips import Clip, Ints, integers
from vector_files import File
from vector_parts import Head, join

Good = tuple[str, str, File]
Row = tuple[str, str, str, str, bytes]
SMALL = Head(width=80, height=48, channels=4)  # 2 × 3 cells
TWO = Clip(frames=7, kept=(1, 4), fill=5)


def smooth(shape: tuple[int, ...], span: int = 40) -> Ints:
    """Motion latents that fall towards the fast waves."""
    out = integers(shape, 5, span)
    for number in range(shape[-1]):
        out[..., number] //= 1 + number // 2 % (shape[-1] // 4)
    return out


def valid_generate() -> Iterator[Good]:
    """Ordinary files."""
    yield "fill-generate", "four waves, two kept frames", File(SMALL, [replace(TWO, waves=smooth((2, 2, 3, 16)))])
    yield "generate-none", "no payload: no motion", File(SMALL, [TWO])
    still = Clip(frames=4, kept=(2,), fill=5, coding=1, waves=smooth((1, 2, 3, 4)), wave_step=0)
    yield "generate-one-wave", "one wave, latents in coding 1, the finest step", File(SMALL, [still])


def uncommon_generate() -> Iterator[Good]:
    """Files that a careless reader misreads."""
    yield "nothing-kept-generate", "no kept frame, fill policy generate", File(body=[Clip(frames=3, kept=(), fill=5)])
    every = Clip(frames=2, kept=(0, 1), fill=5, waves=smooth((2, 2, 3, 8)))
    yield "generate-all-kept", "a payload although nothing is dropped", File(SMALL, [every])
    zero = replace(TWO, waves=np.zeros((2, 2, 3, 4), np.int16), wave_step=63)
    yield "generate-zeros", "a payload of zeros, the coarsest step", File(SMALL, [zero])
    odd = Clip(frames=3, kept=(0,), fill=5, coding=1, waves=smooth((1, 2, 2, 64), 65535))
    yield "generate-far", "37 × 33 pixels, 16 waves, integers of 16 bits", File(
        Head(width=37, height=33, patch=4, channels=2), [odd]
    )  # fmt: skip


def faulty_generate() -> Iterator[Row]:
    """One broken rule of SPEC.md 7.9 each."""
    good = replace(TWO, waves=smooth((2, 2, 3, 16)))
    sane = good.wave_payload()

    def one(payload: bytes, clip: Clip = TWO) -> bytes:
        return join(File(SMALL, [replace(clip, payload=payload)]).chunks()[0])

    yield "generate-waves-0", "damaged", "7.9", "no wave", one(b"\0" + sane[1:])
    yield "generate-waves-17", "damaged", "7.9", "17 waves", one(b"\x11" + sane[1:])
    yield "generate-step-64", "damaged", "7.9", "step 64", one(sane[:1] + b"\x40" + sane[2:])
    yield "generate-reserved", "damaged", "7.9", "reserved is not 0", one(sane[:2] + b"\1\0" + sane[4:])
    yield "generate-short", "damaged", "7.9", "three bytes", one(sane[:3])
    yield "generate-no-words", "damaged", "7.9", "no byte of integers", one(sane[:4])
    yield "generate-word-missing", "damaged", "7.9", "the first word is missing", one(sane[:4] + sane[8:])
    yield (
        "generate-trailing-word",
        "damaged",
        "7.9",
        "a word is left at the end",
        one(sane[:4] + b"\1\2\3\4" + sane[4:]),
    )
    yield "generate-half-word", "damaged", "7.9", "two bytes after the last word", one(sane + b"\0\1")
    yield "generate-zero-word", "damaged", "7.9", "the last word is 0", one(sane[:4] + bytes(8))
    none = Clip(frames=2, kept=(), values=np.zeros((0, 1, 3, 5, 4), np.int16), fill=5)
    yield "generate-nothing-kept", "damaged", "7.9", "a payload and no kept frame", one(sane, none)
    large = Head(width=2048, height=2048, patch=64)
    clip = Clip(frames=2, fill=5, payload=b"\x10\0\0\0" + (0xFF000000).to_bytes(4, "little"))
    yield "generate-too-many", "limit", "7.9", "262144 integers of four bytes", join(
        File(large, [clip]).chunks()[0]
    )  # fmt: skip
