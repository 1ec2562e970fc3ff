"""The faulty conformance vectors: one broken rule of SPEC.md each, the class of error, and why."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from vector_clips import Clip, zstd
from vector_files import File, Packets, Stream
from vector_inter import faulty_inter
from vector_motion import faulty_motion
from vector_parts import SIGNATURE, Chunk, Head, Part, join
from vector_range import faulty_range
from vector_zstd import GOOD_RAW, faulty_zstd, latents


@dataclass(frozen=True)
class Fault:
    """A file that every reader refuses: `section` of SPEC.md, class of error, note."""

    name: str
    error: str
    section: str
    note: str
    data: bytes


def base_file() -> File:
    """A good file with two clips and everything that can be broken."""
    return File(
        Head(width=32, channels=2),
        [
            Stream(),
            Packets(1, ((0, 0, 960, 1, b"\x01\x02"),)),
            Clip(frames=3, kept=(0, 2), durations=(1, 2, 3)),
            Clip(frames=2, kept=(1,)),
        ],
        (0.125, 0.25),
        (("encoder", "dfc"),),
        (("title", "x"),),
    )


def chunks() -> list[Chunk]:
    return base_file().chunks()[0]


def where(all_chunks: list[Chunk], kind: bytes, nth: int = 0) -> int:
    return [i for i, c in enumerate(all_chunks) if c.kind == kind][nth]


def with_field(kind: bytes, field: str, data: bytes, nth: int = 0, of: File | None = None) -> bytes:
    """The file with one field replaced; checksums are right."""
    found = (of or base_file()).chunks()[0]
    chunk = found[where(found, kind, nth)]
    assert any(p.name == field for p in chunk.payload), field
    chunk.payload = [replace(p, data=data) if p.name == field else p for p in chunk.payload]
    if kind not in (b"indx", b"foot"):
        rebuild_index(found)
    return join(found)


def edited(edit: Callable[[list[Chunk]], object]) -> bytes:
    """The file after something was done to the list of its chunks."""
    found = chunks()
    edit(found)
    rebuild_index(found)
    return join(found)


def rebuild_index(found: list[Chunk]) -> None:
    """Make index and footer right again, so that a vector breaks the rule it is meant to break and no other."""
    place, last = len(SIGNATURE), 0
    right: dict[str, bytes] = {}
    number = -1
    for chunk in found:
        if chunk.kind == b"CLIP":
            number += 1
            own = {p.name: p.data for p in chunk.payload}
            right |= {f"{name} {number}": own[name] for name in ("first_frame", "first_pts", "frames") if name in own}
            right |= {f"offset {number}": _u("Q", place), f"size {number}": _u("I", chunk.size)}
            bits = int.from_bytes(own.get("kept", b""), "little") & (1 << own.get("frames", b"\0")[0]) - 1
            right[f"kept {number}"] = bytes([bits.bit_count()])
        last = place if chunk.kind == b"indx" else last
        place += chunk.size
    for name, layout in (("frames", "Q"), ("kept", "Q")):
        right[name] = _u(layout, sum(right.get(f"{name} {i}", b"\0")[0] for i in range(number + 1)))
    for chunk in found:
        if chunk.kind == b"foot" and last:
            right["index"] = _u("Q", last)
        if chunk.kind in (b"indx", b"foot"):
            chunk.payload = [replace(p, data=right.get(p.name, p.data)) for p in chunk.payload]


def without_chunk(kind: bytes) -> bytes:
    """The file without its first chunk of that type."""
    return edited(lambda found: found.pop(where(found, kind)))


def with_chunk_twice(kind: bytes) -> bytes:
    """The file with that chunk twice in a row."""
    return edited(lambda found: found.insert(where(found, kind), found[where(found, kind)]))


def with_empty_chunk(place: int, kind: bytes, crc_xor: int = 0) -> bytes:
    """The file with an empty chunk of that type; 99 is after the last."""
    return edited(lambda found: found.insert(place, Chunk(kind, [], crc_xor=crc_xor)))


def _u(layout: str, value: float) -> bytes:
    return struct.pack("<" + layout, value)


Row = tuple[str, str, str, str, bytes]


def signatures() -> Iterator[Row]:
    data = join(chunks())
    yield "not-empty", "not-dfc", "3.1", "no byte at all", b""
    yield "not-short-signature", "not-dfc", "3.1", "seven of eight bytes", data[:7]
    yield "not-png", "not-dfc", "3.1", "the signature of PNG", b"\x89PNG\r\n\x1a\n" + data[8:]
    yield "not-text-mode", "not-dfc", "3.1", "CR LF became LF", data.replace(b"\r\n", b"\n")
    yield "not-seven-bit", "not-dfc", "3.1", "the top bit of every byte is lost", bytes(b & 127 for b in data)


def layer() -> Iterator[Row]:
    """Faults of the chunk layer."""
    data, found = join(chunks()), chunks()
    clip = data.index(b"CLIP")
    yield "chunk-length-2-31", "damaged", "3.2", "CLIP claims 2^31 bytes", (
        data[: clip + 4] + _u("I", 1 << 31) + data[clip + 8 :]
    )  # fmt: skip
    yield "chunk-length-beyond-end", "damaged", "3.2", "HEAD claims 2^28 bytes, 100 follow", (
        SIGNATURE + b"HEAD" + _u("I", 1 << 28) + data[16:116]
    )  # fmt: skip
    yield "chunk-type-not-letters", "damaged", "3.2", "type xt4a", with_empty_chunk(3, b"xt4a")
    for kind in (b"HEAD", b"MODL", b"STEP", b"tags", b"CLIP", b"indx", b"foot"):
        bad = chunks()
        bad[where(bad, kind)].crc_xor = 1
        name = kind.decode()
        yield f"crc-{name}", "damaged", "3.2", f"one bit of the checksum of {name}", join(bad)
    yield "truncated-signature-only", "damaged", "3.3", "nothing after the signature", SIGNATURE
    yield "truncated-in-head", "damaged", "3.2", "ends inside HEAD", data[:40]
    yield "truncated-in-chunk-header", "damaged", "3.2", "ends inside the length of CLIP", data[: clip + 6]
    yield "truncated-in-clip", "damaged", "3.2", "ends inside CLIP", data[: clip + 50]
    end = len(data) - found[-1].size
    yield "truncated-no-index", "damaged", "3.3", "ends after the last clip", data[: end - found[-2].size]
    yield "truncated-no-footer", "damaged", "3.3", "ends after the index", data[:end]
    yield "truncated-last-byte", "damaged", "3.2", "the last byte is missing", data[:-1]


def order() -> Iterator[Row]:
    """Chunks missing, doubled or out of place."""
    for kind in (b"HEAD", b"MODL", b"STEP"):
        name = kind.decode()
        yield f"order-no-{name}", "damaged", "3.3", f"{name} is missing", without_chunk(kind)
    for kind in (b"HEAD", b"MODL", b"STEP", b"tool", b"tags", b"indx", b"foot"):
        name = kind.decode()
        yield f"order-double-{name}", "damaged", "3.3", f"{name} stands twice", with_chunk_twice(kind)  # fmt: skip
    yield "order-MODL-before-HEAD", "damaged", "3.3", "HEAD is not first", edited(lambda c: c.insert(0, c.pop(1)))
    yield "order-STEP-after-CLIP", "damaged", "3.3", "STEP after the first clip", edited(
        lambda c: c.insert(where(c, b"CLIP") + 1, c.pop(where(c, b"STEP")))
    )  # fmt: skip
    yield "order-tags-after-CLIP", "damaged", "3.3", "tags after the first clip", edited(
        lambda c: c.insert(where(c, b"CLIP"), c.pop(where(c, b"tags")))
    )  # fmt: skip
    yield "order-clip-after-index", "damaged", "3.3", "a clip between index and footer", edited(
        lambda c: c.insert(-1, c.pop(-3))
    )  # fmt: skip
    yield "order-ancillary-after-index", "damaged", "3.3", "the footer does not follow the index", edited(
        lambda c: c.insert(-1, Chunk(b"xtra", []))
    )  # fmt: skip
    yield "order-no-indx", "damaged", "3.3", "a footer without index", edited(lambda c: c.pop(-2))
    yield "order-after-footer", "damaged", "8.3", "four bytes after the footer", join(chunks()) + b"more"
    yield "order-chunk-after-footer", "damaged", "8.3", "an ancillary chunk after the footer", edited(
        lambda c: c.append(Chunk(b"xtra", []))
    )  # fmt: skip
    for kind in (b"CRIT", b"Head"):
        name = kind.decode()
        note = f"critical chunk {name} before the clips"
        yield f"unknown-critical-{name}", "unsupported", "3.2", note, with_empty_chunk(3, kind)
    for place, error, note in ((0, "unsupported", "first"), (-1, "unsupported", "last"), (99, "damaged", "after-foot")):
        yield f"unknown-critical-{note}", error, "2.1", f"critical chunk CRIT, {note}", with_empty_chunk(place, b"CRIT")
    for kind in (b"CRIT", b"xtra"):
        note = f"one bit of the checksum of the unknown chunk {kind.decode()}"
        yield f"crc-{kind.decode()}", "damaged", "3.2", note, with_empty_chunk(3, kind, crc_xor=1)
    yield "unknown-critical-late", "unsupported", "3.2", "critical chunk CRIT after the first clip", edited(
        lambda c: c.insert(where(c, b"CLIP") + 1, Chunk(b"CRIT", []))
    )  # fmt: skip


def header() -> Iterator[Row]:
    rows: list[tuple[str, str, str, str, str, int]] = [
        ("needs-0", "damaged", "4.1", "needs", "B", 0), ("flags", "unsupported", "5.1", "flags", "H", 1),
        ("reserved", "unsupported", "5.1", "reserved", "H", 256), ("width-0", "damaged", "5.1", "width", "H", 0),
        ("height-0", "damaged", "5.1", "height", "H", 0), ("patch-3", "damaged", "5.1", "patch", "B", 3),
        ("patch-0", "damaged", "5.1", "patch", "B", 0),
        ("clip-frames-0", "damaged", "5.1", "clip_frames", "B", 0),
        ("clip-frames-65", "damaged", "5.1", "clip_frames", "B", 65),
        ("channels-0", "damaged", "5.1", "channels", "H", 0),
        ("tile-24", "damaged", "5.1", "tile", "H", 24), ("overlap-without-tile", "damaged", "5.1", "overlap", "H", 16),
        ("rate-over-0", "damaged", "5.1", "rate denominator", "I", 0),
        ("time-base-0", "damaged", "5.1", "time base numerator", "I", 0),
        ("time-base-over-0", "damaged", "5.1", "time base denominator", "I", 0),
        ("aspect-0", "damaged", "5.1", "pixel aspect numerator", "I", 0),
        ("aspect-over-0", "damaged", "5.1", "pixel aspect denominator", "I", 0),
        ("rotation-4", "damaged", "5.1", "rotation", "B", 4), ("range-3", "damaged", "5.1", "colour range", "B", 3),
    ]  # fmt: skip
    for name, error, section, field, layout, value in rows:
        yield f"head-{name}", error, section, f"{field} is {value}", with_field(b"HEAD", field, _u(layout, value))
    for name, error, section, note, head in (
        ("needs-2", "unsupported", "4.1", "version 2 that needs 2", Head(version=2, needs=2)),
        ("needs-over-version", "damaged", "4.1", "version 0 that needs 1", Head(version=0)),
        ("patch-128", "damaged", "5.1", "patch is 128", Head(patch=128)),
        ("channels-1025", "damaged", "5.1", "channels is 1025", Head(channels=1025)),
        ("pixels", "limit", "5.1", "134 225 920 pixels", Head(width=16385, height=8192, clip_frames=1)),
        ("overlap-8", "damaged", "5.1", "overlap of half a patch", Head(width=64, tile=32, overlap=8)),
        ("overlap-32-of-48", "damaged", "5.1", "overlap over half a tile", Head(width=96, tile=48, overlap=32)),
    ):
        yield f"head-{name}", error, section, note, join(File(head).chunks()[0])
    long = Head(width=16384, height=8192, clip_frames=17)
    yield "head-clip-pixels", "limit", "5.1", "2 281 701 376 pixels a clip", join(File(long).chunks()[0])
    wide = Head(width=8192, height=8192, patch=1, channels=5)
    yield "head-frame-values", "limit", "5.1", "335 544 320 integers a frame", join(File(wide).chunks()[0])
    for name, side, frames in (("tile-65472", 65472, 1), ("tile-clip-pixels", 8192, 33)):
        padded = Head(patch=64, tile=side, clip_frames=frames)
        note = f"16 × 16 pixels in a tile of {side}, {frames} frames a clip"
        yield f"head-{name}", "limit", "5.1", note, join(File(padded).chunks()[0])
    tiled = Head(width=64, tile=32, overlap=16)
    more = with_field(b"HEAD", "overlap", _u("H", 32), of=File(tiled))
    yield "head-overlap-over-half", "damaged", "5.1", "overlap of a whole tile: a stride of 0", more
    yield "head-47-bytes", "damaged", "5.1", "half of the last field is missing", with_field(b"HEAD", "reserved", b"\0")
    yield "head-49-bytes", "damaged", "5.1", "one byte too many", with_field(b"HEAD", "reserved", b"\0\0\0")
    short = edited(lambda c: setattr(c[0], "payload", c[0].payload[:1]))
    yield "head-1-byte", "damaged", "4.1", "no version can be read", short
    newer = edited(lambda c: setattr(c[0], "payload", [Part(b"\2\2", "versions"), Part(bytes(62), "new")]))
    yield "head-needs-2-longer", "unsupported", "4.1", "version 2 with a longer HEAD: version first", newer


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
        yield f"steps-{name}", "damaged", "5.4", f"step 1 is {name}", with_field(b"STEP", "step 1", _u("f", value))
    yield "steps-3-of-2", "damaged", "5.4", "three steps for two channels", join(
        replace(base_file(), steps=(1.0, 1.0, 1.0)).chunks()[0]
    )  # fmt: skip
    three = replace(base_file(), head=Head(width=32, channels=3), steps=(1.0, 1.0))
    yield "steps-2-of-3", "damaged", "5.4", "two steps for three channels", join(three.chunks()[0])
    yield "steps-none", "damaged", "5.4", "no step at all", with_field(b"STEP", "count", _u("H", 0))
    yield "tags-not-utf8", "damaged", "5.5", "value ff", with_field(b"tags", "value 0", b"\xff")
    surrogate = File(tags=(("title", b"\xed\xa0\x80"),))
    yield "tags-surrogate", "damaged", "5.5", "value ed a0 80, half of a pair", join(surrogate.chunks()[0])
    yield "tags-count", "damaged", "5.5", "two pairs claimed, one there", with_field(b"tags", "count", _u("H", 2))
    yield "tags-extra", "damaged", "5.5", "none claimed, one there", with_field(b"tags", "count", _u("H", 0))
    yield "tags-1025", "limit", "5.5", "1025 pairs", join(File(tags=(("", ""),) * 1025).chunks()[0])


def streams() -> Iterator[Row]:
    yield "stream-kind-3", "damaged", "5.6", "kind 3", with_field(b"strm", "kind", b"\3")
    yield "stream-reserved", "damaged", "5.6", "reserved is 1", with_field(b"strm", "reserved", b"\1")
    yield "stream-time-base-0", "damaged", "5.6", "0/48000", with_field(b"strm", "time base numerator", bytes(4))
    yield "stream-time-base-over-0", "damaged", "5.6", "1/0", with_field(b"strm", "time base denominator", bytes(4))
    yield "stream-no-codec", "damaged", "5.6", "codec is empty", join(File(body=[Stream(codec="")]).chunks()[0])
    yield "stream-extradata-2-gib", "damaged", "5.6", "2 GiB claimed", with_field(b"strm", "size", _u("I", 1 << 31))
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
    yield "packets-undeclared", "damaged", "5.7", "of stream 7, which nothing declares", join(lonely.chunks()[0])
    yield "packets-reserved", "damaged", "5.7", "reserved is 1", with_field(b"pkts", "reserved", b"\1\0")
    yield "packets-key-2", "damaged", "5.7", "key is 2", with_field(b"pkts", "key 0", b"\2")
    yield "packets-count", "damaged", "5.7", "2^32 - 1 claimed", with_field(b"pkts", "count", b"\xff" * 4)
    yield "packets-size", "damaged", "5.7", "one of 3 bytes, 2 there", with_field(b"pkts", "size 0", _u("I", 3))


def clips() -> Iterator[Row]:
    rows: list[tuple[str, str, str, str, bytes]] = [
        ("qp-64", "damaged", "6.1", "qp", b"\x40"), ("fill-4", "unsupported", "6.5", "fill", b"\4"),
        ("coding-3", "unsupported", "6.1", "coding", b"\3"), ("timing-2", "damaged", "6.1", "timing", b"\2"),
        ("planes-0", "damaged", "6.1", "planes", b"\0"), ("planes-3", "damaged", "6.1", "planes", b"\3"),
        ("reserved", "damaged", "6.1", "reserved", b"\1\0"), ("bits-beyond", "damaged", "6.1", "kept", b"\x0d"),
        ("fill-2-gib", "damaged", "6.1", "fill_bytes", _u("I", 1 << 31)),
        ("latents-2-gib", "damaged", "6.1", "latent_bytes", _u("I", 1 << 31)),
        ("latents-short", "damaged", "6.1", "latent_bytes", _u("I", 3)),
        ("kept-more", "damaged", "7.3", "kept", b"\7"),
    ]  # fmt: skip
    for name, error, section, field, data in rows:
        yield f"clip-{name}", error, section, f"{field} is {data.hex()}", with_field(b"CLIP", field, data)
    for name, most, file in (
        ("frames-0", "0 frames", File(body=[Clip(frames=0, kept=())])),
        ("frames-over", "33 frames", File(body=[Clip(frames=33)])),
        ("frames-2-of-1", "2 frames where clips have 1", File(Head(clip_frames=1), [Clip(frames=2)])),
        ("pts-overflow", "the end is 2^63", File(body=[Clip(frames=2, durations=(3,), first_pts=2**63 - 6)])),
    ):
        section = "6.4" if name == "pts-overflow" else "6.1"
        yield f"clip-{name}", "damaged", section, most, join(file.chunks()[0])
    yield "clip-first-frame", "damaged", "6.1", "frames begin with 7", with_field(
        b"CLIP", "first_frame", _u("I", 7), of=File(body=[Clip()])
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
    """A clip whose grid is far larger than its latents; `values` only stand in for the hash."""
    small = zstd(GOOD_RAW)
    return Clip(frames=2, kept=tuple(range(kept)), values=np.zeros((kept, 1, 1, 1, 1), np.int16), latents=small)


def _fill_payload(found: list[Chunk]) -> None:
    clip = found[where(found, b"CLIP")]
    clip.payload = [replace(p, data=_u("I", 1)) if p.name == "fill_bytes" else p for p in clip.payload]
    place = next(i for i, p in enumerate(clip.payload) if p.name == "zstd magic")
    clip.payload.insert(place, Part(b"\0", "fill payload"))


def index() -> Iterator[Row]:
    rows = [
        ("clips", _u("I", 1)), ("clips", b"\xff" * 4), ("frames", _u("Q", 6)), ("kept", _u("Q", 2)),
        ("latent hash", bytes(32)), ("offset 0", _u("Q", 8)), ("size 1", _u("I", 60)), ("first_frame 1", _u("I", 2)),
        ("first_pts 1", _u("q", 5)), ("frames 0", b"\2"), ("kept 0", b"\1"), ("reserved 0", b"\1\0"),
    ]  # fmt: skip
    for field, data in rows:
        name = "index-" + field.replace(" ", "-").replace("_", "-") + ("-huge" if data == b"\xff" * 4 else "")
        yield name, "damaged", "8.1", f"{field} is {data[:8].hex()}", with_field(b"indx", field, data)
    flipped = with_field(b"CLIP", "low bytes", b"\2" * 8)
    yield "latents-other-integers", "damaged", "8.2", "good in itself, but not what the hash says", flipped
    yield "index-frames-both", "damaged", "8.1", "totals fit the entries, not the clips", _swap_frames()
    yield "index-extra-byte", "damaged", "8.1", "a byte after the entries", edited(
        lambda c: c[-2].payload.append(Part(b"\0", "extra"))
    )  # fmt: skip
    yield "foot-offset", "damaged", "8.3", "the index is not at byte 8", with_field(b"foot", "index", _u("Q", 8))
    yield (
        "foot-9-bytes",
        "damaged",
        "8.3",
        "a byte too many",
        edited(lambda c: c[-1].payload.append(Part(b"\0", "extra"))),
    )


def _swap_frames() -> bytes:
    found = chunks()
    swap = {"frames 0": b"\2", "frames 1": b"\3"}
    found[-2].payload = [replace(p, data=swap.get(p.name, p.data)) for p in found[-2].payload]
    return join(found)


def faults() -> Iterator[Fault]:
    """Every faulty vector."""
    groups = (
        signatures,
        layer,
        order,
        header,
        preamble,
        streams,
        clips,
        faulty_zstd,
        faulty_range,
        faulty_inter,
        faulty_motion,
        index,
    )
    for group in groups:
        for row in group():
            yield Fault(*row)
