"""Reading a `.dfc` file as a stream of records (SPEC.md 4, 10)."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from dfccodec.container import chunks, pack
from dfccodec.container.chunks import Chunk, Damage, LookaheadReader
from dfccodec.container.crc_repair import repair_chunk, split_chunks
from dfccodec.container.records import Clip, Header, Index, ModelId, Packet, StreamInfo
from dfccodec.errors import DamagedError, NotDfcError, UnsupportedError


@dataclass(frozen=True)
class Preamble:
    """The records before the first clip: everything needed to dequantize latents."""

    header: Header
    model: ModelId
    steps: np.ndarray
    tool: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ClipAt:
    """A clip, and offset and size of its chunk in the file."""

    clip: Clip
    offset: int
    size: int


@dataclass(frozen=True)
class Packets:
    """Packets of one stream, in file order."""

    stream: int
    packets: tuple[Packet, ...]


@dataclass(frozen=True)
class IndexAt:
    """The index, and the offset of its chunk in the file."""

    index: Index
    offset: int


_MAX_REPAIR_BYTES = 1 << 25
"""Maximum bytes of a damaged chunk that are kept for repair: more than any clip in 4K needs."""

SIGNATURE_SEARCH_BYTES = 1 << 20
"""With `repair`, number of bytes at the beginning in which the signature is searched."""

Item = ClipAt | StreamInfo | Packets | IndexAt | Chunk | Damage
"""Item after the preamble. A `Chunk` is the footer, or an ancillary chunk that this reader does not know."""


class StreamReader:
    """Iterator over the records of a file in file order. The stream need not be seekable.

    Args:
        stream: a binary stream with `read`.
        repair: repair damaged chunks with their checksums (`container.crc_repair`). A repaired chunk follows its
            `Damage`, whose `repaired` is set.

    Attributes:
        preamble: header, model, steps, tool and tags.
        extent: (offset, size) in the file of the last item of the iteration.
        bytes_by_type: bytes of the valid chunks read so far, framing included.

    Raises:
        NotDfcError: the signature is missing.
        UnsupportedError: the version is newer, or a critical chunk is unknown.
        DamagedError: header, model or steps are damaged, missing, duplicate or out of order.
    """

    def __init__(self, stream: BinaryIO, repair: bool = False) -> None:
        source = LookaheadReader(stream)
        self.bytes_by_type: Counter[str] = Counter()
        self.extent = (0, 0)
        self._pending: list[Chunk | Damage] = []
        try:
            chunks.read_signature(source)
        except NotDfcError as error:
            if not repair:
                raise
            if source.peek(8, 12) == chunks.HEAD:
                source.skip(8)
                self._pending.append(Damage(0, 8, str(error), repaired="signature"))
            elif (place := source.search(re.compile(re.escape(chunks.SIGNATURE)), SIGNATURE_SEARCH_BYTES)) >= 0:
                source.skip(place + 8)
                reason = f"{error}; the signature is {place} bytes later"
                self._pending.append(Damage(0, place, reason, repaired="the beginning"))
            else:
                raise
        self._chunks = self._count_and_repair(chunks.iter_chunks(source, _MAX_REPAIR_BYTES if repair else 0))
        self._source = source
        self.preamble = self._read_preamble()

    def _count_and_repair(self, items: Iterator[Chunk | Damage]) -> Iterator[Chunk | Damage]:
        for item in items:
            if isinstance(item, Chunk):
                self.bytes_by_type[chunks.name(item.type)] += item.size
            elif found := repair_chunk(item) if item.data else None:
                yield dataclasses.replace(item, repaired=found[1])
                yield found[0]
                continue
            elif split := split_chunks(item) if item.data else []:
                first, *rest = split
                what = f"length of chunk {chunks.name(first.type)}"
                yield dataclasses.replace(item, size=first.size, data=item.data[: first.size], repaired=what)
                yield first
                yield from self._count_and_repair(iter(rest))
                continue
            yield item

    def _read_preamble(self) -> Preamble:
        found: dict[bytes, Chunk] = {}
        damage: Damage | None = None
        for item in self._chunks:
            if isinstance(item, Damage):
                damage = damage or item
                self._pending.append(item)
                continue
            _refuse_unknown(item)
            if not found and item.type != chunks.HEAD:
                raise _missing("HEAD", damage, item.offset)
            if item.type in (chunks.HEAD, chunks.MODEL, chunks.STEPS, chunks.TOOL, chunks.TAGS):
                if item.type in found:
                    reason = f"duplicate chunk {chunks.name(item.type)}"
                    if item.type not in (chunks.TOOL, chunks.TAGS):
                        raise DamagedError(reason, item.offset)
                    self._pending.append(
                        Damage(item.offset, item.size, reason, chunk=item.type)
                    )  # the first one counts
                    continue
                found[item.type] = item
                if item.type == chunks.HEAD:
                    pack.unpack_header(item.payload, item.offset + 8)  # check the version before anything else
                continue
            self._pending.append(item)
            if item.type in (chunks.CLIP, chunks.STREAM, chunks.PACKETS, chunks.INDEX, chunks.FOOT):
                break
        for kind in (chunks.HEAD, chunks.MODEL, chunks.STEPS):
            if kind not in found:
                raise _missing(chunks.name(kind), damage, self._source.offset)
        return self._parse_preamble(found)

    def _parse_preamble(self, found: dict[bytes, Chunk]) -> Preamble:
        """Parse the chunks before the first clip. Invalid tool or tags are only damage, because no clip needs them."""

        def at(kind: bytes) -> tuple[bytes, int]:
            return found[kind].payload, found[kind].offset + 8

        header = pack.unpack_header(*at(chunks.HEAD))
        model = pack.unpack_model(*at(chunks.MODEL))
        steps, where = at(chunks.STEPS)
        pairs: dict[bytes, tuple[tuple[str, str], ...]] = {}
        for kind in (chunks.TOOL, chunks.TAGS):
            if kind in found:
                try:
                    pairs[kind] = pack.unpack_pairs(found[kind].payload, chunks.name(kind), found[kind].offset + 8)
                except DamagedError as error:
                    self._pending.insert(0, Damage.of(error, found[kind].offset, found[kind].size, kind))
        steps_of = pack.unpack_steps(steps, header.channels, where)
        return Preamble(header, model, steps_of, pairs.get(chunks.TOOL, ()), pairs.get(chunks.TAGS, ()))

    def __iter__(self) -> Iterator[Item]:
        """Yield the items after the preamble. Damage is an item too; the iteration continues after it."""
        finished = indexed = False
        for item in self._remaining():
            self.extent = item.offset, item.size
            kind = b"" if isinstance(item, Damage) else item.type
            if finished and kind:
                yield Damage(item.offset, item.size, f"chunk {chunks.name(kind)} is after the footer", chunk=kind)
                continue
            # A damaged index was reported as damage just before.
            indexed |= kind == chunks.INDEX or not kind
            if kind == chunks.FOOT and not indexed:
                yield Damage(item.offset, 0, "footer without an index before it")
            finished |= kind == chunks.FOOT
            yield self._parse_or_damage(item)
        if not finished:
            yield Damage(self._source.offset, 0, "file ends without its index and footer: it is truncated")

    def _remaining(self) -> Iterator[Chunk | Damage]:
        """Yield the items that were read before the end of the preamble, then all later ones."""
        while self._pending:
            yield self._pending.pop(0)
        yield from self._chunks

    def seek(self, place: int, offset: int) -> None:
        """Continue with the chunk at `place` of the stream, byte `offset` of the file. Pending items are discarded."""
        self._pending.clear()
        self._source.seek(place, offset)

    def _parse_or_damage(self, item: Chunk | Damage) -> Item:
        if isinstance(item, Damage):
            return item
        _refuse_unknown(item)
        try:
            return self._parse(item)
        except DamagedError as error:  # correct checksum, invalid fields: a faulty writer or an attack
            return Damage.of(error, item.offset, item.size, item.type)

    def _parse(self, item: Chunk) -> Item:
        at = item.offset + 8
        if item.type == chunks.CLIP:
            return ClipAt(pack.unpack_clip(item.payload, self.preamble.header, at), item.offset, item.size)
        if item.type == chunks.STREAM:
            return pack.unpack_stream(item.payload, at)
        if item.type == chunks.PACKETS:
            stream, packets = pack.unpack_packets(item.payload, at)
            return Packets(stream, tuple(packets))
        if item.type == chunks.INDEX:
            return IndexAt(pack.unpack_index(item.payload, at), item.offset)
        if item.type == chunks.FOOT:
            pack.unpack_foot(item.payload, at)
        elif item.type in chunks.KNOWN:
            raise DamagedError(f"chunk {chunks.name(item.type)} is duplicate, or after the first clip", item.offset)
        return item


def _refuse_unknown(chunk: Chunk) -> None:
    if chunk.critical and chunk.type not in chunks.KNOWN:
        raise UnsupportedError(
            f"critical chunk {chunks.name(chunk.type)} at byte {chunk.offset} is not known to this reader: "
            "get a newer dfc"
        )


def _missing(what: str, damage: Damage | None, offset: int) -> DamagedError:
    if damage:
        return DamagedError(f"chunk {what} is lost: {damage.reason}", damage.offset)
    return DamagedError(f"chunk {what} is missing", offset)
