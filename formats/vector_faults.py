"""The faulty conformance vectors: one broken rule of SPEC.md each. Here: chunk layer, order, HEAD, index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from vector_direct import faulty_direct
from vector_edges import faulty_edges
from vector_edits import (
    Row,
    base_chunks,
    edited,
    packed,
    where,
    with_chunk_twice,
    with_empty_chunk,
    with_field,
    without_chunk,
)
from vector_fields import clips, preamble, streams
from vector_files import File
from vector_generate import faulty_generate
from vector_inter import faulty_inter
from vector_limits import faulty_limits
from vector_mixing import faulty_mixing
from vector_motion import faulty_motion
from vector_parts import SIGNATURE, Chunk, Head, Part, join
from vector_predicted import faulty_predicted
from vector_range import faulty_range
from vector_zstd import faulty_zstd


@dataclass(frozen=True)
class Fault:
    """A file that every reader refuses: `section` of SPEC.md, class of error, note."""

    name: str
    error: str
    section: str
    note: str
    data: bytes


def signatures() -> Iterator[Row]:
    data = join(base_chunks())
    yield "not-empty", "not-dfc", "3.1", "no byte at all", b""
    yield "not-short-signature", "not-dfc", "3.1", "seven of eight bytes", data[:7]
    yield "not-png", "not-dfc", "3.1", "the signature of PNG", b"\x89PNG\r\n\x1a\n" + data[8:]
    yield "not-text-mode", "not-dfc", "3.1", "CR LF became LF", data.replace(b"\r\n", b"\n")
    yield "not-seven-bit", "not-dfc", "3.1", "the top bit of every byte is lost", bytes(b & 127 for b in data)


def layer() -> Iterator[Row]:
    """Faults of the chunk layer."""
    data, found = join(base_chunks()), base_chunks()
    clip = data.index(b"CLIP")
    yield "chunk-length-2-31", "damaged", "3.2", "CLIP claims 2^31 bytes", (
        data[: clip + 4] + packed("I", 1 << 31) + data[clip + 8 :]
    )  # fmt: skip
    yield "chunk-length-beyond-end", "damaged", "3.2", "HEAD claims 2^28 bytes, 100 follow", (
        SIGNATURE + b"HEAD" + packed("I", 1 << 28) + data[16:116]
    )  # fmt: skip
    yield "chunk-type-not-letters", "damaged", "3.2", "type xt4a", with_empty_chunk(3, b"xt4a")
    for kind in (b"HEAD", b"MODL", b"STEP", b"tags", b"CLIP", b"indx", b"foot"):
        bad = base_chunks()
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
    yield "order-after-footer", "damaged", "8.3", "four bytes after the footer", join(base_chunks()) + b"more"
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
        yield f"head-{name}", error, section, f"{field} is {value}", with_field(b"HEAD", field, packed(layout, value))
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
    more = with_field(b"HEAD", "overlap", packed("H", 32), of=File(tiled))
    yield "head-overlap-over-half", "damaged", "5.1", "overlap of a whole tile: a stride of 0", more
    yield "head-47-bytes", "damaged", "5.1", "half of the last field is missing", with_field(b"HEAD", "reserved", b"\0")
    yield "head-49-bytes", "damaged", "5.1", "one byte too many", with_field(b"HEAD", "reserved", b"\0\0\0")
    short = edited(lambda c: setattr(c[0], "payload", c[0].payload[:1]))
    yield "head-1-byte", "damaged", "4.1", "no version can be read", short
    newer = edited(lambda c: setattr(c[0], "payload", [Part(b"\2\2", "versions"), Part(bytes(62), "new")]))
    yield "head-needs-2-longer", "unsupported", "4.1", "version 2 with a longer HEAD: version first", newer


def index() -> Iterator[Row]:
    rows = [
        ("clips", packed("I", 1)), ("clips", b"\xff" * 4), ("frames", packed("Q", 6)), ("kept", packed("Q", 2)),
        ("latent hash", bytes(32)), ("offset 0", packed("Q", 8)), ("size 1", packed("I", 60)),
        ("first_frame 1", packed("I", 2)),
        ("first_pts 1", packed("q", 5)), ("frames 0", b"\2"), ("kept 0", b"\1"), ("reserved 0", b"\1\0"),
    ]  # fmt: skip
    for field, data in rows:
        name = "index-" + field.replace(" ", "-").replace("_", "-") + ("-huge" if data == b"\xff" * 4 else "")
        yield name, "damaged", "8.1", f"{field} is 0x{data[:8].hex()}", with_field(b"indx", field, data)
    flipped = with_field(b"CLIP", "low bytes", b"\2" * 8)
    yield "latents-other-integers", "damaged", "8.2", "valid integers that do not match the latent hash", flipped
    yield "index-frames-both", "damaged", "8.1", "totals fit the entries, not the clips", _swap_frames()
    yield "index-extra-byte", "damaged", "8.1", "a byte after the entries", edited(
        lambda c: c[-2].payload.append(Part(b"\0", "extra"))
    )  # fmt: skip
    yield "foot-offset", "damaged", "8.3", "the index is not at byte 8", with_field(b"foot", "index", packed("Q", 8))
    yield (
        "foot-9-bytes",
        "damaged",
        "8.3",
        "a byte too many",
        edited(lambda c: c[-1].payload.append(Part(b"\0", "extra"))),
    )


def _swap_frames() -> bytes:
    found = base_chunks()
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
        faulty_predicted,
        faulty_mixing,
        faulty_motion,
        faulty_direct,
        faulty_generate,
        faulty_limits,
        faulty_edges,
        index,
    )
    for group in groups:
        for row in group():
            yield Fault(*row)
