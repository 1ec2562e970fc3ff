"""Lost clips and false metadata: ranges, trims and error messages depend only on the clips in the file."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support import flat_model, moving_square

import dfccodec as dfc
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.chunks import (
    CLIP,
    FOOT,
    INDEX,
    TOOL,
    Chunk,
    LookaheadReader,
    iter_chunks,
    pack_chunk,
    read_signature,
)
from dfccodec.container.pack import pack_index, unpack_index
from dfccodec.container.records import Header, Index, Ratio
from dfccodec.edit.recover import recover
from dfccodec.edit.trim import trim
from dfccodec.errors import DamagedError
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.sink import VideoSink
from dfccodec.media.time_range import Span

FRAMES, CUT = 70, 32
ChunkList = list[tuple[bytes, bytes]]
"""Type and complete bytes of each chunk."""


@pytest.fixture(scope="module")
def intact() -> bytes:
    """Return a file with clips of 32, 32 and 6 frames at 25 frames/s. Each frame has a different mean."""
    ramp = np.arange(FRAMES, dtype=np.uint8)[:, None, None, None] * 3
    out = io.BytesIO()
    dfc.encode(np.broadcast_to(ramp, (FRAMES, 16, 32, 3)), out, budget="all", model=flat_model(), qp=0, fill="token")
    return out.getvalue()


def split_chunks(data: bytes) -> ChunkList:
    source = LookaheadReader(io.BytesIO(data))
    read_signature(source)
    chunks = [c for c in iter_chunks(source) if isinstance(c, Chunk)]
    return [(c.type, data[c.offset : c.offset + c.size]) for c in chunks]


def join_chunks(chunks: ChunkList) -> bytes:
    return b"\xdfDFC\r\n\x1a\n" + b"".join(data for _, data in chunks)


def remove_clip(data: bytes, number: int) -> bytes:
    """Return the file without one of its clips."""
    chunks = split_chunks(data)
    clips = [position for position, (kind, _) in enumerate(chunks) if kind == CLIP]
    return join_chunks([piece for position, piece in enumerate(chunks) if position != clips[number]])


def corrupt_clip(data: bytes, number: int) -> bytes:
    """Return the file with one clip damaged beyond repair."""
    chunks = split_chunks(data)
    position = [position for position, (kind, _) in enumerate(chunks) if kind == CLIP][number]
    corrupt = bytearray(chunks[position][1])
    for offset in range(60, len(corrupt) - 4, 7):
        corrupt[offset] ^= 0x55
    chunks[position] = CLIP, bytes(corrupt)
    return join_chunks(chunks)


def decode_concealed(data: bytes, span: Span, seek: bool = True) -> tuple[list[int], Decoder]:
    """Return the numbers of the output frames, found from their means, and the decoder."""
    stream = io.BytesIO(data)
    if not seek:
        stream.seekable = lambda: False  # type: ignore[method-assign]
    decoder = Decoder(stream, lambda _: flat_model(), conceal=True, span=span)
    return [round(float(p.rgb.mean()) / 3) for p in decoder], decoder


@pytest.mark.parametrize("damage_clip", [corrupt_clip, remove_clip])
@pytest.mark.parametrize(
    ("start", "end", "concealed"),
    [("#30", "#41", (32, 9)), ("#40", "#45", (40, 5)), ("#63", "#66", (63, 1)), ("1.2", "1.64", (32, 9))],
)
def test_a_range_over_a_lost_clip_is_concealed_and_reported(
    damage_clip: Callable[[bytes, int], bytes], start: str, end: str, concealed: tuple[int, int], intact: bytes
) -> None:
    for seek in (True, False):
        frame_numbers, decoder = decode_concealed(damage_clip(intact, 1), Span.parse(start, end), seek)
        first = int(Fraction(start) * 25) if start[0] != "#" else int(start[1:])
        last = int(Fraction(end) * 25) if end[0] != "#" else int(end[1:])
        assert len(frame_numbers) == last - first
        assert all(n in (first + i, 31, 64) for i, n in enumerate(frame_numbers))
        assert decoder.lost_frames == [concealed]
        assert decoder.damage


@pytest.mark.parametrize("damage_clip", [corrupt_clip, remove_clip])
def test_times_count_from_the_first_frame_even_if_it_is_lost(
    damage_clip: Callable[[bytes, int], bytes], intact: bytes
) -> None:
    data = damage_clip(intact, 0)
    for seek in (True, False):
        assert decode_concealed(data, Span.parse("1.6", "2.0"), seek)[0] == list(range(40, 50))
        assert decode_concealed(data, Span.parse("0.4", "0.8"), seek)[0] == [32] * 10
        assert decode_concealed(data, Span.parse(None, "0.4"), seek)[1].lost_frames == [(0, 10)]


def test_a_range_without_lost_clips_needs_no_concealment(intact: bytes) -> None:
    for seek in (True, False):
        for start, end, wanted in (("#0", "#32", (0, 32)), ("#64", "#70", (64, 70)), ("2.6", None, (65, 70))):
            stream = io.BytesIO(remove_clip(intact, 1))
            if not seek:
                stream.seekable = lambda: False  # type: ignore[method-assign]
            pictures = list(Decoder(stream, lambda _: flat_model(), span=Span.parse(start, end)))
            assert [round(float(p.rgb.mean()) / 3) for p in pictures] == list(range(*wanted))


@pytest.mark.parametrize(("start", "end"), [("#30", "#41"), ("#40", "#45"), ("1.4", "1.5"), (None, None)])
def test_missing_frames_are_an_error_without_concealment(start: str | None, end: str | None, intact: bytes) -> None:
    with pytest.raises(DamagedError, match="frames 32 to 63 are missing"):
        list(Decoder(io.BytesIO(remove_clip(intact, 1)), lambda _: flat_model(), span=Span.parse(start, end)))


def test_missing_frames_are_reported_with_concealment(intact: bytes) -> None:
    frame_numbers, decoder = decode_concealed(remove_clip(intact, 1), Span())
    assert len(frame_numbers) == FRAMES
    assert [d.reason for d in decoder.damage] == ["frames 32 to 63 are missing"]
    report = recover(io.BytesIO(remove_clip(intact, 1)), io.BytesIO())
    assert [f.reason for f in report.faults] == ["frames 32 to 63 are missing"]


@pytest.mark.parametrize("fault", ["twice", "swapped", "left out", "no index"])
def test_trim_rejects_inconsistent_clip_sequences(fault: str, intact: bytes) -> None:
    chunks = split_chunks(intact)
    clips = [position for position, (kind, _) in enumerate(chunks) if kind == CLIP]
    if fault == "twice":
        chunks.insert(clips[1], chunks[clips[1]])
    elif fault == "swapped":
        chunks[clips[0]], chunks[clips[1]] = chunks[clips[1]], chunks[clips[0]]
    elif fault == "left out":
        del chunks[clips[1]]
    else:
        chunks = [piece for piece in chunks if piece[0] != INDEX]
    with pytest.raises(DamagedError, match="run dfc verify"):
        trim(io.BytesIO(join_chunks(chunks)), io.BytesIO())


def test_a_footer_without_an_index_is_damage(intact: bytes) -> None:
    data = join_chunks([piece for piece in split_chunks(intact) if piece[0] != INDEX])
    assert [fault.reason for fault in dfc.verify(io.BytesIO(data)).faults] == ["footer without an index before it"]
    with pytest.raises(DamagedError, match="footer without an index"):
        list(Decoder(io.BytesIO(data), lambda _: flat_model()))
    assert len(decode_concealed(data, Span())[0]) == FRAMES


def test_a_false_index_is_not_trusted(intact: bytes) -> None:
    chunks = split_chunks(intact)
    position = next(position for position, (kind, _) in enumerate(chunks) if kind == INDEX)
    index = unpack_index(chunks[position][1][8:-4])
    for change in ({"first_pts": 0}, {"first_frame": 52, "frames": 18}):
        second = dataclasses.replace(index.clips[1], frames=20) if "frames" in change else index.clips[1]
        entries = (index.clips[0], second, dataclasses.replace(index.clips[2], **change))
        chunks[position] = INDEX, pack_chunk(INDEX, pack_index(Index(entries, index.latent_hash)))
        stream = io.BytesIO(join_chunks(chunks))
        for start, wanted in (("0.2", 5), ("#55", 55), ("2.4", 60)):
            stream.seek(0)
            decoder = Decoder(stream, lambda _: flat_model(), span=Span.parse(start, None))
            assert [round(float(p.rgb.mean()) / 3) for p in decoder] == list(range(wanted, FRAMES))


def test_a_header_that_does_not_match_the_model_is_damage(intact: bytes, flat: LoadedModel) -> None:
    out = io.BytesIO()
    dfc.encode(moving_square(3, 16, 16), out, model=flat, fill="token")
    other = dataclasses.replace(flat, model=_OtherModel())
    with pytest.raises(DamagedError, match="channels in patches of"):
        Decoder(io.BytesIO(out.getvalue()), lambda _: other)


class _OtherModel:
    channels, patch, max_frames = 7, 16, 32


def test_a_duplicate_tool_chunk_loses_no_frames(intact: bytes) -> None:
    chunks = split_chunks(intact)
    position = next(position for position, (kind, _) in enumerate(chunks) if kind == TOOL)
    chunks.insert(position, chunks[position])
    data = join_chunks(chunks)
    assert [fault.reason for fault in dfc.verify(io.BytesIO(data)).faults][:1] == ["duplicate chunk tool"]
    assert len(decode_concealed(data, Span())[0]) == FRAMES
    assert recover(io.BytesIO(data), io.BytesIO()).frames == FRAMES
    assert chunks[-1][0] == FOOT


@pytest.mark.parametrize("rate", [Ratio(4294967295, 1), Ratio(1, 4294967295)])
def test_extreme_frame_rates_can_be_written(rate: Ratio, tmp_path: Path) -> None:
    with VideoSink(tmp_path / "a.mp4", Header(32, 16, rate, Ratio(1, 25))) as sink:
        for number in range(3):
            sink.write(np.zeros((16, 32, 3), np.uint8), number, 1)
    with VideoSource(tmp_path / "a.mp4") as source:
        assert len(list(source)) == 3
