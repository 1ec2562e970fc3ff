"""The chunk layer: signature, framing, checksums, and resynchronization after damage (SPEC.md 3, 10)."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from dfccodec.errors import DamagedError, DfcError, LimitError, NotDfcError, UnsupportedError
from dfccodec.limits import MAX_CHUNK, RESYNC_BUDGET

SIGNATURE = b"\xdfDFC\r\n\x1a\n"
HEAD, MODEL, STEPS, CLIP = b"HEAD", b"MODL", b"STEP", b"CLIP"
TOOL, TAGS, STREAM, PACKETS, INDEX, FOOT = b"tool", b"tags", b"strm", b"pkts", b"indx", b"foot"
KNOWN = (HEAD, MODEL, STEPS, CLIP, TOOL, TAGS, STREAM, PACKETS, INDEX, FOOT)
CHUNK_OVERHEAD = 12
"""Bytes that a chunk adds to its payload: type, length and checksum."""
FOOT_BYTES = CHUNK_OVERHEAD + 8

_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
CANDIDATE = re.compile(b"|".join(KNOWN))
_READ_BYTES = 1 << 20  # bytes per read, so that a false length allocates no more than the file holds


@dataclass(frozen=True)
class Chunk:
    """A chunk with a correct checksum. `offset` is the file offset of its type."""

    type: bytes
    payload: bytes
    offset: int

    @property
    def critical(self) -> bool:
        """Whether a reader that does not know the type must reject the file."""
        return is_critical(self.type)

    @property
    def size(self) -> int:
        """Size in the file in bytes, framing included."""
        return len(self.payload) + CHUNK_OVERHEAD


@dataclass(frozen=True)
class Damage:
    """Bytes [offset, offset + size) without a valid chunk, and the reason in one line."""

    offset: int
    size: int
    reason: str
    kind: str = "damaged"
    """Class of error (SPEC.md 2.1): `damaged`, `limit` or `unsupported`."""
    data: bytes = field(default=b"", compare=False, repr=False)
    """The bytes, if `iter_chunks` was asked to keep them."""
    repaired: str = ""
    """What was repaired (`container.crc_repair`); the repaired chunk follows. Empty if the damage was not repaired."""
    chunk: bytes = field(default=b"", compare=False)
    """Type, if the bytes are exactly one chunk of known type; else empty."""

    @classmethod
    def of(cls, error: DfcError, offset: int, size: int, chunk: bytes = b"") -> Damage:
        """Build a `Damage` from an error about these bytes."""
        kinds = ((LimitError, "limit"), (UnsupportedError, "unsupported"))
        kind = next((name for type_, name in kinds if isinstance(error, type_)), "damaged")
        return cls(offset, size, str(error), kind, chunk=chunk)


def is_critical(kind: bytes) -> bool:
    """Whether a chunk type is critical: bit 5 of the first letter is clear (upper case)."""
    return not kind[0] & 0x20


def name(kind: bytes) -> str:
    """Return a chunk type as text for messages."""
    return kind.decode("ascii", "backslashreplace")


def pack_chunk(kind: bytes, payload: bytes) -> bytes:
    """Frame a payload: type, length, payload, CRC-32 over type and payload.

    Raises:
        DamagedError: the payload is longer than the maximum.
    """
    if len(payload) > MAX_CHUNK:
        raise DamagedError(f"chunk {name(kind)} of {len(payload)} bytes: at limit {MAX_CHUNK}; use shorter clips")
    checksum = zlib.crc32(payload, zlib.crc32(kind))
    return kind + struct.pack("<I", len(payload)) + payload + struct.pack("<I", checksum)


class LookaheadReader:
    """Reader with a lookahead buffer over a binary stream, which need not be seekable.

    Attributes:
        offset: file offset of the current position.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._window = bytearray()
        self._ended = False
        self._skipped, self._max_skipped = bytearray(), 0
        self.offset = 0

    def record_skipped(self, limit: int) -> None:
        """Record skipped bytes from now on, fewer than `limit`."""
        self._skipped, self._max_skipped = bytearray(), limit

    def take_skipped(self) -> bytes:
        """Return and forget the recorded bytes; empty if the limit was reached."""
        out, self._skipped, self._max_skipped = bytes(self._skipped), bytearray(), 0
        return out

    def ensure(self, count: int) -> int:
        """Fill the buffer with at least `count` bytes. Returns the number available, fewer at the end of the stream."""
        while len(self._window) < count and not self._ended:
            piece = self._stream.read(min(_READ_BYTES, count - len(self._window)))
            if not piece:
                self._ended = True
            self._window += piece
        return min(count, len(self._window))

    def peek(self, start: int, end: int) -> bytes:
        """Return bytes [start, end) after the current position, fewer at the end of the stream."""
        self.ensure(end)
        return bytes(self._window[start:end])

    def crc32(self, start: int, end: int, seed: int) -> int:
        """Return the CRC-32 of bytes [start, end) of the buffer without a copy."""
        with memoryview(self._window) as window, window[start:end] as part:
            return zlib.crc32(part, seed)

    def search(self, pattern: re.Pattern[bytes], count: int) -> int:
        """Return the position of the first match in the next `count` bytes, or −1."""
        match = pattern.search(self._window, 0, self.ensure(count))
        return match.start() if match else -1

    def seek(self, place: int, offset: int) -> None:
        """Continue at `place` of a seekable stream, which is byte `offset` of the file."""
        self._stream.seek(place)
        self._window.clear()
        self._ended = False
        self.offset = offset

    def skip(self, count: int) -> None:
        """Advance by `count` bytes that are in the buffer."""
        if self._max_skipped:
            self._max_skipped = max(self._max_skipped - count, 0)
            if self._max_skipped:
                self._skipped += self._window[:count]
            else:
                self._skipped = bytearray()
        del self._window[:count]
        self.offset += count


