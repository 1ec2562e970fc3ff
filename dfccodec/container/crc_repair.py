"""Putting a damaged chunk right by its checksum: a wrong length or type, one wrong byte or bit (SPEC.md 10.5).

CRC-32 is linear: the exclusive or of the checksum there is and the one there should be depends on the error alone, not
on the payload. An error of one byte, d bytes before the end, gives the table's entry of that byte, moved on by d zero
bytes; so moving back the difference that was found, byte by byte, comes by an entry of the table where the error is.

Any other error looks like one of one byte by chance, once in 2^32 / 255 n of n bytes. Sizes are limited so that this
stays rare, and whatever is mended still has to obey every rule of its record.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.container.chunks import FRAME_BYTES, KNOWN, Chunk, Damage, name
from dfccodec.limits import MAX_CHUNK

Words = npt.NDArray[np.uint32]

MAX_BYTE, MAX_BIT = 1 << 16, 1 << 22
"""Bytes of a chunk in which one wrong byte, one wrong bit is looked for: other damage passes for it once in 256, in 128
chunks of that size, less often in smaller ones."""


def repair_chunk(damage: Damage) -> tuple[Chunk, str] | None:
    """The chunk that a stretch of bad bytes was, and what was wrong; None where that cannot be told.

    Args:
        damage: from one good chunk to the next, with its bytes.
    """
    data, length = damage.data, len(damage.data) - FRAME_BYTES
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
    difference = checksum ^ wanted
    if sum(byte > 0 for byte in struct.pack("<I", difference)) == 1 and length <= MAX_BIT:
        return Chunk(kind, payload, damage.offset), f"checksum of chunk {name(kind)}"
    found = _single_byte_errors(difference, length + 4) if length <= MAX_BIT else []
    if len(found) != 1 or found[0][0] < 4:  # a wrong type would have been found above
        return None
    place, error = found[0][0] - 4, found[0][1]
    fixed = payload[:place] + bytes([payload[place] ^ error]) + payload[place + 1 :]
    return Chunk(kind, fixed, damage.offset), f"byte {damage.offset + 8 + place}"


def _single_byte_errors(difference: int, count: int) -> list[tuple[int, int]]:
    """(place, what is to be flipped there) of every single error in `count` bytes that changes their CRC-32 so."""
    table, places = _tables()
    # The way back in `lanes` stretches at once: numpy is quick in width, not in length.
    lanes = max(int(count**0.5), 1)
    steps = -(-count // lanes)
    states = _starts(difference, lanes, steps)
    found: list[tuple[int, int]] = []
    for step in range(steps):
        byte = places[states >> np.uint32(24)]
        rest = states ^ table[byte]
        for lane in np.flatnonzero(rest == 0).tolist():
            place, error = count - 1 - (lane * steps + step), int(byte[lane])
            if place >= 0 and (count <= MAX_BYTE or error.bit_count() == 1):
                found.append((place, error))
        states = (rest << np.uint32(8)) | byte
    return found


def _starts(difference: int, lanes: int, steps: int) -> Words:
    """The difference moved back by 0, `steps`, 2 × `steps`, … bytes."""
    table, places = _tables()
    powers = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(steps):
        byte = places[powers >> np.uint32(24)]
        powers = ((powers ^ table[byte]) << np.uint32(8)) | byte
    out, bits = [difference], powers.tolist()
    for _ in range(lanes - 1):
        state = 0
        for number, power in enumerate(bits):
            if out[-1] >> number & 1:
                state ^= power
        out.append(state)
    return np.array(out, np.uint32)


@lru_cache(maxsize=1)
def _tables() -> tuple[Words, Words]:
    """The table of CRC-32, and which of its entries has a given highest byte."""
    entries = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        entries = np.where(entries & 1, (entries >> np.uint32(1)) ^ np.uint32(0xEDB88320), entries >> np.uint32(1))
    places = np.zeros(256, np.uint32)
    places[entries >> np.uint32(24)] = np.arange(256, dtype=np.uint32)
    return entries, places
