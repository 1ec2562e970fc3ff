"""The conformance vectors of values at a limit: the largest that are valid, the smallest that are not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from vector_clips import Clip, zstd
from vector_edits import Row, edited, packed, with_field
from vector_files import File, Stream
from vector_parts import Head, Part, join
from write_range import encode_range, random_latents

Good = tuple[str, str, File]

# `encode_motion` of `batches()`, kept as bytes because that takes 20 s.
BATCHES = bytes.fromhex(
    "580944925428f838835cfdff00047c99d480b7cbb060a2ce28930a68781aba6d190f97a64836d19fb4b97c0d90c469e225590ed7ef087624"
    "ee319bfaaffed8dcfb36ac3962b9d8bad7c1175a7af1ea017a8b50dd47b32048f04fada7f61f797c5887b6051dbf265f9c90f89be1b02644"
    "b210e26a408cf21c96f0737d88789ecd525b423f56aa8638cd57564ffefed6448c2f1d9ffdfe814e126714bbc1cff327b7fae934e23107a7"
    "6cbeea4efe91052f4936d19fb4b97c0d90c469e225590ed7ef087624ee319bfaaffed8dcfb36ac3962b9d8bad7c1175a7af1ea017a8b50dd"
    "47b32048f04fada7f61f797c5887b6051dbf265f9c90f89be1b02644b210e26a408cf21c96f0737d88789ecd525b423f56aa8638cd57564f"
    "fefed6448c2f1d9ffdfe814e126714bbc1cff327b7fae934e23107a76cbeea4efe91052f4936d19fb4b97c0d90c469e225590ed7ef087624"
    "ee319bfaaffed8dcfb36ac3962b9d8bad7c1175a7af1ea017a8b50dd47b32048f04fada7f61f797c5887b6051dbf265f9c90f89be1b02644"
    "5675d189f65be43585445659ddef994b439e57ba1613ef47748b550cf96505cc0adc785b8c04de53c3099db4f865847030cb183ee065a79f"
    "d2072ddbd8405a6a1aac5f60fc51d483e73f64e0fdcc96f11760d95b92b8e88b857cbfabbec8d763503de20dc87caee6be672c8637cd2403"
    "83a12148700e72f545000000"
)


def uncommon_limits() -> Iterator[Good]:
    """Values at a limit that a careless reader refuses or misreads."""
    head = Head(width=16384, height=8192, patch=64, clip_frames=16)
    yield "limit-pixels", "2^27 pixels, 2^31 pixels a clip, no clip", File(head)
    for tile, frames in ((11584, 16), (8192, 32)):
        note = f"a tile of {tile} × {tile}, {frames} frames a clip, no clip"
        yield f"limit-tile-{tile}", note, File(Head(patch=64, tile=tile, clip_frames=frames))
    head = Head(width=8192, height=8192, patch=1, channels=4, clip_frames=1)
    yield "limit-frame-values", "2^28 integers a frame, no clip", File(head)
    yield "limit-pairs", "1024 tags", File(tags=(("", ""),) * 1024)
    streams = [Stream(id=i, codec="x", layout="", language="") for i in range(64)]
    yield "limit-streams", "64 streams", File(body=[*streams])
    yield "limit-step", "a step of 2^-126, the smallest", File(body=[Clip(qp=0)], steps=(2.0**-126,))
    yield "range-escape-15", "escapes of length 15, which no writer codes", _longest_escapes()
    yield "range-activity-cap", "sums of weights over 8191, where 8190 and 8192 give other buckets", _activity()
    yield "range-mean-cap", "means of 2^18 - 1, where 2^18 - 2 and 2^18 give other buckets", _means()
    yield "motion-batches", "528 384 blocks of one level: a batch of 31 frames and one of 1", batches()


def _longest_escapes() -> File:
    values, words = random_latents((3, 1, 4, 4, 12), 15, 0, longest=15)
    clip = Clip(frames=3, kept=(0, 1, 2), values=values, coding=1, latents=[Part(words, "words")])
    return File(Head(width=64, height=64, channels=12), [clip])


def _activity() -> File:
    """In cell 1, a(0) is 256 and the neighbour is v, so the scale is 8191 + 7 v + 84: 2^15, and 2^16 - 1."""
    clips = []
    for v in (3499, 8180):
        values = np.array([v, 9], np.int16).reshape(1, 1, 1, 2, 1)
        clips.append(Clip(values=values, coding=1, latents=[Part(encode_range(values, [14]), "words")]))
    return File(Head(width=32), [*clips])


def _means() -> File:
    """In cell 0 of the second frame, a(0) + a(1) is 2^18 + 1 and divides sums of group 0; channel 2 has a(2) = 128 v.

    The pairs were found by search: with a(0) one less, one more, the scale of channel 2 falls into another bucket.
    """
    clips = []
    for v, magnitude in ((2, 11776), (5, 21623)):
        values = np.zeros((2, 1, 1, 2, 6), np.int16)
        values[0, 0, 0, :, 0] = -5000
        values[0, 0, 0, 1, 2] = v
        values[1, 0, 0, 0, :3] = magnitude, 0, 3
        clips.append(Clip(frames=2, kept=(0, 1), values=values, coding=1))
    return File(Head(width=32, channels=6), [*clips])


def batches() -> File:
    """32 frames of 129 × 128 blocks that all follow a kept frame: more than 2^19 blocks."""
    decisions = np.zeros((32, 129, 128, 5), np.int16)
    for n in (0, 7, 30, 31):
        decisions[n, 40:43, 8 * n // 3 + 10 : 8 * n // 3 + 14] = 1, n - 3, 4, 0, 0
    values = np.zeros((32, 1, 17, 16, 1), np.int16)
    clip = Clip(
        frames=64, kept=tuple(range(0, 64, 2)), values=values, fill=3, motion=decisions, payload=BATCHES,
        latents=zstd([Part(bytes(32 * (1 + 17 * 16)), "content")], rle=True),
    )  # fmt: skip
    return File(Head(width=1024, height=1032, patch=64, clip_frames=64), [clip])


def faulty_limits() -> Iterator[Row]:
    """Values just over a limit, and readers that refuse a value at the limit with the wrong class."""
    tile = File(Head(patch=64, tile=11648, clip_frames=1))
    yield "head-tile-11648", "limit", "5.1", "a tile of 135 675 904 pixels, the next after 2^27", join(tile.chunks()[0])
    least = with_field(b"STEP", "step 1", packed("I", 0x007FFFFF))
    yield "steps-largest-subnormal", "damaged", "5.4", "step 1 is 2^-126 (1 - 2^-23)", least
    head = Head(width=8192, height=8192, patch=1, channels=4, clip_frames=1)
    clip = Clip(values=np.zeros((1, 1, 1, 1, 1), np.int16), latents=[])
    other = with_field(b"CLIP", "coding", b"\4", of=File(head, [clip]))
    yield "clip-values-2-28", "unsupported", "6.1", "2^28 integers, the maximum, in coding 4", other
    longer = edited(lambda c: c[0].payload.__setitem__(-1, Part(b"\1\0\0", "reserved")))
    yield "head-49-bytes-reserved", "unsupported", "2.1", "reserved is 1, and a byte too many: fields first", longer
    mark = File(config="\ufeff{}")
    yield "model-config-byte-order-mark", "damaged", "5.3", "U+FEFF before the object", join(mark.chunks()[0])
    none = Clip(frames=3, kept=(), coding=2)
    for name, head in (("channels", Head(width=48, height=32, channels=95)), ("patch", Head(patch=8, channels=96))):
        yield f"inter-nothing-kept-{name}", "damaged", "7.7", f"{name} of another model, no kept frame", join(
            File(head, [none]).chunks()[0]
        )  # fmt: skip
