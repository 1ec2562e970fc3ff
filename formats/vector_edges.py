"""Conformance vectors for edges of rules: each was added because `mutation_score.py` found that no other tests it."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import read_inter
import read_motion
from vector_clips import Clip
from vector_edits import Row, packed, rebuild_index, where
from vector_files import File
from vector_inter import SMALL as INTER_HEAD
from vector_inter import inter_clip, moving_integers
from vector_motion import EVERY, FOUR, decisions
from vector_motion import SMALL as MOTION_HEAD
from vector_parts import Head, Part, join
from write_inter import random_inter
from write_motion import random_motion
from write_range import random_latents

Good = tuple[str, str, File]

# Integers of a cell, found by search. In one channel, the sum of SPEC.md 7.7.2 plus 6422528 is a multiple of 12845056;
# for LESS, it is a multiple less 1.
HALF = (
    "f310030ffe00f70114f41302020908100f070afaf91310ee0d02f800fa0205f60a08f8030bf1fbf807060df304f3f612"
    "010700f7ecfafaedf2fdf110060afcfcfaed0e07f308fa14f105fd1213f3ff06020201ecf710f4f4130d0ced140d110a"
)
LESS = (
    "f2f80001f70c1003f6f70d0704f303ec010cfb0bf90ef7fc06050907f704faee0ffa0df114f6f3f010ef00fff6fbf9f1"
    "fbf613f60f00f0fd12050cff0af00009140bfdfdf6f80aed0afff3fef70efaec140812eef90514120cff0b08f6feedec"
)


def uncommon_edges() -> Iterator[Good]:
    """Good files."""
    yield "one-pixel", "one pixel", File(Head(width=1, height=1, patch=1), [Clip()])
    yield "patch-32", "patches of 32, colour of full range", File(Head(patch=32, colour=(2, 9, 16, 9, 10)), [Clip()])
    tiled = Head(width=75, height=37, patch=8, tile=24, overlap=8)
    yield "tiles-last-moved-back", "the last tile of each side is moved back, and overlaps more", File(tiled, [Clip()])
    for columns, rows, note in (
        (8192, 3, "16 384 / 8192 lines a band"), (3277, 5, "16 384 / 3277 is less than 5 lines a band"),
    ):  # fmt: skip
        values = np.zeros((1, 1, rows, columns, 1), np.int16)
        values[0, 0, :, 3::400, 0] = 7
        head = Head(width=columns, height=rows, patch=1)
        yield f"range-bands-{columns}", note, File(head, [Clip(values=values, coding=1)])
    for name, shape, first, most, note in (
        ("group-0", (6, 1, 6, 6, 2), 12, 90, "one group of two channels, six frames: every weight of group 0"),
        ("far", (2, 1, 4, 4, 24), 9, 60, "sums of earlier groups"),
    ):
        values, words = random_latents(shape, first, most)
        head = Head(width=16 * shape[3], height=16 * shape[2], channels=shape[4])
        clip = Clip(frames=shape[0], kept=tuple(range(shape[0])), values=values, coding=1)
        clip.latents = [Part(words, "words")]
        yield f"range-{name}", note, File(head, [clip])
    clips = []
    for x, y in (((6, 1, 5), (1, 0, 0)), ((8, 1, 5), (4, 11, 0))):
        values = np.array([x, y], np.int16).T.reshape(3, 1, 1, 2, 1)
        clips.append(Clip(frames=3, kept=(0, 1, 2), values=values, coding=1))
    yield "range-scales", "scales of size at edges of buckets, in group 0", File(Head(width=32), [*clips])
    yield from _inter()
    yield from _motion()


def _inter() -> Iterator[Good]:
    down = np.full((2, 6, 2), 6, np.int16)
    loud = np.minimum(-moving_integers((1, 1, 2, 3, 96), 0 * down[:1], 1, 600, 400), 32767).astype(np.int16)
    clip = Clip(frames=2, kept=(0, 1), values=predicted(loud, down[1]), vectors=down, coding=2)
    yield "inter-limits-low", "samples at their lower limit", File(INTER_HEAD, [clip])
    vectors = np.full((3, 3, 2), 7, np.int16)
    head = Head(width=48, channels=96, tile=16)
    yield "inter-tiles-of-one-cell", "three tiles of one cell", File(head, [inter_clip((3, 3, 1, 1, 96), vectors)])
    clips = []
    for b, vector in ((HALF, (8, 4)), (LESS, (5, 3))):
        first = np.frombuffer(bytes.fromhex(b), np.int8).astype(np.int16).reshape(1, 1, 1, 1, 96)
        vectors = np.array([[(0, 0)], [vector]], np.int16)
        values = predicted(first, vectors[1])
        clips.append(Clip(frames=2, kept=(0, 1), values=values, vectors=vectors, coding=2))
    yield (
        "inter-half",
        "a prediction halfway between two integers, and one a little below",
        File(Head(channels=96), [*clips]),
    )
    head, clips = Head(width=16 * 9, height=16 * 9, channels=96), []
    for new, span in ((6, 3), (8, 40)):
        values, words = random_inter((3, 1, 9, 9, 96), 4, 255, new, span)
        clips.append(Clip(frames=3, kept=(0, 1, 2), values=values, coding=2, latents=[Part(words, "words")]))
    vectors = np.array([[(0, 0)] * 3, [(8, 0), (9, 1), (9, 1)], [(9, 0), (8, 1), (0, 0)]], np.int16)
    tall = inter_clip((3, 1, 3, 1, 96), vectors, size=4)
    yield "inter-tall", "more rows of cells than columns", File(Head(height=48, channels=96), [tall])
    yield "inter-same", "one candidate is the median and the spread 0; none is and the spread 1", _same()
    yield "inter-contexts", "small differences of vectors, then larger ones", File(head, [*clips])


def predicted(first: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """A frame (1, 1, rows, columns, 96), and after it the frame that vectors (cells, 2) predict from it."""
    _, _, rows, columns, channels = first.shape
    samples = read_inter.to_samples(first.reshape(-1, channels).astype(np.int64), rows, columns)
    made = [
        read_inter.motion_compensate(samples, 16 * (i // columns), 16 * (i % columns), (v, h))
        for i, (v, h) in enumerate(vectors.tolist())
    ]
    return np.concatenate([first, np.array(made, np.int16).reshape(first.shape)])


# Vectors of four neighbours and the fifth vector. Spread 0 and one vector that is the median; spread 1 and none.
ONE_SAME = ((0, 5), (0, -7), (0, 0), (9, 0), (-4, 0))
NONE_SAME = ((0, 1), (0, 2), (0, 9), (-5, 3), (6, 3))


def _same() -> File:
    """Cells (1, 1), in phase 5, and (2, 1), in phase 6, have these candidates."""
    clips = []
    for candidates in (ONE_SAME, NONE_SAME):
        for y, x, around in ((1, 1, ((0, 0), (0, 2), (2, 0), (2, 2))), (2, 1, ((1, 1), (2, 0), (2, 2), (3, 1)))):
            vectors = np.zeros((3, 5, 5, 2), np.int16)
            vectors[1, y, x] = candidates[4]
            for place, vector in zip(around, candidates, strict=False):
                vectors[2][place] = vector
            vectors[2, y, x] = candidates[0]
            values = np.zeros((3, 1, 5, 5, 96), np.int16)
            clips.append(Clip(frames=3, kept=(0, 1, 2), values=values, vectors=vectors.reshape(3, 25, 2), coding=2))
    return File(Head(width=80, height=80, channels=96), [*clips])


def _motion() -> Iterator[Good]:
    head = Head(width=136, height=136, patch=8, channels=1)
    clips = []
    for seed, span in enumerate((3, 70)):
        made, payload = random_motion(8, (1, 5), 17, seed + 1, span)
        clips.append(Clip(frames=8, kept=(1, 5), fill=3, motion=made, payload=payload))
    yield "motion-contexts", "small differences of vectors, then larger ones: every context", File(head, [*clips])
    still = Clip(frames=2, fill=3, motion=np.zeros((1, 1, 1, 5), np.int16))
    yield (
        "motion-one-word",
        "a payload of one word, in which all modes are 0",
        File(Head(width=8, height=8, patch=8), [still]),
    )
    made = np.zeros((2, 3, 3, 5), np.int16)
    made[..., 0] = 1
    made[0, 1, 1, 1:3] = -2, 0  # scaled by 2 for the next frame
    for place, vector in zip(((0, 0), (0, 2), (2, 0), (2, 2)), ONE_SAME, strict=False):
        made[1][place][1:3] = vector
    clip = Clip(frames=4, kept=(0, 3), fill=3, motion=made)
    yield (
        "motion-same",
        "one candidate is the median and the spread 0",
        File(Head(width=24, height=24, patch=8), [clip]),
    )
    for seed in range(10000):
        made, payload = random_motion(4, (0, 3), 2, seed, 2)
        if len(payload) > 4 and payload[-3:] == bytes(3):
            break
    clip = Clip(frames=4, kept=(0, 3), fill=3, motion=made, payload=payload)
    yield "motion-last-word-low", "only the low byte of the last word is not 0", File(Head(), [clip])


def faulty_edges() -> Iterator[Row]:
    """Faulty files that a reader accepts, or refuses with another class, if it breaks the rule by a little."""
    for field, head in (
        ("width", Head(width=0)), ("height", Head(height=0)), ("clip-frames", Head(clip_frames=0)),
        ("channels", Head(channels=0)),
    ):  # fmt: skip
        yield f"head-{field}-0-no-clip", "damaged", "5.1", f"{field} is 0, no clip", join(File(head).chunks()[0])
    alone = File(body=[Clip()], tags=(("title", "x"),))
    for kind in (b"STEP", b"tags"):
        moved = alone.chunks()[0]
        moved.insert(-2, moved.pop(where(moved, kind)))
        rebuild_index(moved)
        name = f"order-{kind.decode()}-after-only-CLIP"
        yield name, "damaged", "3.3", f"{kind.decode()} after the only clip", join(moved)
    data = join(alone.chunks()[0])
    clip = data.index(b"CLIP")
    longer = data[: clip + 7] + b"\1" + data[clip + 8 :]
    yield "chunk-length-plus-2-24", "damaged", "3.2", "CLIP claims 2^24 bytes more than it has", longer
    lerp = File(Head(width=32), [Clip(frames=2, fill=2, payload=b"\0")])
    yield "clip-fill-payload-lerp", "damaged", "6.5", "policy lerp with a payload", join(lerp.chunks()[0])
    yield from _expansion()
    yield from _invalid_choices()


def _expansion() -> Iterator[Row]:
    """Declared sizes of exactly 32 768 times the bytes, and of a little more."""
    small = b"\x28\xb5\x2f\xfd\xa0" + packed("I", 425986)[:4] + b"\x03\0\0" + b"\0"
    zero = np.zeros((1, 1, 1, 1, 1), np.int16)
    for name, error, note, head, coded, coding in (
        ("latents-expansion-exact", "damaged", "360 448 bytes from 11, and no zstd frame",
         Head(width=27, height=13, patch=1, channels=1024), bytes(11), 0),
        ("latents-expansion-least", "limit", "425 986 bytes from 13",
         Head(width=208, height=1024, patch=1, channels=2), small, 0),
        ("range-expansion-exact", "damaged", "65 536 integers from four bytes, and an invalid level",
         Head(width=256, height=256, patch=1), packed("I", 0xFF000000), 1),
        ("range-expansion-least", "limit", "65 538 integers from four bytes",
         Head(width=99, height=331, patch=1, channels=2), packed("I", 0xFF000000), 1),
    ):  # fmt: skip
        clip = Clip(values=zero, latents=[Part(coded, "latents")], coding=coding)
        section = "7.4.1" if coding else "7.3"
        yield name, error, section, note, join(File(head, [clip]).chunks()[0])
    for name, error, note, width, height in (
        ("exact", "damaged", "65 536 blocks from four bytes, and an invalid rank", 2048, 2048),
        ("least", "limit", "65 538 blocks from four bytes", 8 * 331, 8 * 198),
    ):
        clip = Clip(frames=2, fill=3, payload=packed("I", 0xFF000000))
        file = File(Head(width=width, height=height, patch=64), [clip])
        yield f"motion-expansion-{name}", error, "7.8.1", note, join(file.chunks()[0])
    clip = Clip(frames=4, fill=3, payload=packed("I", 0xFF000000))
    many = File(Head(width=8 * 160, height=8 * 140, patch=64), [clip])
    yield (
        "motion-expansion-3-frames",
        "limit",
        "7.8.1",
        "67 200 blocks of three frames from four bytes",
        join(many.chunks()[0]),
    )


def _invalid_choices() -> Iterator[Row]:
    """An invalid choice of a vector in a stream that a reader without the rule decodes to its end."""
    vectors = np.zeros((2, 6, 2), np.int16)
    vectors[1, 2:] = 5
    values = moving_integers((2, 1, 2, 3, 96), vectors, 3)
    clip = Clip(frames=2, kept=(0, 1), values=values, vectors=vectors, coding=2)
    clip.vector_overrides = {(1, 3, "which"): 6}
    with patch.object(read_inter, "check_symbol", lambda r, count: r):
        data = join(File(INTER_HEAD, [clip]).chunks()[0])
    yield "inter-choice-6", "damaged", "7.5.2", "a choice of 6, and a stream that goes on", data
    clip = Clip(
        **{**FOUR.__dict__, "motion": decisions(EVERY, 4, 6), "motion_overrides": {((3, 3, 5), ("which", 0)): 6}}
    )
    with patch.object(read_motion, "check_symbol", lambda r, count: r):
        data = join(File(MOTION_HEAD, [clip]).chunks()[0])
    yield "motion-choice-6", "damaged", "7.8.1", "a choice of 6, and a stream that goes on", data
