"""The index of a file that can seek, found from its end and believed only after a look (SPEC.md 4.3)."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from dfccodec.container import chunks, pack
from dfccodec.container.chunks import FOOT_BYTES, FRAME_BYTES, Chunk, Source
from dfccodec.container.records import Index, IndexEntry
from dfccodec.errors import DfcError


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


def leads_to_clip(stream: BinaryIO, start: int, entry: IndexEntry) -> bool:
    """Whether a clip of the size promised stands where an entry says."""
    stream.seek(start + entry.offset)
    return stream.read(8) == chunks.CLIP + struct.pack("<I", entry.size - FRAME_BYTES)


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
    found = next(chunks.walk(Source(stream)), None)
    return found.payload if isinstance(found, Chunk) and found.type == kind else None
