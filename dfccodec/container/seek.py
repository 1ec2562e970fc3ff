"""Positions of clips in a seekable file: from the index, or from the chunk headers (SPEC.md 4.3)."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterator
from typing import BinaryIO

from dfccodec.container import chunks, pack
from dfccodec.container.chunks import CHUNK_OVERHEAD, FOOT_BYTES, Chunk, LookaheadReader
from dfccodec.container.records import Header, Index, IndexEntry, Packet
from dfccodec.errors import DfcError
from dfccodec.limits import MAX_CHUNK


def read_index(stream: BinaryIO, start: int) -> Index | None:
    """Read the index of the file that begins at `start` of a seekable stream; None if anything is inconsistent."""
    size = stream.seek(0, os.SEEK_END) - start
    foot = _read_chunk(stream, start, size - FOOT_BYTES, chunks.FOOT)
    if foot is None:
        return None
    try:
        where = pack.unpack_foot(foot)
        index = _read_chunk(stream, start, where, chunks.INDEX) if where < size - FOOT_BYTES else None
        found = pack.unpack_index(index) if index is not None else None
    except DfcError:
        return None
    return found if found is not None and _is_consistent(found, where) else None


def index_by_scanning(stream: BinaryIO, start: int, header: Header) -> Index:
    """Build an index of a truncated file from its chunk headers, up to the first inconsistency.

    Args:
        stream: a seekable stream.
        start: position of the file in the stream.
        header: header of the file.
    """
    found: list[IndexEntry] = []
    frame = 0
    for place, kind, length in _chunk_headers(stream, start, len(chunks.SIGNATURE)):
        if kind == chunks.CLIP:
            try:
                clip, fill, latents, fields = pack.unpack_clip_head(
                    stream.read(min(length, pack.CLIP_HEAD_BYTES)), header
                )
            except DfcError:
                break
            if clip.first_frame != frame or fields.position + fill + latents != length:
                break
            size, kept = length + CHUNK_OVERHEAD, int(clip.kept.sum())
            found.append(IndexEntry(place, size, frame, clip.first_pts, clip.frames, kept))
            frame += clip.frames
    return Index(tuple(found))


def iter_packets(
    stream: BinaryIO, start: int, place: int, end: int, wanted: Collection[int]
) -> Iterator[tuple[int, list[Packet]]]:
    """Yield stream id and packets of some streams between two positions of a file, up to the first inconsistency.

    Args:
        stream: a seekable stream.
        start: position of the file in the stream.
        place, end: file offsets of the first chunk, and of the first chunk after the range.
        wanted: ids of the streams.
    """
    for at, kind, _ in _chunk_headers(stream, start, place):
        if at >= end or not wanted:
            return
        if kind == chunks.PACKETS and int.from_bytes(stream.read(2), "little") in wanted:
            payload = _read_chunk(stream, start, at, kind)
            if payload is None:
                return
            try:
                yield pack.unpack_packets(payload)
            except DfcError:
                return


def _chunk_headers(stream: BinaryIO, start: int, place: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield offset, type and length of each chunk, with the stream at its payload. Ends before an invalid header."""
    while True:
        stream.seek(start + place)
        head = stream.read(8)
        kind, length = head[:4], int.from_bytes(head[4:], "little")
        if len(head) < 8 or not (kind.isascii() and kind.isalpha()) or length > MAX_CHUNK:
            return
        yield place, kind, length
        place += length + CHUNK_OVERHEAD


def entry_matches_clip(stream: BinaryIO, start: int, entry: IndexEntry, header: Header) -> bool:
    """Whether the head of the clip at an entry's offset agrees with the entry."""
    stream.seek(start + entry.offset)
    if stream.read(8) != chunks.CLIP + struct.pack("<I", entry.size - CHUNK_OVERHEAD):
        return False
    try:
        clip, *_ = pack.unpack_clip_head(stream.read(min(entry.size - CHUNK_OVERHEAD, pack.CLIP_HEAD_BYTES)), header)
    except DfcError:
        return False
    return (clip.first_frame, clip.first_pts, clip.frames) == (entry.first_frame, entry.first_pts, entry.frames)


def _is_consistent(index: Index, end: int) -> bool:
    """Whether the clips are in order, do not overlap, and end before the index at `end`."""
    place = frame = 0
    for entry in index.clips:
        if entry.offset < place or entry.first_frame != frame or entry.size < CHUNK_OVERHEAD:
            return False
        place, frame = entry.offset + entry.size, frame + entry.frames
    return place <= end


def _read_chunk(stream: BinaryIO, start: int, offset: int, kind: bytes) -> bytes | None:
    """Return the payload of the chunk at an offset; None if type or checksum are wrong."""
    if offset < len(chunks.SIGNATURE):
        return None
    stream.seek(start + offset)
    found = next(chunks.iter_chunks(LookaheadReader(stream)), None)
    return found.payload if isinstance(found, Chunk) and found.type == kind else None