def read_signature(source: LookaheadReader) -> None:
    """Read the signature, the first eight bytes of a file.

    Raises:
        NotDfcError: the signature is missing. The message names a text-mode transfer if that is the likely reason.
    """
    found = source.peek(0, 8)
    if found != SIGNATURE:
        hint = ""
        if found[1:4] == b"DFC" or found[:4] == b"\xdfDFC":
            hint = ": a text-mode transfer has changed the signature; copy the file again in binary mode"
        raise NotDfcError(f"not a .dfc file: begins with {found.hex() or 'nothing'}{hint}")
    source.skip(8)


def iter_chunks(source: LookaheadReader, keep: int = 0) -> Iterator[Chunk | Damage]:
    """Yield the chunks after the signature in file order, and a `Damage` for each run of invalid bytes.

    If a known chunk header or the end of the file follows an invalid chunk, only that chunk is lost. Otherwise the
    length may be wrong too: the reader searches byte by byte for a known type with a correct checksum.

    Args:
        source: positioned after the signature.
        keep: a `Damage` of fewer bytes includes its bytes.
    """
    budget = RESYNC_BUDGET
    while True:
        found = _chunk_at(source)
        if found is None:
            return
        if isinstance(found, Chunk):
            source.skip(found.size)
            yield found
            continue
        start, reason = source.offset, found.reason
        source.record_skipped(keep)
        if found.size and _plausible_at(source, found.size):
            source.skip(found.size)
            chunk = found.chunk if found.chunk in KNOWN else b""  # an unknown type may itself be wrong
        else:
            budget = _resync(source, budget)
            chunk = b""
        yield Damage(start, source.offset - start, reason, data=source.take_skipped(), chunk=chunk)


def _chunk_at(source: LookaheadReader) -> Chunk | Damage | None:
    """Return the chunk at the current position, a `Damage` (size 0: length unknown), or None at the end."""
    head = source.peek(0, 8)
    if not head:
        return None
    if len(head) < 8:
        return Damage(source.offset, 0, f"file ends inside a chunk header ({len(head)} of 8 bytes)")
    kind, (length,) = head[:4], struct.unpack("<I", head[4:])
    if not _LETTERS.issuperset(kind):
        return Damage(source.offset, 0, f"invalid chunk type {head[:4].hex()}: a type is four ASCII letters")
    if length > MAX_CHUNK:
        return Damage(source.offset, 0, f"chunk {name(kind)} declares {length} bytes, over the limit of {MAX_CHUNK}")
    size = length + CHUNK_OVERHEAD
    if (there := source.ensure(size)) < size:
        return Damage(source.offset, 0, f"file ends inside chunk {name(kind)}: {size - there} bytes missing")
    (wanted,) = struct.unpack("<I", source.peek(size - 4, size))
    actual = source.crc32(8, size - 4, zlib.crc32(kind))
    if wanted != actual:
        reason = f"checksum of chunk {name(kind)} is {actual:08x}, the file declares {wanted:08x}"
        return Damage(source.offset, size, reason, chunk=kind)
    return Chunk(kind, source.peek(8, size - 4), source.offset)


def _plausible_at(source: LookaheadReader, distance: int) -> bool:
    """Whether the end of the file or a known chunk header is `distance` bytes ahead."""
    ahead = source.peek(distance, distance + 8)
    if not ahead:
        return True
    return len(ahead) == 8 and ahead[:4] in KNOWN and struct.unpack("<I", ahead[4:])[0] <= MAX_CHUNK


def _resync(source: LookaheadReader, budget: int) -> int:
    """Skip to the next valid chunk of a known type, or to the end. Returns the remaining checksum budget in bytes."""
    source.skip(1)
    while budget > 0:
        place = source.search(CANDIDATE, _READ_BYTES)
        if place < 0:
            there = source.ensure(_READ_BYTES)
            if not there:
                return budget
            source.skip(max(there - 3, 1))  # a type may cross the end of the buffer
            continue
        source.skip(place)
        found = _chunk_at(source)
        if isinstance(found, Chunk):
            return budget
        budget -= found.size + CHUNK_OVERHEAD if found else CHUNK_OVERHEAD
        source.skip(1)
    while rest := source.ensure(_READ_BYTES):
        source.skip(rest)
    return 0
