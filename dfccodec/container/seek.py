"""Where clips are in a file that can seek: by the index at its end, or hopping from chunk to chunk (SPEC.md 4.3)."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from typing import BinaryIO

from dfccodec.container import chunks, pack
from dfccodec.container.chunks import FOOT_BYTES, FRAME_BYTES, Chunk, LookaheadReader
from dfccodec.container.records import Header, Index, IndexEntry, Packet
from dfccodec.errors import DfcError
from dfccodec.limits import MAX_CHUNK


def read_index(stream: BinaryIO, start: int) -> Index | None:
    """The index of the file that begins at `start` of a seekable stream; None where anything about it is odd."""
    size = stream.seek(0, os.SEEK_END) - start
    foot = _chunk(stream, start, size - FOOT_BYTES, chunks.FOOT)
    if foot is None:
        return None
    try:
        where = pack.unpack_foot(foot)
        index = _chunk(stream, start, where, chunks.INDEX) if where < size - FOOT_BYTES else None
        found = pack.unpack_index(index) if index is not None else None
    except DfcError:
        return None
    return found if found is not None and _orderly(found, where) else None


def index_by_scanning(stream: BinaryIO, start: int, header: Header) -> Index:
    """What an index would say, by the heads of chunks alone, up to the first thing that is odd: the file was cut short.

    Args:
        stream: a seekable stream.
        start: where the file begins in it.
        header: of the file.
    """
    found: list[IndexEntry] = []
    frame = 0
    for place, kind, length in _heads(stream, start, len(chunks.SIGNATURE)):
        if kind == chunks.CLIP:
            try:
                clip, fill, latents, fields = pack.unpack_clip_head(
                    stream.read(min(length, pack.CLIP_HEAD_BYTES)), header
                )
            except DfcError:
                break
            if clip.first_frame != frame or fields.place + fill + latents != length:
                break
            size, kept = length + FRAME_BYTES, int(clip.kept.sum())
            found.append(IndexEntry(place, size, frame, clip.first_pts, clip.frames, kept))
            frame += clip.frames
    return Index(tuple(found))


def packets_between(
    stream: BinaryIO, start: int, place: int, end: int, wanted: Collection[int]
) -> Iterator[tuple[int, list[Packet]]]:
    """Id and packets, of some streams, between two places of a file: by the heads of chunks, up to an odd one.

    Args:
        stream: a seekable stream.
        start: where the file begins in it.
        place, end: of the first chunk looked at, and the first one no more; counted from `start`.
        wanted: ids of streams.
    """
    for at, kind, _ in _heads(stream, start, place):
        if at >= end or not wanted:
            return
        if kind == chunks.PACKETS and int.from_bytes(stream.read(2), "little") in wanted:
            payload = _chunk(stream, start, at, kind)
            if payload is None:
                return
            try:
                yield pack.unpack_packets(payload)
            except DfcError:
                return


def _heads(stream: BinaryIO, start: int, place: int) -> Iterator[tuple[int, bytes, int]]:
    """Place, type and length of one chunk after another, the stream at its payload; ends before the first odd one."""
    while True:
        stream.seek(start + place)
        head = stream.read(8)
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        if len(head) < 8 or not (kind.isascii() and kind.isalpha()) or length > MAX_CHUNK:
            return
        yield place, kind, length
        place += length + FRAME_BYTES


def leads_to_clip(stream: BinaryIO, start: int, entry: IndexEntry, header: Header) -> bool:
    """Whether the clip that an entry promises stands where it says, as far as the clip's head tells."""
    stream.seek(start + entry.offset)
    if stream.read(8) != chunks.CLIP + struct.pack("<I", entry.size - FRAME_BYTES):
        return False
    try:
        clip, *_ = pack.unpack_clip_head(stream.read(min(entry.size - FRAME_BYTES, pack.CLIP_HEAD_BYTES)), header)
    except DfcError:
        return False
    return (clip.first_frame, clip.first_pts, clip.frames) == (entry.first_frame, entry.first_pts, entry.frames)


def _orderly(index: Index, end: int) -> bool:
    """Whether clips follow one another, before the index."""
    place = frame = 0
    for entry in index.clips:
        if entry.offset < place or entry.first_frame != frame or entry.size < FRAME_BYTES:
            return False
        place, frame = entry.offset + entry.size, frame + entry.frames
    return place <= end


def _chunk(stream: BinaryIO, start: int, offset: int, kind: bytes) -> bytes | None:
    """Payload of a chunk whose checksum is right."""
    if offset < len(chunks.SIGNATURE):
        return None
    stream.seek(start + offset)
    found = next(chunks.iter_chunks(LookaheadReader(stream)), None)
    return found.payload if isinstance(found, Chunk) and found.type == kind else None
