"""The conformance vectors of coding 1 (SPEC.md 7.6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from vector_clips import Clip, integers
from vector_files import File
from vector_parts import Head, Part, join
from write_range import decode_leniently, encode_range, random_latents

Good = tuple[str, str, File]
Row = tuple[str, str, str, str, bytes]
SMALL = Head(width=48, height=32, channels=4)  # grid (1, 2, 3)


def spread(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Pseudo-random integers that decrease from channel to channel and change little from frame to frame."""
    kept, *_, channels = shape
    frame = integers((1, *shape[1:]), seed, 41)
    change = (integers(shape, seed + 5, 29) > 12).astype(np.int16)
    size = np.array([20 >> min(c // 4, 5) or 1 for c in range(channels)], np.int16)
    return np.asarray((np.repeat(frame, kept, axis=0) + change) // (21 - size), np.int16)


def valid_range() -> Iterator[Good]:
    """Ordinary files."""
    one = Clip(values=np.full((1, 1, 1, 1, 1), -3, np.int16), coding=1)
    yield "range-smallest", "coding 1, one integer (SPEC.md 7.6.6)", File(body=[one])
    yield (
        "range-frames",
        "coding 1, 4 of 9 frames kept",
        File(SMALL, [Clip(frames=9, kept=(0, 3, 4, 8), values=spread((4, 1, 2, 3, 4)), coding=1)]),
    )
    wide = Head(width=48, height=48, channels=37)
    yield (
        "range-channels",
        "coding 1, 37 channels in 6 groups, of which 4 have two phases",
        File(wide, [Clip(frames=3, kept=(0, 1, 2), values=spread((3, 1, 3, 3, 37)), coding=1)]),
    )
    both = [Clip(frames=2, kept=(0, 1), coding=c) for c in (0, 1, 0)]
    yield "range-and-zstd", "clips of either coding in one file", File(SMALL, [*both])


def uncommon_range() -> Iterator[Good]:
    """Integers, levels and shapes that a careless reader misreads."""
    yield "range-nothing-kept", "coding 1 of no kept frame", File(body=[Clip(frames=3, kept=(), coding=1)])
    extreme = np.array([-32768, 32767, 0, -1, 32767, -32768] * 4, np.int16).reshape(4, 1, 2, 3, 1)
    clips = [Clip(frames=4, kept=(0, 1, 2, 3), values=np.roll(extreme, k), coding=1) for k in range(4)]
    yield "range-int16-extremes", "residuals that wrap modulo 2^16", File(replace(SMALL, channels=1), [*clips])
    values = integers((3, 1, 2, 3, 4), 3, 60001)
    clip = Clip(frames=3, kept=(0, 1, 2), values=values, coding=1)
    yield "range-escapes", "escapes and raw bits of many lengths", File(SMALL, [clip])
    values = integers((1, 1, 2, 3, 4), 1, 3)
    levels = [Part(encode_range(values, [33, 0, 33, 0]), "words")]
    yield "range-odd-levels", "levels far from the means", File(SMALL, [Clip(values=values, latents=levels, coding=1)])
    tiled = Head(width=40, height=24, patch=8, channels=3, tile=24, overlap=8)
    clip = Clip(frames=3, kept=(0, 1, 2), values=spread((3, 2, 3, 3, 3)), coding=1)
    yield "range-tiles", "two tiles of odd height: no neighbour across their border", File(tiled, [clip])
    wide = Head(width=8193, height=2, patch=1, channels=1)
    values = np.zeros((1, 1, 2, 8193, 1), np.int16)
    values[0, 0, :, 7::500, 0] = 5
    yield "range-bands", "two bands of one line each", File(wide, [Clip(values=values, coding=1)])
    many = Head(channels=1024)
    clip = Clip(values=integers((1, 1, 1, 1, 1024), 0, 5), coding=1)
    yield "range-channels-1024", "the most channels, phases without a cell", File(many, [clip])
    yield from _uncommon_statistics()
    flat = Clip(frames=3, kept=(0, 1, 2), values=np.zeros((3, 1, 64, 64, 1), np.int16), coding=1)
    yield "range-zeros", "12 288 zeros", File(Head(width=64, height=64, patch=1), [flat])


def _uncommon_statistics() -> Iterator[Good]:
    """Contexts that small files of likely integers do not use, so that a wrong weight would not be noticed."""
    for name, shape, first, most, note in (
        ("dense", (4, 1, 8, 8, 40), 8, 200, "10 240 integers, which together use nearly every weight"),
        ("wild", (3, 1, 4, 4, 12), 15, 0, "all symbols alike: escapes and shifts of all lengths, scales at the clamp"),
        ("low", (3, 1, 4, 4, 24), 0, 253, "scales below 8"),
    ):
        values, words = random_latents(shape, first, most)
        head = Head(width=16 * shape[3], height=16 * shape[2], channels=shape[4])
        clip = Clip(frames=shape[0], kept=tuple(range(shape[0])), values=values, coding=1)
        yield f"range-{name}", note, File(head, [replace(clip, latents=[Part(words, "words")])])
    yield "range-levels", "every level, and means after them: scales at many edges of buckets", _ladder()
    zeros = Clip(frames=3, kept=(0, 1, 2), values=np.zeros((3, 1, 2, 3, 4), np.int16), coding=1)
    yield "range-zeros-4", "zeros in two groups: no mean is below 2", File(SMALL, [zeros])
    values = integers((4, 1, 2, 3, 4), 2, 9)
    values[::2] += 32763
    values[1::2] -= 32764
    clip = Clip(frames=4, kept=(0, 1, 2, 3), values=values, coding=1)
    yield "range-int16-changes", "changes from frame to frame of more than 16 bits", File(SMALL, [clip])
    for columns, rows, note in ((5000, 4, "a band of three lines, one of one"), (16385, 2, "lines over 16 384")):
        values = np.zeros((1, 1, rows, columns, 1), np.int16)
        values[0, 0, :, 5::700, 0] = 6
        values[0, 0, 2:4, 6::700, 0] = -9
        wide = Head(width=columns, height=rows, patch=1)
        yield f"range-bands-{columns}", note, File(wide, [Clip(values=values, coding=1)])


def _ladder() -> File:
    """A clip of three kept frames for every level, its integers of about that size."""
    clips = []
    for level in range(34):
        sizes = [(2 + (i & 1) << i // 2) * 3 // 256 + 2 for i in (level, 33 - level)]
        values = np.concatenate([integers((3, 1, 1, 2, 1), level * 31 + 7, min(size, 60001)) for size in sizes], axis=4)
        values[1:, ..., level % 2] += values[:1, ..., level % 2] // 2
        words = [Part(encode_range(values, [level, 33 - level]), "words")]
        clips.append(Clip(frames=3, kept=(0, 1, 2), values=values, latents=words, coding=1))
    return File(Head(width=32, channels=2), [*clips])


def faulty_range() -> Iterator[Row]:
    """One broken rule of SPEC.md 7.4 and 7.6 each."""
    head = Head(width=48, height=32, channels=3)
    values = integers((2, 1, 2, 3, 3), 4, 90)
    sane = encode_range(values)

    def one(data: bytes, of: Head = head, clip: Clip | None = None, **more: object) -> bytes:
        clip = clip or Clip(frames=2, kept=(0, 1), values=values, coding=1)
        return join(File(of, [replace(clip, latents=[Part(data, "words")], **more)]).chunks()[0])  # type: ignore[arg-type]

    def on(data: bytes) -> bytes:
        """Hash and index are of the integers that a reader without checks finds."""
        return one(data, clip=Clip(frames=2, kept=(0, 1), values=decode_leniently(data, values.shape), coding=1))

    yield "range-none", "damaged", "7", "no word for two kept frames", one(b"")
    yield "range-zeros-only", "damaged", "7.4.1", "the last word is 0", one(bytes(40))
    zero = np.zeros((1, 1, 1, 1, 1), np.int16)
    short = encode_range(zero)
    assert len(short) == 4, "a state of one word stays what it is with a word of 0 above it"
    yield "range-last-word-0", "damaged", "7.4.1", "a word of 0 after the last", one(
        short + bytes(4), Head(), Clip(values=zero, coding=1)
    )  # fmt: skip
    yield "range-half-word", "damaged", "7.4.1", "two bytes after the last word", one(sane + b"\0\1")
    yield "range-first-word-missing", "damaged", "7.4.1", "words run out before the end", on(sane[4:])
    yield "range-last-word-missing", "damaged", "7.4.1", "begins at the wrong word", one(sane[:-4])
    yield "range-word-too-many", "damaged", "7.4.1", "a word is left at the end", on(b"\1\2\3\4" + sane)
    yield "range-zero-word-too-many", "damaged", "7.4.1", "a word of 0 is left at the end", on(bytes(4) + sane)
    yield "range-end-state", "damaged", "7.4.1", "the state at the end is not 2^24", on(bytes([sane[0] ^ 1]) + sane[1:])
    yield (
        "range-start-2-23",
        "damaged",
        "7.4.1",
        "written from a state of 2^23",
        on(encode_range(values, start=1 << 23)),
    )
    for level in (-1, 34, 65540):
        odd = encode_range(values, [9, level, 9])
        yield f"range-level-{level}", "damaged", "7.6.4", f"level {level} in channel 1", one(odd)
    yield "range-planes-2", "damaged", "7.6.1", "two planes", one(sane, planes=2)
    none = Clip(kept=(), values=np.zeros((0, 1, 2, 3, 3), np.int16), coding=1)
    yield "range-of-nothing", "damaged", "7", "a word and no kept frame", one(b"\0\0\0\1", clip=none)
    large = Head(width=257, height=257, patch=1)
    huge = Clip(values=zero, coding=1)
    yield "range-expansion", "limit", "7.4.1", "66 049 integers from four bytes", one(b"\0\0\0\1", large, huge)
    wide = Head(width=64, height=64, patch=1)
    dry = replace(huge, values=decode_leniently(short, (1, 1, 64, 64, 1)))
    yield "range-runs-dry", "damaged", "7.4.1", "4096 integers in the word of one", one(short, wide, dry)
