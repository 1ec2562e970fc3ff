"""Repair of chunks with their checksum, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfccodec.container.chunks import KNOWN, Chunk, Damage, pack_chunk
from dfccodec.container.crc_repair import MAX_BIT_REPAIR, MAX_BYTE_REPAIR, repair_chunk, split_chunks


def repaired(data: bytes, offset: int = 100) -> Chunk | None:
    found = repair_chunk(Damage(offset, len(data), "", data=data))
    return found[0] if found else None


def noise(size: int, seed: int = 256) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()


@given(st.sampled_from(KNOWN), st.binary(max_size=300), st.data())
def test_any_single_byte_error_is_repaired(kind: bytes, payload: bytes, data: st.DataObject) -> None:
    good = pack_chunk(kind, payload)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= data.draw(st.integers(1, 255))
    found = repair_chunk(Damage(1000, len(bad), "", data=bytes(bad)))
    assert found is not None
    assert found[0] == Chunk(kind, payload, 1000)
    if 8 <= place < len(good) - 4:
        assert found[1] == f"byte {1000 + place}"
    else:
        assert found[1].split()[0] == ("type" if place < 4 else "length" if place < 8 else "checksum")


@given(st.lists(st.tuples(st.sampled_from(KNOWN), st.binary(max_size=60)), min_size=2, max_size=4), st.data())
def test_a_length_that_ends_with_a_later_chunk_is_repaired(
    chunks: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    good = b"".join(pack_chunk(*chunk) for chunk in chunks)
    bad = good[:4] + (len(good) - 12).to_bytes(4, "little") + good[8:]
    found = split_chunks(Damage(50, len(bad), "", data=bad))
    assert [(chunk.type, chunk.payload) for chunk in found] == chunks
    assert [chunk.offset for chunk in found][:2] == [50, 50 + 12 + len(chunks[0][1])]
    place = data.draw(st.integers(8, len(bad) - 1))
    worse = bytearray(bad)
    worse[place] ^= data.draw(st.integers(1, 255))
    assert split_chunks(Damage(50, len(worse), "", data=bytes(worse))) == []


@given(st.binary(max_size=200))
def test_repairs_change_at_most_one_byte(data: bytes) -> None:
    found = repaired(data)
    if found is not None:
        again = pack_chunk(found.type, found.payload)
        assert len(again) == len(data)
        assert sum(a != b for a, b in zip(again[8:], data[8:], strict=True)) <= 1


@pytest.mark.parametrize(("size", "error", "known"), [
    (MAX_BYTE_REPAIR - 4, 0x5A, True), (MAX_BYTE_REPAIR + 1, 0x5A, False), (MAX_BYTE_REPAIR + 1, 0x10, True),
    (MAX_BIT_REPAIR, 1, True), (MAX_BIT_REPAIR + 1, 1, False),
])  # fmt: skip
def test_large_chunks_are_repaired_less(size: int, error: int, known: bool) -> None:
    payload = noise(size)
    for place in (8, size // 3, size + 7):
        bad = bytearray(pack_chunk(b"CLIP", payload))
        bad[place] ^= error
        assert repaired(bytes(bad)) == (Chunk(b"CLIP", payload, 100) if known else None)


def test_larger_damage_is_rarely_taken_for_one_byte() -> None:
    rng = np.random.default_rng(256)
    payload, wrong = noise(2000), 0
    for _ in range(2000):
        bad = bytearray(pack_chunk(b"CLIP", payload))
        place = rng.integers(8, 2000)
        bad[place : place + 8] = rng.integers(0, 256, 8, np.uint8).tobytes()
        wrong += repaired(bytes(bad)) is not None
    assert wrong <= 3  # 2000 × 255 × 2004 / 2^32 is 0.24
