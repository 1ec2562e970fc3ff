"""Structure-aware mutators. They know chunks and clips, so mutated files have correct checksums and sizes.

A reader rejects a flipped bit in a `.dfc` file at the CRC. Faults are found by files in which all but one field are
valid. Each mutator therefore splits a file, changes a part, and joins it again.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from random import Random

import zstandard

SIGNATURE = b"\xdfDFC\r\n\x1a\n"
HEAD_BYTES = 48
MAX_BYTES = 8192
"""Maximum size of an input. Small inputs are fast and reach the same code."""

Chunks = list[tuple[bytes, bytes]]
"""Type and payload of each chunk."""
Mutator = Callable[[bytes, Random, list[bytes]], bytes]
"""(input, random generator, other inputs) -> mutated input."""

_TYPES = [b"HEAD", b"MODL", b"STEP", b"CLIP", b"tool", b"tags", b"strm", b"pkts", b"indx", b"foot", b"abcd", b"ABCD"]
_ENDS = (0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 254, 255)
_CLIP_HEAD = struct.Struct("<IBBBBqBBHII")


def havoc(data: bytes, dice: Random, others: list[bytes]) -> bytes:
    """Change a few bytes without knowledge of the structure."""
    out = bytearray(data)
    for _ in range(1 << dice.randrange(4)):
        place = dice.randrange(len(out) + 1)
        act = dice.randrange(9)
        if act == 0 and out:
            out[place % len(out)] ^= 1 << dice.randrange(8)
        elif act == 1 and out:
            out[place % len(out)] = dice.choice(_ENDS)
        elif act in (2, 3):
            width = dice.choice((2, 4, 8))
            out[place : place + width] = number(dice, width)
        elif act == 4:
            del out[place : place + dice.choice((1, 2, 4, 8, 32))]
        elif act == 5:
            out[place:place] = dice.randbytes(dice.choice((1, 2, 4, 8, 32)))
        elif act == 6:
            piece = out[place : place + dice.choice((1, 4, 16, 64))]
            out[place:place] = piece * dice.choice((1, 2, 16))
        elif act == 7 and others:
            other = dice.choice(others)
            start = dice.randrange(len(other) + 1)
            out[place : place + dice.choice((0, 8, 32))] = other[start : start + dice.choice((4, 16, 64))]
        elif act == 8 and dice.random() < 0.2:
            del out[place:]
    return bytes(out[:MAX_BYTES])


def number(dice: Random, width: int) -> bytes:
    """Return `width` bytes: a little-endian integer at or near a boundary value."""
    bits = 8 * width
    base = dice.choice((0, 1, 1 << (bits - 1), 1 << dice.randrange(bits), (1 << bits) - 1, dice.getrandbits(bits)))
    return ((base + dice.choice((0, 0, -1, 1))) % (1 << bits)).to_bytes(width, "little")


def split(data: bytes) -> Chunks:
    """Split a file into chunks. Bytes after the last complete chunk are discarded."""
    out, place = [], len(SIGNATURE)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        if place + 12 + length > len(data):
            break
        out.append((data[place : place + 4], data[place + 8 : place + 8 + length]))
        place += length + 12
    return out


def chunk(kind: bytes, payload: bytes) -> bytes:
    """Return a chunk with a correct checksum."""
    return kind + struct.pack("<I", len(payload)) + payload + struct.pack("<I", zlib.crc32(kind + payload))


def join(found: Chunks) -> bytes:
    """Join chunks to a file with correct checksums."""
    return SIGNATURE + b"".join(chunk(kind, payload) for kind, payload in found)


def rebuild_index(found: Chunks) -> Chunks:
    """Rebuild index and footer from the heads of the clips. The latent hash is unchanged."""
    rows, place, last = [], len(SIGNATURE), 0
    for kind, payload in found:
        if kind == b"CLIP" and len(payload) >= _CLIP_HEAD.size:
            first, frames, _, _, _, pts, *_ = _CLIP_HEAD.unpack_from(payload)
            bitmap = payload[_CLIP_HEAD.size : _CLIP_HEAD.size + -(-frames // 8)]
            kept = int.from_bytes(bitmap, "little").bit_count()
            rows.append((place, len(payload) + 12, first, pts, frames, kept % 256, 0))
        last = place if kind == b"indx" else last
        place += len(payload) + 12
    out = []
    for kind, payload in found:
        if kind == b"indx" and len(payload) >= 52:
            totals = struct.pack("<IQQ", len(rows), sum(r[4] for r in rows), sum(r[5] for r in rows))
            payload = totals + payload[20:52] + b"".join(struct.pack("<QIIqBBH", *row) for row in rows)
        elif kind == b"foot":
            payload = struct.pack("<Q", last)
        out.append((kind, payload))
    return out


def file(data: bytes, dice: Random, others: list[bytes]) -> bytes:
    """Mutate fields and the order of chunks, and sometimes arbitrary bytes of the file."""
    found = split(data)
    if not found or dice.random() < 0.05:
        return havoc(data, dice, others)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        place = dice.randrange(len(found))
        kind, payload = found[place]
        act = dice.randrange(12)
        if act < 6:
            new = clip_payload(payload, dice, others) if kind == b"CLIP" else havoc(payload, dice, [])
            found[place] = (kind, new)
        elif act == 6:
            found.insert(dice.randrange(len(found) + 1), found[place])
        elif act == 7 and len(found) > 1:
            del found[place]
        elif act == 8:
            other = dice.randrange(len(found))
            found[place], found[other] = found[other], found[place]
        elif act == 9:
            found[place] = (dice.choice(_TYPES), payload)
        elif act == 10 and others and (donor := split(dice.choice(others))):
            found.insert(dice.randrange(len(found) + 1), dice.choice(donor))
        elif act == 11:
            found.insert(dice.randrange(len(found) + 1), (dice.choice(_TYPES), dice.randbytes(dice.randrange(40))))
        found = found or [(b"HEAD", b"")]
    if dice.random() < 0.7:
        found = rebuild_index(found)
    out = join(found)
    if dice.random() < 0.1:
        out = out[: dice.randrange(len(out))]
    return out[:MAX_BYTES]


def clip_payload(payload: bytes, dice: Random, others: list[bytes]) -> bytes:
    """Mutate a clip: its fields, or one of its payloads with a corrected size."""
    if len(payload) < _CLIP_HEAD.size or dice.random() < 0.3:
        return havoc(payload, dice, [])
    fields = list(_CLIP_HEAD.unpack_from(payload))
    latents = payload[len(payload) - fields[10] :] if fields[10] <= len(payload) else b""
    rest = payload[_CLIP_HEAD.size : len(payload) - len(latents)]
    fill = rest[len(rest) - fields[9] :] if fields[9] <= len(rest) else b""
    heads = rest[: len(rest) - len(fill)]
    act = dice.randrange(5)
    if act == 0:
        latents = (
            _mutate_zstd_content(latents, dice) if fields[4] == 0 and dice.random() < 0.7 else havoc(latents, dice, [])
        )
    elif act == 1:
        fill = havoc(fill, dice, [])
    elif act == 2:
        heads = havoc(heads, dice, [])
    elif act == 3:
        fields[dice.choice((1, 2, 3, 4, 6, 7))] = dice.choice(_ENDS)
    else:
        which = dice.choice((0, 5))
        fields[which] = int.from_bytes(number(dice, 8 if which else 4), "little", signed=bool(which))
    if act < 3 and dice.random() < 0.3:
        latents += bytes(-len(latents) % 4)  # pad to complete words of the range coder
    fields[9:] = len(fill), len(latents)
    return _CLIP_HEAD.pack(*fields) + heads + fill + latents


def _mutate_zstd_content(latents: bytes, dice: Random) -> bytes:
    """Mutate the content of a zstd frame and compress it again."""
    try:
        if zstandard.frame_content_size(latents) > 1 << 16:  # decompress() would allocate the declared size
            return havoc(latents, dice, [])
        raw = zstandard.ZstdDecompressor().decompress(latents, max_output_size=1 << 16)
    except zstandard.ZstdError:
        return havoc(latents, dice, [])
    changed = havoc(raw, dice, [])
    if dice.random() < 0.7:
        changed = (changed + bytes(len(raw)))[: len(raw)]
    return zstandard.ZstdCompressor(level=1, write_content_size=dice.random() < 0.9).compress(changed)


def clip(data: bytes, dice: Random, others: list[bytes]) -> bytes:
    """Mutate a payload of HEAD followed by a payload of CLIP."""
    head, rest = data[:HEAD_BYTES], data[HEAD_BYTES:]
    if dice.random() < 0.3:
        head = (havoc(head, dice, []) + bytes(HEAD_BYTES))[:HEAD_BYTES]
    else:
        rest = clip_payload(rest, dice, others)
    return (head + rest)[:MAX_BYTES]


def safetensors(data: bytes, dice: Random, others: list[bytes]) -> bytes:
    """Mutate the header of a weight file, with or without a corrected size."""
    size = int.from_bytes(data[:8], "little")
    header, body = data[8 : 8 + size], data[8 + size :]
    act = dice.randrange(4)
    if act == 0:
        return havoc(data, dice, others)
    if act == 1:
        header = havoc(header, dice, others)
    elif act == 2:
        parts = header.split(b",")
        place = dice.randrange(len(parts))
        parts[place : place + 1] = dice.choice(([], [parts[place]] * 2, [dice.choice(parts)], [parts[place][::-1]]))
        header = b",".join(parts)
    else:
        digits = [i for i, byte in enumerate(header) if byte in b"0123456789"]
        if digits:
            at = dice.choice(digits)
            new = dice.choice((b"-1", b"0", b"1e3", b"4294967296", b"18446744073709551615", b"9" * 40, b"null"))
            header = header[:at] + new + header[at + 1 :]
    return struct.pack("<Q", len(header)) + header + body
