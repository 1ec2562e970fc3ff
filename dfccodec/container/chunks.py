"""The chunk layer: signature, framing, checksums, and finding the next good chunk after damage (SPEC.md 3, 10)."""

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
FRAME_BYTES = 12
"""What a chunk adds to its payload: type, length and checksum."""
FOOT_BYTES = FRAME_BYTES + 8

_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_CANDIDATE = re.compile(b"|".join(KNOWN))
_PIECE = 1 << 20  # bytes asked for at a time, so that a false length allocates no more than the file holds


@dataclass(frozen=True)
class Chunk:
    """A chunk whose checksum is right; `offset` is the byte its type begins at."""

    type: bytes
    payload: bytes
    offset: int

    @property
    def critical(self) -> bool:
        """Whether a reader that does not know the type must refuse the file."""
        return is_critical(self.type)

    @property
    def size(self) -> int:
        """Bytes in the file, framing included."""
        return len(self.payload) + FRAME_BYTES


@dataclass(frozen=True)
class Damage:
    """Bytes [offset, offset + size) that hold no good chunk, and why in one line."""

    offset: int
    size: int
    reason: str
    kind: str = "damaged"
    """Class of error (SPEC.md 2.1): `damaged`, `limit` or `unsupported`."""
    data: bytes = field(default=b"", compare=False, repr=False)
    """The bytes themselves, where `walk` was to keep them."""
    repaired: str = ""
    """What was put right, where the chunk follows all the same (`container.mend`)."""
    chunk: bytes = field(default=b"", compare=False)
    """Type of the one chunk that these bytes are; empty where that is not known."""

    @classmethod
    def of(cls, error: DfcError, offset: int, size: int, chunk: bytes = b"") -> Damage:
        """The damage that an error found in those bytes."""
        kinds = ((LimitError, "limit"), (UnsupportedError, "unsupported"))
        kind = next((name for type_, name in kinds if isinstance(error, type_)), "damaged")
        return cls(offset, size, str(error), kind, chunk=chunk)


def is_critical(kind: bytes) -> bool:
    """Bit 5 of the first letter: clear (upper case) is critical."""
    return not kind[0] & 0x20


def name(kind: bytes) -> str:
    """A chunk type for people."""
    return kind.decode("ascii", "backslashreplace")


def pack_chunk(kind: bytes, payload: bytes) -> bytes:
    """Frame a payload: type, length, payload, CRC-32 over type and payload.

    Raises:
        DamagedError: the payload is longer than a chunk may be.
    """
    if len(payload) > MAX_CHUNK:
        raise DamagedError(f"chunk {name(kind)} of {len(payload)} bytes: at most {MAX_CHUNK}; use shorter clips")
    checksum = zlib.crc32(payload, zlib.crc32(kind))
    return kind + struct.pack("<I", len(payload)) + payload + struct.pack("<I", checksum)


