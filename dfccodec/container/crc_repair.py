"""Repair of damaged chunks with their CRC-32: a wrong length or type, one wrong byte or bit (SPEC.md 10.5).

CRC-32 is linear, so the XOR of stored and computed checksum (the syndrome) depends on the error alone. An error of one
byte, d bytes before the end, has as its syndrome the CRC table entry of that error, advanced by d zero bytes. Stepping
the syndrome back one byte at a time therefore yields a table entry exactly at the position of a single wrong byte.

Any other error looks like a single wrong byte with probability 255 n / 2^32 in n bytes. Sizes are limited so that this
is rare, and a repaired chunk must still be a valid record.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.container.chunks import CANDIDATE, CHUNK_OVERHEAD, KNOWN, Chunk, Damage, name
from dfccodec.limits import MAX_CHUNK

Words = npt.NDArray[np.uint32]

MAX_BYTE_REPAIR, MAX_BIT_REPAIR = 1 << 16, 1 << 22
"""Maximum bytes of a chunk in which one wrong byte, or one wrong bit, is repaired. At these sizes, 1 in 256 (1 in 128)
chunks with other damage looks repairable; in smaller chunks, fewer do."""


def repair_chunk(damage: Damage) -> tuple[Chunk, str] | None:
    """Repair a damaged chunk.

    Args:
        damage: the bytes between two valid chunks.

    Returns:
        The chunk and what was wrong; None if it cannot be repaired.
    """
    data, length = damage.data, len(damage.data) - CHUNK_OVERHEAD
    if not 0 <= length <= MAX_CHUNK:
        return None
    kind, payload, (wanted,) = data[:4], data[8:-4], struct.unpack("<I", data[-4:])
    checksum = zlib.crc32(payload, zlib.crc32(kind))
    if kind in KNOWN and checksum == wanted:
        return Chunk(kind, payload, damage.offset), f"length of chunk {name(kind)}"
    for other in KNOWN:
        if zlib.crc32(payload, zlib.crc32(other)) == wanted:
            return Chunk(other, payload, damage.offset), f"type of chunk {name(other)}"
    if kind not in KNOWN or struct.unpack("<I", data[4:8])[0] != length:
        return None
    syndrome = checksum ^ wanted
    if sum(byte > 0 for byte in struct.pack("<I", syndrome)) == 1 and length <= MAX_BIT_REPAIR:
        return Chunk(kind, payload, damage.offset), f"checksum of chunk {name(kind)}"
    found = _single_byte_errors(syndrome, length + 4) if length <= MAX_BIT_REPAIR else []
    if len(found) != 1 or found[0][0] < 4:  # wrong types are handled above
        return None
    place, error = found[0][0] - 4, found[0][1]
    fixed = payload[:place] + bytes([payload[place] ^ error]) + payload[place + 1 :]
    return Chunk(kind, fixed, damage.offset), f"byte {damage.offset + 8 + place}"


def split_chunks(damage: Damage) -> list[Chunk]:
    """The chunks in the bytes of a chunk whose length is too large, and by chance ends where a later chunk begins.

    Args:
        damage: the bytes that the chunk declares.

    Returns:
        the chunks, which fill the bytes: the damaged one with its right length and valid ones; empty if there are none.
    """
    data, kind = damage.data, damage.data[:4]
    if kind not in KNOWN:
        return []
    done, checksum = 8, zlib.crc32(kind)
    for candidate in CANDIDATE.finditer(data, CHUNK_OVERHEAD):
        end = candidate.start() - 4
        if end < done:
            continue
        done, checksum = end, zlib.crc32(data[done:end], checksum)
        if checksum == struct.unpack_from("<I", data, end)[0]:  # by chance, once in 2^32; so the first one decides
            rest = _valid_chunks(data, end + 4, damage.offset)
            return [Chunk(kind, data[8:end], damage.offset), *rest] if rest else []
    return []


def _valid_chunks(data: bytes, place: int, offset: int) -> list[Chunk]:
    """The valid chunks from a place on, if they fill the bytes; else none."""
    out = []
    while place < len(data):
        if len(data) - place < CHUNK_OVERHEAD:
            return []
        kind, length = struct.unpack_from("<4sI", data, place)
        end = place + 8 + length
        if kind not in KNOWN or end + 4 > len(data):
            return []
        if zlib.crc32(data[place + 8 : end], zlib.crc32(kind)) != struct.unpack_from("<I", data, end)[0]:
            return []
        out.append(Chunk(kind, data[place + 8 : end], offset + place))
        place = end + 4
    return out


def _single_byte_errors(syndrome: int, count: int) -> list[tuple[int, int]]:
    """Return (position, XOR mask) of each single-byte error in `count` bytes that has this syndrome."""
    table, indices = _tables()
    # Step back in `lanes` segments at once, because numpy is fast for wide arrays and slow for long loops.
    lanes = max(int(count**0.5), 1)
    steps = -(-count // lanes)
    states = _lane_states(syndrome, lanes, steps)
    found: list[tuple[int, int]] = []
    for step in range(steps):
        byte = indices[states >> np.uint32(24)]
        rest = states ^ table[byte]
        for lane in np.flatnonzero(rest == 0).tolist():
            place, error = count - 1 - (lane * steps + step), int(byte[lane])
            if place >= 0 and (count <= MAX_BYTE_REPAIR or error.bit_count() == 1):
                found.append((place, error))
        states = (rest << np.uint32(8)) | byte
    return found


def _lane_states(syndrome: int, lanes: int, steps: int) -> Words:
    """Return the syndrome stepped back by 0, `steps`, 2 × `steps`, … bytes, (lanes,)."""
    table, indices = _tables()
    powers = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(steps):
        byte = indices[powers >> np.uint32(24)]
        powers = ((powers ^ table[byte]) << np.uint32(8)) | byte
    out, bits = [syndrome], powers.tolist()
    for _ in range(lanes - 1):
        state = 0
        for number, power in enumerate(bits):
            if out[-1] >> number & 1:
                state ^= power
        out.append(state)
    return np.array(out, np.uint32)


@lru_cache(maxsize=1)
def _tables() -> tuple[Words, Words]:
    """Return the CRC-32 table, and the index of the entry with a given highest byte."""
    entries = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        entries = np.where(entries & 1, (entries >> np.uint32(1)) ^ np.uint32(0xEDB88320), entries >> np.uint32(1))
    indices = np.zeros(256, np.uint32)
    indices[entries >> np.uint32(24)] = np.arange(256, dtype=np.uint32)
    return entries, indices
