"""Damaged files, and the clips that a reader finds in them if it continues after damage (SPEC.md 10)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vector_clips import Clip
from vector_files import File
from vector_parts import SIGNATURE, Chunk, Head, Part


@dataclass(frozen=True)
class Damaged:
    """A file that is damaged in one place: `section` of SPEC.md, note, and which of its three clips are intact."""

    name: str
    section: str
    note: str
    data: bytes
    clips: list[dict[str, int]]


class BaseFile:
    """The bytes of a good file with three clips, chunk by chunk: HEAD, MODL, STEP, tags, CLIP × 3, indx, foot."""

    def __init__(self, between: Chunk | None = None) -> None:
        clips = [Clip(frames=3, kept=(0, 2)), Clip(frames=2, kept=(1,)), Clip(frames=4, kept=(0, 3))]
        body: list[Clip | Chunk] = [*clips]
        if between is not None:
            body.insert(2, between)
        found, _ = File(Head(width=32, channels=2), [*body], tags=(("title", "x"),)).chunks()
        self.chunks = [b"".join(part.data for part in chunk.parts()) for chunk in found]
        self.clips = list(zip([c for c in self.chunks if c[:4] == b"CLIP"], clips, strict=True))

    def change(self, number: int, edit: Callable[[bytes], bytes]) -> bytes:
        """The file with one chunk edited."""
        return SIGNATURE + b"".join(edit(c) if i == number else c for i, c in enumerate(self.chunks))

    def expected_clips(self, data: bytes, *which: int) -> list[dict[str, int]]:
        """The expected result for clips `which`, at the offsets of their bytes."""
        return [
            {"offset": data.index(self.clips[i][0]), "first_frame": self.clips[i][1].first_frame,
             "frames": self.clips[i][1].frames}
            for i in which
        ]  # fmt: skip


FIRST, SECOND, THIRD, INDEX = 4, 5, 6, 7


def flip(place: int) -> Callable[[bytes], bytes]:
    """Return an edit that flips one bit of the byte at offset `place` of a chunk, from its end if negative."""

    def edit(chunk: bytes) -> bytes:
        at = place % len(chunk)
        return chunk[:at] + bytes([chunk[at] ^ 4]) + chunk[at + 1 :]

    return edit


def resized(of: Callable[[bytes], int]) -> Callable[[bytes], bytes]:
    """The chunk with another length."""
    return lambda chunk: chunk[:4] + struct.pack("<I", of(chunk)) + chunk[8:]


def damaged() -> Iterator[Damaged]:
    """All damaged vectors."""
    good = BaseFile()
    size = [len(chunk) for chunk in good.chunks]
    fake = b"CLIP" + struct.pack("<I", 30)  # a header that leads nowhere
    rows: list[tuple[str, str, str, int, Callable[[bytes], bytes], tuple[int, ...]]] = [
        ("payload", "10.2, step 4", "a bit of the second clip", SECOND, flip(30), (0, 2)),
        ("checksum", "10.2, step 4", "a bit of the checksum of the second clip", SECOND, flip(-1), (0, 2)),
        ("last-clip", "10.2, step 4", "a bit of the last clip", THIRD, flip(30), (0, 1)),
        ("index", "10.2, step 4", "a bit of the index", INDEX, flip(30), (0, 1, 2)),
        ("type", "10.2, step 2", "a type that is not letters", SECOND, lambda c: b"CL1P" + c[4:], (0, 2)),
        ("type-unknown", "10.2, step 4", "another type, of letters", SECOND, lambda c: b"CLIQ" + c[4:], (0, 2)),
        ("length-over-2-28", "10.2, step 2", "a length over 2^28", SECOND, resized(lambda c: 1 << 29), (0, 2)),
        ("length-beyond-end", "10.2, step 2", "a length beyond the end", SECOND, resized(lambda c: 1 << 20), (0, 2)),
        ("length-short", "10.2, step 5", "a length of 9 bytes less", SECOND, resized(lambda c: len(c) - 21), (0, 2)),
        ("length-to-a-chunk", "10.2, note", "a length that leads to the third clip costs the second", FIRST,
         resized(lambda c: len(c) + size[SECOND] - 12), (2,)),
        ("hole", "10.3", "forty bytes of the second clip are missing", SECOND, lambda c: c[:20] + c[60:], (0, 2)),
        ("end-of-hole-in-header", "10.3", "a hole up to the length of the third clip", THIRD, lambda c: c[5:], (0, 1)),
        ("false-header", "10.3", "a type of a chunk in the damage", SECOND, lambda c: c[1:20] + fake + c[20:], (0, 2)),
        ("zeros", "10.3", "zeros instead of the second clip", SECOND, lambda c: bytes(len(c)), (0, 2)),
        ("cut", "10.2, step 2", "the file ends inside the third clip", THIRD, lambda c: c[:40], (0, 1)),
        ("cut-in-header", "10.2, step 2", "the file ends inside a header", THIRD, lambda c: c[:5], (0, 1)),
        ("tags", "10.2, step 4", "a bit of the tags", 3, flip(12), (0, 1, 2)),
        ("field", "10.2", "QP 64 under a right checksum", SECOND, _qp_64, (0, 2)),
        ("HEAD", "10.2", "a bit of HEAD: nothing can be recovered", 0, flip(12), ()),
    ]  # fmt: skip
    for name, section, note, number, edit, which in rows:
        data = good.change(number, edit)
        if name.startswith("cut"):
            data = data[: data.index(edit(good.chunks[number])) + len(edit(good.chunks[number]))]
        yield Damaged(name, section, note, data, good.expected_clips(data, *which))
    other = BaseFile(between=Chunk(b"xtra", [Part(bytes(20), "anything")]))
    data = other.change(SECOND, flip(30))
    note = "a bit of the second clip, and what follows is of unknown type: searched for, and the third clip found"
    yield Damaged("before-unknown", "10.2, step 5", note, data, other.expected_clips(data, 0, 2))


def _qp_64(chunk: bytes) -> bytes:
    """A clip with an invalid QP and a right checksum."""
    payload = [Part(chunk[8:13] + b"\x40" + chunk[14:-4], "payload")]
    return b"".join(part.data for part in Chunk(b"CLIP", payload).parts())