class LookaheadReader:
    """A window over a binary stream that need not seek: look ahead, then move on."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._window = bytearray()
        self._ended = False
        self._kept, self._most = bytearray(), 0
        self.offset = 0

    def record_skipped(self, most: int) -> None:
        """From now on, remember up to `most` of the bytes skipped."""
        self._kept, self._most = bytearray(), most

    def kept(self) -> bytes:
        """The bytes skipped since `keep`, none where they were more; forgets them."""
        out, self._kept, self._most = bytes(self._kept), bytearray(), 0
        return out

    def ensure(self, count: int) -> int:
        """Look `count` bytes ahead; returns how many there are, fewer at the end of the stream. Copies nothing."""
        while len(self._window) < count and not self._ended:
            piece = self._stream.read(min(_PIECE, count - len(self._window)))
            if not piece:
                self._ended = True
            self._window += piece
        return min(count, len(self._window))

    def peek(self, start: int, end: int) -> bytes:
        """Bytes [start, end) ahead, fewer at the end of the stream."""
        self.ensure(end)
        return bytes(self._window[start:end])

    def crc32(self, start: int, end: int, seed: int) -> int:
        """CRC-32 of bytes that `fill` has brought, without a copy of them."""
        with memoryview(self._window) as window, window[start:end] as part:
            return zlib.crc32(part, seed)

    def search(self, pattern: re.Pattern[bytes], count: int) -> int:
        """Where a pattern first stands in the next `count` bytes, or -1."""
        match = pattern.search(self._window, 0, self.ensure(count))
        return match.start() if match else -1

    def jump(self, place: int, offset: int) -> None:
        """Go on at `place` of a stream that can seek, which is byte `offset` of the file."""
        self._stream.seek(place)
        self._window.clear()
        self._ended = False
        self.offset = offset

    def skip(self, count: int) -> None:
        """Move on by `count` bytes that were peeked."""
        if self._most:
            self._most = max(self._most - count, 0)
            if self._most:
                self._kept += self._window[:count]
            else:
                self._kept = bytearray()
        del self._window[:count]
        self.offset += count


def read_signature(source: LookaheadReader) -> None:
    """Consume the eight bytes every file begins with.

    Raises:
        NotDfcError: they are others; says so when a transfer in text mode is the likely reason.
    """
    found = source.peek(0, 8)
    if found != SIGNATURE:
        hint = ""
        if found[1:4] == b"DFC" or found[:4] == b"\xdfDFC":
            hint = ": the signature is mangled as a text-mode transfer does; copy the file again in binary mode"
        raise NotDfcError(f"not a .dfc file: begins with {found.hex() or 'nothing'}{hint}")
    source.skip(8)


def iter_chunks(source: LookaheadReader, keep: int = 0) -> Iterator[Chunk | Damage]:
    """Chunks in file order after the signature; stretches of bad bytes come as `Damage` and reading goes on.

    Stretches of less than `keep` bytes come with their bytes.

    A bad chunk whose successor stands where its length says costs that chunk alone. Otherwise the length itself is
    doubtful, and the next known type with a right checksum is searched byte by byte.
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
            chunk = found.chunk if found.chunk in KNOWN else b""  # of others the type may be what is wrong
        else:
            budget = _resync(source, budget)
            chunk = b""
        yield Damage(start, source.offset - start, reason, data=source.kept(), chunk=chunk)


def _chunk_at(source: LookaheadReader) -> Chunk | Damage | None:
    """The chunk at the current place; `Damage` (size 0: length unknown) if there is none; None at the end."""
    head = source.peek(0, 8)
    if not head:
        return None
    if len(head) < 8:
        return Damage(source.offset, 0, f"file ends inside a chunk header ({len(head)} of 8 bytes)")
    kind, (length,) = head[:4], struct.unpack("<I", head[4:])
    if not _LETTERS.issuperset(kind):
        return Damage(source.offset, 0, f"no chunk here: type {head[:4].hex()} is not four letters")
    if length > MAX_CHUNK:
        return Damage(source.offset, 0, f"chunk {name(kind)} claims {length} bytes, the limit is {MAX_CHUNK}")
    size = length + FRAME_BYTES
    if (there := source.ensure(size)) < size:
        return Damage(source.offset, 0, f"file ends inside chunk {name(kind)}: {size - there} bytes missing")
    (wanted,) = struct.unpack("<I", source.peek(size - 4, size))
    actual = source.crc32(8, size - 4, zlib.crc32(kind))
    if wanted != actual:
        reason = f"checksum of chunk {name(kind)} is {actual:08x}, the file says {wanted:08x}"
        return Damage(source.offset, size, reason, chunk=kind)
    return Chunk(kind, source.peek(8, size - 4), source.offset)


def _plausible_at(source: LookaheadReader, distance: int) -> bool:
    """Whether the end of the file or a known chunk header stands `distance` bytes ahead."""
    ahead = source.peek(distance, distance + 8)
    if not ahead:
        return True
    return len(ahead) == 8 and ahead[:4] in KNOWN and struct.unpack("<I", ahead[4:])[0] <= MAX_CHUNK


def _resync(source: LookaheadReader, budget: int) -> int:
    """Move to the next good chunk of a known type, or to the end. Returns what is left of the checksum budget."""
    source.skip(1)
    while budget > 0:
        place = source.search(_CANDIDATE, _PIECE)
        if place < 0:
            there = source.ensure(_PIECE)
            if not there:
                return budget
            source.skip(max(there - 3, 1))  # a type may straddle the edge of the window
            continue
        source.skip(place)
        found = _chunk_at(source)
        if isinstance(found, Chunk):
            return budget
        budget -= found.size + FRAME_BYTES if found else FRAME_BYTES
        source.skip(1)
    while rest := source.ensure(_PIECE):
        source.skip(rest)
    return 0
