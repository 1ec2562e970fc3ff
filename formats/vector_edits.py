"""Edits of a good file that break one rule of SPEC.md, for the faulty conformance vectors."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace

from vector_clips import Clip
from vector_files import File, Packets, Stream
from vector_parts import SIGNATURE, Chunk, Head, join

Row = tuple[str, str, str, str, bytes]
"""Name, class of error, section of SPEC.md, note, bytes."""


def base_file() -> File:
    """A good file with two clips and one chunk of every type."""
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


def base_chunks() -> list[Chunk]:
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
    """The file after an edit of its list of chunks."""
    found = base_chunks()
    edit(found)
    rebuild_index(found)
    return join(found)


def rebuild_index(found: list[Chunk]) -> None:
    """Correct index and footer, so that a vector breaks one rule and no other."""
    place, last = len(SIGNATURE), 0
    right: dict[str, bytes] = {}
    number = -1
    for chunk in found:
        if chunk.kind == b"CLIP":
            number += 1
            own = {p.name: p.data for p in chunk.payload}
            right |= {f"{name} {number}": own[name] for name in ("first_frame", "first_pts", "frames") if name in own}
            right |= {f"offset {number}": packed("Q", place), f"size {number}": packed("I", chunk.size)}
            bits = int.from_bytes(own.get("kept", b""), "little") & (1 << own.get("frames", b"\0")[0]) - 1
            right[f"kept {number}"] = bytes([bits.bit_count()])
        last = place if chunk.kind == b"indx" else last
        place += chunk.size
    for name, layout in (("frames", "Q"), ("kept", "Q")):
        right[name] = packed(layout, sum(right.get(f"{name} {i}", b"\0")[0] for i in range(number + 1)))
    for chunk in found:
        if chunk.kind == b"foot" and last:
            right["index"] = packed("Q", last)
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


def packed(layout: str, value: float) -> bytes:
    """One little-endian number."""
    return struct.pack("<" + layout, value)
