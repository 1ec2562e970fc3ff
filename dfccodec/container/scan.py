"""Summary of a file: heads of clips and sizes of chunks, without reading latents (conformance class inspector)."""

from __future__ import annotations

import io
import os
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import BinaryIO

from dfccodec.container import chunks, pack
from dfccodec.container.chunks import CHUNK_OVERHEAD, Damage
from dfccodec.container.reader import ClipAt, IndexAt, Preamble, StreamReader
from dfccodec.container.records import Clip, Header, Index, StreamInfo
from dfccodec.container.streams import seekable
from dfccodec.errors import DamagedError
from dfccodec.limits import MAX_CHUNK


@dataclass(frozen=True)
class ClipHead:
    """A clip without its payloads.

    Attributes:
        clip: the record, with empty payloads.
        offset, size: of its chunk in the file, in bytes.
        fill_bytes, latent_bytes: sizes of fill payload and latents.
    """

    clip: Clip
    offset: int
    size: int
    fill_bytes: int
    latent_bytes: int


@dataclass
class Summary:
    """Summary of a file.

    Attributes:
        preamble: header, model, steps, tool, tags.
        clips: in file order.
        streams: audio and subtitle streams.
        bytes_by_type: bytes in the file per chunk type, framing included.
        index: the index; None if it is missing.
        damage: damage found. Checksums of clips are only computed if the chunk headers are inconsistent; use `verify`.
        size: size of the file in bytes.
    """

    preamble: Preamble
    clips: list[ClipHead] = field(default_factory=list)
    streams: list[StreamInfo] = field(default_factory=list)
    bytes_by_type: Counter[str] = field(default_factory=Counter)
    index: Index | None = None
    damage: list[Damage] = field(default_factory=list)
    size: int = 0

    def bytes_by_part(self) -> dict[str, int]:
        """Bytes of the file by purpose; their sum is its size."""
        by_type = self.bytes_by_type
        latents, fill = sum(c.latent_bytes for c in self.clips), sum(c.fill_bytes for c in self.clips)
        return {
            "latents": latents,
            "fill": fill,
            "clip_heads": by_type["CLIP"] - latents - fill,
            "sound": by_type["strm"] + by_type["pkts"],
            "index": by_type["indx"] + by_type["foot"],
            "other": self.size - by_type["CLIP"] - sum(by_type[k] for k in ("strm", "pkts", "indx", "foot")),
        }


def scan(stream: BinaryIO) -> Summary:
    """Summarize a file.

    If the stream is seekable and the chunk headers are consistent, latents are skipped. Otherwise all bytes are read.

    Raises:
        DfcError: as for :class:`StreamReader`.
    """
    if not seekable(stream):
        stream = io.BytesIO(stream.read())
    start = stream.tell()
    quick = _scan_headers(stream)
    if quick is not None:
        return quick
    stream.seek(start)
    return _scan_all(stream)


def _scan_headers(stream: BinaryIO) -> Summary | None:
    """Summarize from chunk headers; None if anything is inconsistent."""
    start = stream.tell()
    size = stream.seek(0, os.SEEK_END) - start
    stream.seek(start)
    places: list[tuple[bytes, int, int]] = []
    if stream.read(8) != chunks.SIGNATURE:
        return None
    place = 8
    while place < size:
        stream.seek(start + place)
        head = stream.read(8)
        if len(head) < 8 or not (head[:4] in chunks.KNOWN or _skippable(head[:4])):
            return None
        (length,) = struct.unpack("<I", head[4:])
        if length > MAX_CHUNK or place + length + CHUNK_OVERHEAD > size:
            return None
        places.append((head[:4], place, length))
        place += length + CHUNK_OVERHEAD
    if not places or places[-1][0] != chunks.FOOT:
        return None
    return _summarize(stream, start, places, size)


def _skippable(kind: bytes) -> bool:
    """Whether an unknown chunk type may be skipped: four ASCII letters, the first in lower case."""
    return kind.isascii() and kind.isalpha() and not chunks.is_critical(kind)


def _summarize(stream: BinaryIO, start: int, places: list[tuple[bytes, int, int]], size: int) -> Summary | None:
    """Parse the chunks found: small chunks completely and with checksums, clips by their heads."""
    kinds = [kind for kind, _, _ in places]
    small = io.BytesIO()  # a copy of the file without clips and packets, for the checks of StreamReader
    stream.seek(start)
    small.write(stream.read(8))
    for kind, place, length in places:
        if kind in chunks.KNOWN and kind not in (chunks.CLIP, chunks.PACKETS):
            stream.seek(start + place)
            small.write(stream.read(length + CHUNK_OVERHEAD))
    small.seek(0)
    reader = StreamReader(small)
    summary = Summary(reader.preamble, size=size)
    for item in reader:
        if isinstance(item, Damage):
            return None
        if isinstance(item, StreamInfo):
            summary.streams.append(item)
        elif isinstance(item, IndexAt):
            summary.index = item.index
    first = kinds.index(chunks.CLIP) if chunks.CLIP in kinds else len(kinds)
    if any(kinds.index(k) > first for k in (chunks.HEAD, chunks.MODEL, chunks.STEPS)):
        return None
    for kind, place, length in places:
        summary.bytes_by_type[chunks.name(kind)] += length + CHUNK_OVERHEAD
        if kind == chunks.CLIP:
            stream.seek(start + place + 8)
            try:
                summary.clips.append(_clip_head(stream.read(min(length, pack.CLIP_HEAD_BYTES)), summary, place, length))
            except DamagedError:
                return None
    return summary


def _clip_head(payload: bytes, summary: Summary, place: int, length: int) -> ClipHead:
    clip, fill, latents, fields = pack.unpack_clip_head(payload, summary.preamble.header, place + 8)
    if fields.position + fill + latents != length:
        raise fields.fail(f"payloads of {fill} and {latents} bytes do not fill the chunk of {length}")
    return ClipHead(clip, place, length + CHUNK_OVERHEAD, fill, latents)


def read_clip(data: bytes, header: Header, offset: int) -> Clip:
    """Read the chunk of a clip, whose place is known from its `ClipHead`, with its checksum.

    Args:
        data: the bytes at that place.
        header: header of the file.
        offset: offset of the chunk in the file, for messages.

    Raises:
        DamagedError: the checksum or a field is wrong, or another chunk is there now.
    """
    source = chunks.LookaheadReader(io.BytesIO(data))
    source.offset = offset
    item = next(chunks.iter_chunks(source), None)
    if isinstance(item, Damage):
        raise DamagedError(item.reason, item.offset)
    if item is None or item.type != chunks.CLIP:
        raise DamagedError("the clip that was here when the file was opened is gone", offset)
    return pack.unpack_clip(item.payload, header, offset + 8)


def _scan_all(stream: BinaryIO) -> Summary:
    """Summarize by reading all bytes; checks all checksums and lists the damage."""
    start = stream.tell()
    reader = StreamReader(stream)
    summary = Summary(reader.preamble)
    for item in reader:
        if isinstance(item, ClipAt):
            clip = item.clip
            summary.clips.append(ClipHead(clip, item.offset, item.size, len(clip.fill_payload), len(clip.latents)))
        elif isinstance(item, StreamInfo):
            summary.streams.append(item)
        elif isinstance(item, IndexAt):
            summary.index = item.index
        elif isinstance(item, Damage):
            summary.damage.append(item)
    summary.bytes_by_type = reader.bytes_by_type
    summary.size = stream.seek(0, os.SEEK_END) - start
    return summary
