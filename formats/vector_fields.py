"""The faulty conformance vectors of fields: MODL, STEP, tags, streams, packets, clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from vector_clips import Clip, zstd
from vector_edits import Row, base_file, edited, packed, where, with_field
from vector_files import File, Packets, Stream
from vector_parts import Chunk, Head, Part, join
from vector_zstd import GOOD_RAW, latents


def preamble() -> Iterator[Row]:
    empty = File(name="")
    yield "model-no-name", "damaged", "5.3", "the name is empty", join(empty.chunks()[0])
    yield "model-name-not-utf8", "damaged", "5.3", "name ff fe 00 80", with_field(b"MODL", "name", b"\xff\xfe\0\x80")
    configs = {"list": "[]", "not-json": "{,}", "nan": '{"a":NaN}', "infinity": '{"a":[-Infinity]}'}
    configs["open-string"] = '{"a":"' + '\\"' * 2700  # patterns that try every quote take seconds
    configs |= {"unclosed": "[" * 4000, "101-deep": '{"a":' + "[" * 100 + "]" * 100 + "}"}
    for name, config in configs.items():
        note = f"configuration {config[:20]}"
        yield f"model-config-{name}", "damaged", "5.3", note, join(File(config=config).chunks()[0])
    yield "model-short-fingerprint", "damaged", "5.3", "31 bytes", with_field(b"MODL", "fingerprint", bytes(31))
    for name, value in (
        ("nan", float("nan")),
        ("inf", float("inf")),
        ("0", 0.0),
        ("negative", -1.0),
        ("subnormal", 1e-40),
    ):
        yield f"steps-{name}", "damaged", "5.4", f"step 1 is {name}", with_field(b"STEP", "step 1", packed("f", value))
    yield "steps-3-of-2", "damaged", "5.4", "three steps for two channels", join(
        replace(base_file(), steps=(1.0, 1.0, 1.0)).chunks()[0]
    )  # fmt: skip
    three = replace(base_file(), head=Head(width=32, channels=3), steps=(1.0, 1.0))
    yield "steps-2-of-3", "damaged", "5.4", "two steps for three channels", join(three.chunks()[0])
    yield "steps-none", "damaged", "5.4", "no step at all", with_field(b"STEP", "count", packed("H", 0))
    yield "tags-not-utf8", "damaged", "5.5", "value ff", with_field(b"tags", "value 0", b"\xff")
    surrogate = File(tags=(("title", b"\xed\xa0\x80"),))
    yield "tags-surrogate", "damaged", "5.5", "value ed a0 80, half of a pair", join(surrogate.chunks()[0])
    yield "tags-count", "damaged", "5.5", "two pairs claimed, one there", with_field(b"tags", "count", packed("H", 2))
    yield "tags-extra", "damaged", "5.5", "none claimed, one there", with_field(b"tags", "count", packed("H", 0))
    yield "tags-1025", "limit", "5.5", "1025 pairs", join(File(tags=(("", ""),) * 1025).chunks()[0])


def streams() -> Iterator[Row]:
    yield "stream-kind-3", "damaged", "5.6", "kind 3", with_field(b"strm", "kind", b"\3")
    yield "stream-reserved", "damaged", "5.6", "reserved is 1", with_field(b"strm", "reserved", b"\1")
    yield "stream-time-base-0", "damaged", "5.6", "0/48000", with_field(b"strm", "time base numerator", bytes(4))
    yield "stream-time-base-over-0", "damaged", "5.6", "1/0", with_field(b"strm", "time base denominator", bytes(4))
    yield "stream-no-codec", "damaged", "5.6", "codec is empty", join(File(body=[Stream(codec="")]).chunks()[0])
    yield "stream-extradata-2-gib", "damaged", "5.6", "2 GiB claimed", with_field(b"strm", "size", packed("I", 1 << 31))
    yield (
        "stream-twice",
        "damaged",
        "5.6",
        "stream 1 is declared twice",
        join(File(body=[Stream(), Stream()]).chunks()[0]),
    )
    many = File(body=[Stream(id=i, layout="", language="") for i in range(65)])
    yield "stream-65", "limit", "5.6", "65 streams", join(many.chunks()[0])
    lonely = File(body=[Packets(7, ((0, 0, 0, 1, b"a"),))])
    yield "packets-undeclared", "damaged", "5.7", "of stream 7, without a strm", join(lonely.chunks()[0])
    yield "packets-reserved", "damaged", "5.7", "reserved is 1", with_field(b"pkts", "reserved", b"\1\0")
    yield "packets-key-2", "damaged", "5.7", "key is 2", with_field(b"pkts", "key 0", b"\2")
    yield "packets-count", "damaged", "5.7", "2^32 - 1 claimed", with_field(b"pkts", "count", b"\xff" * 4)
    yield "packets-size", "damaged", "5.7", "one of 3 bytes, 2 there", with_field(b"pkts", "size 0", packed("I", 3))


def clips() -> Iterator[Row]:
    rows: list[tuple[str, str, str, str, bytes]] = [
        ("qp-64", "damaged", "6.1", "qp", b"\x40"), ("fill-255", "unsupported", "6.5", "fill", b"\xff"),
        ("coding-4", "unsupported", "6.1", "coding", b"\4"), ("timing-2", "damaged", "6.1", "timing", b"\2"),
        ("planes-0", "damaged", "6.1", "planes", b"\0"), ("planes-3", "damaged", "6.1", "planes", b"\3"),
        ("reserved", "damaged", "6.1", "reserved", b"\1\0"), ("bits-beyond", "damaged", "6.1", "kept", b"\x0d"),
        ("fill-2-gib", "damaged", "6.1", "fill_bytes", packed("I", 1 << 31)),
        ("latents-2-gib", "damaged", "6.1", "latent_bytes", packed("I", 1 << 31)),
        ("latents-short", "damaged", "6.1", "latent_bytes", packed("I", 3)),
        ("kept-more", "damaged", "7.3", "kept", b"\7"),
    ]  # fmt: skip
    for name, error, section, field, data in rows:
        yield f"clip-{name}", error, section, f"{field} is 0x{data.hex()}", with_field(b"CLIP", field, data)
    for name, most, file in (
        ("frames-0", "0 frames", File(body=[Clip(frames=0, kept=())])),
        ("frames-over", "33 frames", File(body=[Clip(frames=33)])),
        ("frames-2-of-1", "2 frames where clips have 1", File(Head(clip_frames=1), [Clip(frames=2)])),
        ("pts-overflow", "the end is 2^63", File(body=[Clip(frames=2, durations=(3,), first_pts=2**63 - 6)])),
    ):
        section = "6.4" if name == "pts-overflow" else "6.1"
        yield f"clip-{name}", "damaged", section, most, join(file.chunks()[0])
    yield "clip-first-frame", "damaged", "6.1", "frames begin with 7", with_field(
        b"CLIP", "first_frame", packed("I", 7), of=File(body=[Clip()])
    )  # fmt: skip
    yield "clip-empty", "damaged", "6.1", "no byte of payload", edited(
        lambda c: setattr(c[where(c, b"CLIP")], "payload", [])
    )  # fmt: skip
    yield "clip-extra-byte", "damaged", "6.1", "a byte after the latents", edited(
        lambda c: c[where(c, b"CLIP")].payload.append(Part(b"\0", "extra"))
    )  # fmt: skip
    back = File(body=[Clip(frames=3, kept=()), Clip(first_pts=1)])
    yield "clip-time-goes-back", "damaged", "6.4", "the second clip begins before frame 2 of the first", join(
        back.chunks()[0]
    )  # fmt: skip
    yield "clip-fill-payload", "damaged", "6.5", "policy token with a payload", edited(_fill_payload)
    none = latents([Part(b"\0", "stray")], kept=(), values=np.zeros((0, 1, 1, 2, 1), np.int16))
    yield "clip-latents-of-nothing", "damaged", "7", "a byte of latents and no kept frame", none
    wide = File(Head(width=8192, height=8192, patch=1, channels=3), [_huge(2)])
    yield "clip-values", "limit", "6.1", "two frames of 201 326 592 integers", join(wide.chunks()[0])
    wide = File(Head(width=8192, height=8192, patch=1, channels=3), [_huge(1)])
    yield "latents-expansion", "limit", "7.3", "201 326 595 bytes from 11", join(wide.chunks()[0])


def _huge(kept: int) -> Clip:
    """A clip whose grid is far larger than its latents; `values` are only for the hash."""
    small = zstd(GOOD_RAW)
    return Clip(frames=2, kept=tuple(range(kept)), values=np.zeros((kept, 1, 1, 1, 1), np.int16), latents=small)


def _fill_payload(found: list[Chunk]) -> None:
    clip = found[where(found, b"CLIP")]
    clip.payload = [replace(p, data=packed("I", 1)) if p.name == "fill_bytes" else p for p in clip.payload]
    place = next(i for i, p in enumerate(clip.payload) if p.name == "zstd magic")
    clip.payload.insert(place, Part(b"\0", "fill payload"))
