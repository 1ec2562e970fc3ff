"""Complete files: written, read, and read after damage."""

from __future__ import annotations

import dataclasses
import io
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dfccodec.container.chunks import KNOWN, SIGNATURE, Chunk, Damage, pack_chunk
from dfccodec.container.reader import ClipAt, IndexAt, StreamReader
from dfccodec.container.records import Clip, Header, ModelId, Ratio
from dfccodec.container.writer import Writer
from dfccodec.edit.verify import verify
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.entropy.zstd_coding import encode_zstd
from dfccodec.errors import DamagedError, DfcError, UnsupportedError


def written(count: int, frames: int = 4) -> bytes:
    """A file of `count` clips. Frame i of clip i is kept."""
    out = io.BytesIO()
    header = Header(48, 32, Ratio(25, 1), Ratio(1, 25), channels=3)
    writer = Writer(out, header, ModelId("m", bytes(32)), np.ones(3, np.float32), [("encoder", "t")], [("title", "x")])
    for i in range(count):
        values = np.random.default_rng(i).integers(-300, 300, (1, 1, 2, 3, 3), np.int16)
        data, planes = encode_zstd(values)
        kept = np.arange(frames) == i % frames
        importance = np.full(frames, i, np.uint8)
        writer.write_clip(Clip(i * frames, kept, importance, 20, i * frames, (1,), data, planes), values)
    writer.finish()
    return out.getvalue()


FILE = written(5)


def clip_places(data: bytes) -> list[tuple[int, int]]:
    return [(i.offset, i.offset + i.size) for i in StreamReader(io.BytesIO(data)) if isinstance(i, ClipAt)]


def test_written_files_are_valid() -> None:
    verdict = verify(io.BytesIO(FILE))
    assert verdict.faults == []
    assert (verdict.clips, verdict.frames, verdict.kept) == (5, 20, 5)
    index = next(i for i in StreamReader(io.BytesIO(FILE)) if isinstance(i, IndexAt))
    assert FILE[index.offset : index.offset + 4] == b"indx"
    assert [(c.offset, c.offset + c.size) for c in index.index.clips] == clip_places(FILE)


STARTS = {0, len(FILE)} | {m.start() for kind in KNOWN for m in re.finditer(kind, FILE)}


@given(st.sets(st.integers(0, 4), max_size=5), st.data())
def test_all_undamaged_clips_are_read(bad: set[int], draw: st.DataObject) -> None:
    data = bytearray(FILE)
    places = clip_places(FILE)
    for number in bad:
        start, end = places[number]
        data[draw.draw(st.integers(start, end - 1))] ^= draw.draw(st.integers(1, 255))
        # a length that leads to a later chunk loses the chunks between: see test_chunks.py
        claimed = start + 12 + int.from_bytes(data[start + 4 : start + 8], "little")
        assume(claimed == end or claimed not in STARTS)
    reader = StreamReader(io.BytesIO(bytes(data)))
    items = list(reader)
    found = [i.clip for i in items if isinstance(i, ClipAt)]
    assert [clip.first_frame // 4 for clip in found] == [i for i in range(5) if i not in bad]
    for clip in found:
        right = np.random.default_rng(clip.first_frame // 4).integers(-300, 300, (1, 1, 2, 3, 3), np.int16)
        np.testing.assert_array_equal(decode_latents(clip, reader.preamble.header), right)
    assert any(isinstance(i, Damage) for i in items) == bool(bad)
    assert any(isinstance(i, IndexAt) for i in items)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.integers(0, len(FILE) - 1), st.binary(max_size=12)), min_size=1, max_size=4), st.booleans()
)
def test_any_mutation_gives_faults_or_a_dfc_error(edits: list[tuple[int, bytes]], insert: bool) -> None:
    data = FILE
    for place, patch in edits:
        data = data[:place] + patch + data[place + (0 if insert else len(patch)) :]
    try:
        verdict = verify(io.BytesIO(data))
    except DfcError:
        assert data != FILE
    else:
        assert bool(verdict.faults) == (data != FILE)


@given(st.integers(0, len(FILE) - 1))
def test_a_truncated_file_has_a_fault_and_gives_its_complete_clips(end: int) -> None:
    places = clip_places(FILE)
    try:
        items = list(StreamReader(io.BytesIO(FILE[:end])))
    except DfcError:
        assert end < places[0][0]
        return
    assert any(isinstance(i, Damage) for i in items)
    assert sum(isinstance(i, ClipAt) for i in items) == sum(stop <= end for _, stop in places)


def test_unknown_ancillary_chunks_are_passed_on_and_critical_chunks_rejected() -> None:
    (start, _), *_ = clip_places(FILE)
    more = FILE[:start] + pack_chunk(b"abcd", b"kept") + FILE[start:]
    unknown = [i for i in StreamReader(io.BytesIO(more)) if isinstance(i, Chunk) and i.type == b"abcd"]
    assert [i.payload for i in unknown] == [b"kept"]
    with pytest.raises(UnsupportedError, match=f"critical chunk ABCD at byte {start}"):
        list(StreamReader(io.BytesIO(FILE[:start] + pack_chunk(b"ABCD", b"") + FILE[start:])))


def test_all_damage_before_the_first_clip_is_reported() -> None:
    """HEAD, MODL and STEP are valid, tool and tags are damaged."""
    data = bytearray(FILE)
    for kind in (b"tool", b"tags"):
        data[data.index(kind) + 9] ^= 1
    reasons = [i.reason for i in StreamReader(io.BytesIO(bytes(data))) if isinstance(i, Damage)]
    assert "tool" in reasons[0]
    assert any("tags" in reason for reason in reasons)


def test_the_signature_alone_is_a_missing_header() -> None:
    with pytest.raises(DamagedError, match="chunk HEAD is missing"):
        StreamReader(io.BytesIO(SIGNATURE))


@pytest.mark.parametrize(
    "change",
    [
        {"durations": (1, 2)},
        {"importance": np.zeros(3, np.uint8)},
        {"qp": 64},
        {"planes": 3},
        {"kept": np.ones(40, bool)},
    ],
)
def test_the_writer_rejects_clips_that_a_reader_rejects(change: dict[str, Any]) -> None:
    out = io.BytesIO()
    writer = Writer(out, Header(64, 48, Ratio(25, 1), Ratio(1, 25)), ModelId("m", bytes(32)), np.ones(1, np.float32))
    clip = Clip(0, np.zeros(5, bool), np.zeros(5, np.uint8), 0, 0, (1,), b"")
    with pytest.raises(DamagedError):
        writer.write_clip(dataclasses.replace(clip, **change), np.zeros((0, 1, 3, 4, 96), np.int16))
