"""Reading a `.dfc` file: as a stream of records, or at a glance without touching latents (SPEC.md 4, 10)."""

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
from dfccodec.container.crc_repair import repair_chunk
from dfccodec.container.records import Clip, Header, Index, ModelId, Packet, StreamInfo
from dfccodec.errors import DamagedError, NotDfcError, UnsupportedError


@dataclass(frozen=True)
class Preamble:
    """What stands before the first clip: everything needed to turn integers into latents."""

    header: Header
    model: ModelId
    steps: np.ndarray
    tool: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ClipAt:
    """A clip and where its chunk stands in the file."""

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
    """The trailing index and where its chunk stands in the file."""

    index: Index
    offset: int


_KEPT = 1 << 25
"""Bytes of a damaged stretch that are held to be mended: more than any clip of 4K takes."""

SIGNATURE_SEARCH_BYTES = 1 << 20
"""Bytes in which the signature of a file to be mended is looked for, where something else stands before it."""

Item = ClipAt | StreamInfo | Packets | IndexAt | Chunk | Damage
"""What a file holds after its preamble; `Chunk` is an ancillary chunk this reader does not know."""


class StreamReader:
    """Records of a file from front to back; the stream need not seek.

    Args:
        stream: a binary stream that can `read`.
        mending: put right what checksums tell (`container.mend`): such a chunk comes after its damage, which says so.

    Attributes:
        preamble: header, model, steps, tool and tags.
        place: (offset, size) of what the iteration gave last.
        bytes_by_type: bytes of the good chunks read so far, framing included.

    Raises:
        NotDfcError: the signature is missing.
        UnsupportedError: a newer version, or a critical chunk this reader does not know.
        DamagedError: header, model or steps are damaged, missing, doubled or out of order.
    """

    def __init__(self, stream: BinaryIO, repair: bool = False) -> None:
        source = LookaheadReader(stream)
        self.bytes_by_type: Counter[str] = Counter()
        self.place = (0, 0)
        self._ahead: list[Chunk | Damage] = []
        try:
            chunks.read_signature(source)
        except NotDfcError as error:
            if not repair:
                raise
            if source.peek(8, 12) == chunks.HEAD:
                source.skip(8)
                self._ahead.append(Damage(0, 8, str(error), repaired="signature"))
            elif (place := source.search(re.compile(re.escape(chunks.SIGNATURE)), SIGNATURE_SEARCH_BYTES)) >= 0:
                source.skip(place + 8)
                reason = f"{error}; the signature stands {place} bytes later"
                self._ahead.append(Damage(0, place, reason, repaired="the beginning"))
            else:
                raise
        self._walk = self._counted(chunks.iter_chunks(source, _KEPT if repair else 0))
        self._source = source
        self.preamble = self._read_preamble()

    def _counted(self, items: Iterator[Chunk | Damage]) -> Iterator[Chunk | Damage]:
        for item in items:
            if isinstance(item, Chunk):
                self.bytes_by_type[chunks.name(item.type)] += item.size
            elif found := repair_chunk(item) if item.data else None:
                yield dataclasses.replace(item, repaired=found[1])
                yield found[0]
                continue
            yield item

    def _read_preamble(self) -> Preamble:
        found: dict[bytes, Chunk] = {}
        damage: Damage | None = None
        for item in self._walk:
            if isinstance(item, Damage):
                damage = damage or item
                self._ahead.append(item)
                continue
            _refuse_unknown(item)
            if not found and item.type != chunks.HEAD:
                raise _lost("HEAD", damage, item.offset)
            if item.type in (chunks.HEAD, chunks.MODEL, chunks.STEPS, chunks.TOOL, chunks.TAGS):
                if item.type in found:
                    reason = f"chunk {chunks.name(item.type)} stands twice"
                    if item.type not in (chunks.TOOL, chunks.TAGS):
                        raise DamagedError(reason, item.offset)
                    self._ahead.append(Damage(item.offset, item.size, reason, chunk=item.type))  # the first one counts
                    continue
                found[item.type] = item
                if item.type == chunks.HEAD:
                    pack.unpack_header(item.payload, item.offset + 8)  # judge the version before anything else
                continue
            self._ahead.append(item)
            if item.type in (chunks.CLIP, chunks.STREAM, chunks.PACKETS, chunks.INDEX, chunks.FOOT):
                break
        for kind in (chunks.HEAD, chunks.MODEL, chunks.STEPS):
            if kind not in found:
                raise _lost(chunks.name(kind), damage, self._source.offset)
        return self._understand(found)

    def _understand(self, found: dict[bytes, Chunk]) -> Preamble:
        """The records of the chunks before the first clip. Bad pairs are damage, not the end: no clip needs them."""

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
                    self._ahead.insert(0, Damage.of(error, found[kind].offset, found[kind].size, kind))
        steps_of = pack.unpack_steps(steps, header.channels, where)
        return Preamble(header, model, steps_of, pairs.get(chunks.TOOL, ()), pairs.get(chunks.TAGS, ()))

    def __iter__(self) -> Iterator[Item]:
        """Items after the preamble; damage comes as an item and reading goes on behind it."""
        finished = indexed = False
        for item in self._rest():
            self.place = item.offset, item.size
            kind = b"" if isinstance(item, Damage) else item.type
            if finished and kind:
                yield Damage(item.offset, item.size, f"chunk {chunks.name(kind)} stands after the footer", chunk=kind)
                continue
            # A damaged one has been given as such just before.
            indexed |= kind == chunks.INDEX or not kind
            if kind == chunks.FOOT and not indexed:
                yield Damage(item.offset, 0, "footer without an index before it")
            finished |= kind == chunks.FOOT
            yield self._typed(item)
        if not finished:
            yield Damage(self._source.offset, 0, "file ends without its index and footer: it is cut short")

    def _rest(self) -> Iterator[Chunk | Damage]:
        """What was looked at in search of the preamble, then all that follows."""
        while self._ahead:
            yield self._ahead.pop(0)
        yield from self._walk

    def jump(self, place: int, offset: int) -> None:
        """Go on with the chunk at `place` of the stream, byte `offset` of the file; what was looked at is forgotten."""
        self._ahead.clear()
        self._source.jump(place, offset)

    def _typed(self, item: Chunk | Damage) -> Item:
        if isinstance(item, Damage):
            return item
        _refuse_unknown(item)
        try:
            return self._record(item)
        except DamagedError as error:  # a right checksum over wrong fields: a faulty writer, or an attack
            return Damage.of(error, item.offset, item.size, item.type)

    def _record(self, item: Chunk) -> Item:
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
            raise DamagedError(f"chunk {chunks.name(item.type)} stands after the first clip or twice", item.offset)
        return item


def _refuse_unknown(chunk: Chunk) -> None:
    if chunk.critical and chunk.type not in chunks.KNOWN:
        raise UnsupportedError(
            f"critical chunk {chunks.name(chunk.type)} at byte {chunk.offset} is not known to this reader: "
            "get a newer dfc"
        )


def _lost(what: str, damage: Damage | None, offset: int) -> DamagedError:
    if damage:
        return DamagedError(f"chunk {what} is lost: {damage.reason}", damage.offset)
    return DamagedError(f"chunk {what} is missing", offset)
