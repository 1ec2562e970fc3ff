"""The conformance vectors of coding 2 (SPEC.md 7.7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from read_inter import motion_compensate, to_samples
from vector_clips import Clip, integers
from vector_files import File
from vector_parts import Head, Part, join
from write_inter import encode_inter, random_inter
from write_range import encode_range

Good = tuple[str, str, File]
Row = tuple[str, str, str, str, bytes]
Ints = npt.NDArray[np.int16]
SMALL = Head(width=48, height=32, channels=96)  # grid (1, 2, 3)


def moving_integers(shape: tuple[int, ...], vectors: Ints, seed: int, size: int = 15, gain: int = 1) -> Ints:
    """Pseudo-random integers that decrease from channel to channel, and move by about vectors (K, cells, 2).

    The integers of the first frame are `gain` times as large.
    """
    kept, tiles, rows, columns, channels = shape
    fall = np.array([max(size * 40 // (c + 4), 1) for c in range(channels)])
    out = np.empty((kept, tiles, rows * columns, channels), np.int16)
    out[0] = (integers((1, tiles, 1, rows * columns, channels), seed, 201)[0, :, 0] * fall // 100).astype(
        np.int16
    ) * gain
    for k in range(1, kept):
        for tile in range(tiles):
            samples = to_samples(out[k - 1, tile].astype(np.int64), rows, columns)
            own = vectors[k].reshape(tiles, -1, 2)[tile].tolist()
            made = [
                motion_compensate(samples, 16 * (i // columns), 16 * (i % columns), (v[0], v[1]))
                if any(v)
                else out[k - 1, tile, i]
                for i, v in enumerate(own)
            ]
            out[k, tile] = made
            out[k, tile] += integers((rows * columns, channels), seed + k, 13) // 6
    return out.reshape(shape)


def inter_clip(shape: tuple[int, ...], vectors: Ints, seed: int = 1, **more: int) -> Clip:
    """A clip that keeps all frames."""
    kept = tuple(range(shape[0]))
    values = moving_integers(shape, vectors, seed, **more)
    return Clip(frames=shape[0], kept=kept, values=values, vectors=vectors, coding=2)


def valid_inter() -> Iterator[Good]:
    """Ordinary files."""
    vectors = np.zeros((3, 6, 2), np.int16)
    vectors[1] = 12, -8
    vectors[2, 1:] = (12, -8), (13, -6), (13, -6), (0, 0), (-40, 65)
    clip = inter_clip((3, 1, 2, 3, 96), vectors)
    yield "inter-moved", "coding 2, three kept frames whose cells move", File(SMALL, [clip])
    twice = [inter_clip((3, 1, 2, 3, 96), vectors, seed) for seed in (7, 8)]
    yield "inter-twice", "two clips: vectors and statistics begin again", File(SMALL, [*twice])
    still = moving_integers((3, 1, 2, 3, 96), 0 * vectors, 5)
    clip = Clip(frames=5, kept=(0, 2, 4), values=still, coding=2)
    yield "inter-still", "coding 2, nothing moves", File(SMALL, [clip])
    codings = [Clip(frames=2, kept=(0, 1), values=still[:2], coding=c, planes=1 if c else 2) for c in (2, 0, 1, 2)]
    yield "inter-and-others", "clips of every coding in one file", File(SMALL, [*codings])


def uncommon_inter() -> Iterator[Good]:
    """Vectors, grids and integers that a careless reader misreads."""
    nothing = Clip(frames=3, kept=(), coding=2)
    one = Clip(
        frames=3, kept=(1,), values=moving_integers((1, 1, 2, 3, 96), np.zeros((1, 6, 2), np.int16), 2), coding=2
    )
    yield "inter-few-kept", "coding 2 of no kept frame, and of one: no vector", File(SMALL, [nothing, one])
    far = np.array([(32767, -32768), (-32768, 32767), (-4, 3), (200, 0), (0, -200), (-77, 150)], np.int16)
    vectors = np.stack([far, far, far[::-1]])
    yield (
        "inter-far",
        "vectors that lead far out of the picture, or wrap",
        File(SMALL, [inter_clip((3, 1, 2, 3, 96), vectors)]),
    )
    wide = Head(width=16 * 9, height=16 * 9, channels=96)
    vectors = np.stack([np.mgrid[-8:8, -8:8].reshape(2, -1).T[(7 * k + 3 * np.arange(81)) % 256] for k in range(3)])
    vectors = vectors.astype(np.int16)
    vectors[2, ::3] = vectors[1, ::3]
    yield (
        "inter-phases",
        "every quarter of a sample, every phase of cells",
        File(wide, [inter_clip((3, 1, 9, 9, 96), vectors, size=1)]),
    )
    tiled = Head(width=48, height=32, channels=96, tile=32, overlap=16)
    vectors = np.tile(np.array([(0, 64), (0, -64), (64, 0), (9, 9)], np.int16), (2, 2, 1))
    yield (
        "inter-tiles",
        "two tiles: samples end where a tile ends",
        File(tiled, [inter_clip((2, 2, 2, 2, 96), vectors)]),
    )
    loud = inter_clip((4, 1, 2, 3, 96), np.full((4, 6, 2), 5, np.int16), size=600, gain=400)
    yield "inter-limits", "samples and expected integers at their limits", File(SMALL, [loud])
    half = np.zeros((3, 6, 2), np.int16)
    half[1:, ::2] = 64, 3
    large = inter_clip((3, 1, 2, 3, 96), half, size=60)
    yield (
        "inter-half-still",
        "large integers, half of the cells stand still: those are not rounded",
        File(SMALL, [large]),
    )
    shape = (4, 2, 5, 5, 96)
    head, clips = Head(width=16 * 9, height=16 * 5, channels=96, tile=80, overlap=16), []
    assert head.grid == shape[1:4]
    for new in (1, 3, 8):
        values, words = random_inter(shape, 4, 252, new)
        latents = [Part(words, "words")]
        clips.append(Clip(frames=4, kept=(0, 1, 2, 3), values=values, coding=2, latents=latents))
    yield (
        "inter-dense",
        "every neighbour, most contexts, two tiles, three frames of vectors",
        File(head, [*clips]),
    )


def faulty_inter() -> Iterator[Row]:
    """One broken rule of SPEC.md 7.7 each."""
    vectors = np.zeros((2, 6, 2), np.int16)
    vectors[1, 2:] = 5
    values = moving_integers((2, 1, 2, 3, 96), vectors, 3)
    clip = Clip(frames=2, kept=(0, 1), values=values, vectors=vectors, coding=2)
    for symbol in (-1, 6):
        odd = replace(clip, vector_overrides={(1, 3, "which"): symbol})
        yield (
            f"inter-vector-{symbol}",
            "damaged",
            "7.5.2",
            f"a vector is {symbol}",
            join(File(SMALL, [odd]).chunks()[0]),
        )
    words = encode_inter(values, vectors, {})
    short = replace(clip, latents=[Part(words[4:], "words")])
    yield (
        "inter-word-missing",
        "damaged",
        "7.4.1",
        "words run out before the end",
        join(File(SMALL, [short]).chunks()[0]),
    )
    for name, head in (
        ("channels", Head(width=48, height=32, channels=95)),
        ("patch", Head(width=24, height=16, patch=8, channels=96)),
    ):
        shape = (2, *head.grid, head.channels)
        plain = integers(shape, 4, 9)
        wrong = Clip(frames=2, kept=(0, 1), values=plain, coding=2, latents=[Part(encode_range(plain), "words")])
        yield f"inter-{name}", "damaged", "7.7", f"{name} of another model", join(File(head, [wrong]).chunks()[0])
