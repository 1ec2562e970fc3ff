"""The chunk layer: signature, framing, resynchronization after damage, bounded work."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dfccodec.container import chunks
from dfccodec.container.chunks import (
    KNOWN,
    SIGNATURE,
    Chunk,
    Damage,
    LookaheadReader,
    iter_chunks,
    pack_chunk,
    read_signature,
)
from dfccodec.errors import DamagedError, NotDfcError
from dfccodec.limits import MAX_CHUNK

KINDS = st.sampled_from(KNOWN)
PAYLOADS = st.binary(max_size=200)
FILES = st.lists(st.tuples(KINDS, PAYLOADS), min_size=1, max_size=8)


class SlowPipe(io.RawIOBase):
    """A non-seekable stream that returns a few bytes per read."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._data, self._piece = io.BytesIO(data), piece

    def read(self, count: int = -1) -> bytes:
        return self._data.read(min(count, self._piece) if count >= 0 else self._piece)


def all_items(data: bytes) -> list[Chunk | Damage]:
    return list(iter_chunks(LookaheadReader(io.BytesIO(data))))


def valid_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    return [(item.type, item.payload) for item in all_items(data) if isinstance(item, Chunk)]


@given(FILES, st.integers(1, 50))
def test_chunks_round_trip_through_a_pipe(rows: list[tuple[bytes, bytes]], piece: int) -> None:
    data = b"".join(pack_chunk(*row) for row in rows)
    items = list(iter_chunks(LookaheadReader(SlowPipe(data, piece))))  # type: ignore[arg-type]
    assert [(i.type, i.payload) for i in items if isinstance(i, Chunk)] == rows
    assert [item.offset for item in items] == [sum(len(r[1]) + 12 for r in rows[:n]) for n in range(len(rows))]
    assert sum(item.size for item in items) == len(data)


def test_framing_byte_by_byte() -> None:
    assert pack_chunk(b"CLIP", b"ab") == b"CLIP\x02\0\0\0ab" + struct.pack("<I", zlib.crc32(b"CLIPab"))
    assert Chunk(b"CLIP", b"ab", 0).size == 14


@pytest.mark.parametrize(("kind", "critical"), [(b"HEAD", True), (b"head", False), (b"Zzzz", True), (b"zZZZ", False)])
def test_an_upper_case_first_letter_is_critical(kind: bytes, critical: bool) -> None:
    assert Chunk(kind, b"", 0).critical is critical


def test_a_payload_over_the_limit_is_rejected() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return MAX_CHUNK + 1

    with pytest.raises(DamagedError, match="chunk CLIP of 268435457 bytes"):
        pack_chunk(b"CLIP", Huge())


def test_read_signature_advances() -> None:
    source = LookaheadReader(io.BytesIO(SIGNATURE + b"HEAD"))
    read_signature(source)
    assert (source.offset, source.peek(0, 4)) == (8, b"HEAD")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with nothing"),
        (SIGNATURE[:7], "begins with df4446430d0a1a"),
        (b"\x89PNG\r\n\x1a\n", "begins with 89504e470d0a1a0a$"),
        (SIGNATURE.replace(b"\r\n", b"\n") + b"H", "text-mode"),
        (bytes(b & 127 for b in SIGNATURE), "text-mode"),
    ],
)
def test_other_signatures_are_rejected(data: bytes, message: str) -> None:
    with pytest.raises(NotDfcError, match=message):
        read_signature(LookaheadReader(io.BytesIO(data)))


@given(FILES, st.data())
def test_one_damaged_payload_loses_one_chunk(rows: list[tuple[bytes, bytes]], draw: st.DataObject) -> None:
    number = draw.draw(st.integers(0, len(rows) - 1))
    packed = [bytearray(pack_chunk(*row)) for row in rows]
    place = draw.draw(st.integers(8, len(packed[number]) - 1))  # payload or checksum
    packed[number][place] ^= draw.draw(st.integers(1, 255))
    data = b"".join(packed)
    items = all_items(data)
    assert [(i.type, i.payload) for i in items if isinstance(i, Chunk)] == rows[:number] + rows[number + 1 :]
    (bad,) = [item for item in items if isinstance(item, Damage)]
    assert (bad.offset, bad.size) == (sum(map(len, packed[:number])), len(packed[number]))
    assert "checksum" in bad.reason


@given(FILES, st.data())
def test_a_damaged_length_loses_one_chunk(rows: list[tuple[bytes, bytes]], draw: st.DataObject) -> None:
    """Payloads contain no chunk types here, so resynchronization can only find the next chunk.

    The next test covers a length that leads to a later chunk or the end.
    """
    rows = [(kind, payload.translate(None, delete=b"".join(KNOWN))) for kind, payload in rows]
    number = draw.draw(st.integers(0, len(rows) - 1))
    packed = [bytearray(pack_chunk(*row)) for row in rows]
    packed[number][draw.draw(st.integers(4, 7))] ^= draw.draw(st.integers(1, 255))
    claimed = int.from_bytes(packed[number][4:8], "little") + 12
    assume(all(claimed != sum(map(len, packed[number:end])) for end in range(number + 1, len(packed) + 1)))
    assert valid_chunks(b"".join(packed)) == rows[:number] + rows[number + 1 :]


def test_a_damaged_length_that_leads_to_a_later_chunk_loses_the_chunks_between() -> None:
    """The only case in which damage to a chunk loses its neighbour (SPEC.md 10.2, step 4)."""
    packed = [bytearray(pack_chunk(b"CLIP", bytes([i]) * 10)) for i in range(4)]
    packed[1][4] = 10 + 22  # the next chunk has 22 bytes
    assert [payload[0] for _, payload in valid_chunks(b"".join(packed))] == [0, 3]


@given(FILES, st.binary(min_size=1, max_size=60), st.data())
def test_inserted_bytes_cost_no_whole_chunk(rows: list[tuple[bytes, bytes]], junk: bytes, draw: st.DataObject) -> None:
    number = draw.draw(st.integers(0, len(rows)))
    packed = [pack_chunk(*row) for row in rows]
    assert valid_chunks(b"".join([*packed[:number], junk, *packed[number:]])) == rows


@given(FILES, st.data())
def test_a_truncated_file_gives_all_complete_chunks(rows: list[tuple[bytes, bytes]], draw: st.DataObject) -> None:
    packed = [pack_chunk(*row) for row in rows]
    data = b"".join(packed)
    end = draw.draw(st.integers(0, len(data)))
    left = sum(sum(map(len, packed[: n + 1])) <= end for n in range(len(packed)))
    assert valid_chunks(data[:end])[:left] == rows[:left]


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_items_cover_all_bytes(data: bytes) -> None:
    items = all_items(data)
    assert sum(item.size for item in items) == len(data)
    assert [item.offset for item in items] == [sum(i.size for i in items[:n]) for n in range(len(items))]


@given(st.binary(min_size=4, max_size=4).filter(lambda kind: not kind.isalpha()))
def test_a_type_of_other_bytes_is_damaged(kind: bytes) -> None:
    body = kind + b"\0\0\0\0"
    (item,) = all_items(body + struct.pack("<I", zlib.crc32(kind)))
    assert isinstance(item, Damage)
    assert "invalid chunk type" in item.reason


def test_unknown_types_are_read_but_not_used_for_resynchronization() -> None:
    good = pack_chunk(b"zzzz", b"x")
    assert valid_chunks(good) == [(b"zzzz", b"x")]
    assert valid_chunks(b"\0" + good + pack_chunk(b"CLIP", b"")) == [(b"CLIP", b"")]


def test_a_false_length_allocates_no_more_than_the_file_holds() -> None:
    class Counting(io.BytesIO):
        most = 0

        def read(self, count: int | None = -1) -> bytes:
            Counting.most = max(Counting.most, count or 0)
            return super().read(count)

    (item,) = iter_chunks(LookaheadReader(Counting(b"CLIP" + struct.pack("<I", MAX_CHUNK) + bytes(100))))
    assert isinstance(item, Damage)
    assert Counting.most <= 1 << 20


def test_resynchronization_stops_at_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """False headers with a wrong checksum use up the budget; with a larger budget, the last chunk is found."""
    false = b"CLIP" + struct.pack("<I", 50) + bytes(54)
    end = pack_chunk(b"CLIP", b"last")
    data = b"\0" + false * 20 + end
    assert valid_chunks(data) == [(b"CLIP", b"last")]
    monkeypatch.setattr(chunks, "RESYNC_BUDGET", 400)
    items = all_items(data)
    assert [type(item) for item in items] == [Damage]
    assert items[0].size == len(data)


def test_false_headers_cost_time_linear_in_their_number() -> None:
    """Eight times the bytes may take sixteen times as long, not sixty-four times."""

    def cost(count: int) -> float:
        data = struct.pack("<4sI", b"CLIP", MAX_CHUNK - 1) * count
        start = time.process_time()
        assert all(isinstance(item, Damage) for item in all_items(data))
        return time.process_time() - start

    cost(1000)
    small = min(cost(4000) for _ in range(3))
    assert cost(32000) < 16 * small + 0.05


def test_a_chunk_after_a_long_run_of_damage_is_found() -> None:
    """The type crosses the end of the search buffer of 1 MiB at all alignments."""
    noise = random.Random(1).randbytes(1 << 20).replace(b"C", b"c").replace(b"H", b"h")
    for shift in range(-6, 6):
        junk = b"\0" + noise[: (1 << 20) + shift]
        junk += b"\0" * ((1 << 20) + shift + 1 - len(junk))
        assert valid_chunks(junk + pack_chunk(b"CLIP", b"far"))[-1:] == [(b"CLIP", b"far")]
