"""Truncation and bit flips: only `DfcError`, bounded time and memory, and intact clips are decoded."""

from __future__ import annotations

import dataclasses
import io
import time
import tracemalloc

import numpy as np
import pytest
from support import moving_square

import dfccodec as dfc
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.chunks import pack_chunk
from dfccodec.container.pack import pack_clip
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.scan import scan
from dfccodec.errors import DfcError


@pytest.fixture
def intact(flat: LoadedModel) -> bytes:
    """Return a file of three clips, under 3 kB. zstd decodes clips of this size ten times as fast as rANS."""
    return encode_bytes("zstd", flat)


def encode_bytes(coding: str, flat: LoadedModel) -> bytes:
    out = io.BytesIO()
    # Motion uses rANS, which is too slow for ten thousand files; test_motion_payload.py covers its damage.
    dfc.encode(moving_square(70, 16, 32), out, budget="4", model=flat, coding=coding, fill="token")
    return out.getvalue()


def count_decodable_frames(data: bytes, flat: LoadedModel) -> int:
    """Read a file with every reader; return the number of frames that are decoded with concealment."""
    frames = 0
    try:
        scan(io.BytesIO(data))
        dfc.verify(io.BytesIO(data))
        frames = sum(1 for _ in Decoder(io.BytesIO(data), lambda _: flat, conceal=True))
        list(Decoder(io.BytesIO(data), lambda _: flat))
    except DfcError as error:
        assert "\n" not in str(error)
    return frames


def test_truncation_at_every_byte_raises_a_dfc_error(intact: bytes, flat: LoadedModel) -> None:
    for length in range(len(intact)):
        data = intact[:length]
        with pytest.raises(DfcError):
            list(Decoder(io.BytesIO(data), lambda _: flat))
    last = [i for i in StreamReader(io.BytesIO(intact)) if isinstance(i, ClipAt)][-1]
    assert count_decodable_frames(intact[: last.offset + 5], flat) == 64


# Split, so that test workers can share the load.
@pytest.mark.parametrize(("coding", "tries", "seed"), [*(("zstd", 1000, n) for n in range(10)), ("range", 200, 256)])
def test_ten_thousand_bit_flips_are_bounded_in_time_and_memory(
    coding: str, tries: int, seed: int, flat: LoadedModel
) -> None:
    intact = encode_bytes(coding, flat)
    rng = np.random.default_rng(seed)
    count_decodable_frames(intact, flat)
    slowest, peak = 0.0, 0  # CPU time, so that other processes do not count
    for number in range(tries):
        data = bytearray(intact)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        trace = number % 10 == 0  # tracing is four times slower
        if trace:
            tracemalloc.start()
        start = time.process_time()
        count_decodable_frames(bytes(data), flat)
        slowest = max(slowest, time.process_time() - start)
        if trace:
            peak = max(peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert slowest < 1
    assert peak < 64 << 20


def test_single_bit_errors_are_repaired(intact: bytes, flat: LoadedModel) -> None:
    clips = [i for i in StreamReader(io.BytesIO(intact)) if isinstance(i, ClipAt)]
    original = [p.rgb for p in Decoder(io.BytesIO(intact), lambda _: flat)]
    for at in clips:
        for offset in (at.offset, at.offset + 2, at.offset + 5, at.offset + 30, at.offset + at.size - 1):
            data = bytearray(intact)
            data[offset] ^= 0x40
            decoder = Decoder(io.BytesIO(bytes(data)), lambda _: flat, conceal=True)
            assert all((p.rgb == q).all() for p, q in zip(decoder, original, strict=True))
            assert decoder.lost_frames == []
            assert [bool(d.repaired) for d in decoder.damage] == [True]
            assert decoder.damage[0].offset == at.offset


def test_damage_in_one_clip_leaves_other_clips_intact(intact: bytes, flat: LoadedModel) -> None:
    clips = [i for i in StreamReader(io.BytesIO(intact)) if isinstance(i, ClipAt)]
    original = [p.rgb for p in Decoder(io.BytesIO(intact), lambda _: flat)]
    for at in clips:
        for offset in (at.offset + 6, at.offset + 30, at.offset + at.size - 6, at.offset + at.size - 4):
            data = bytearray(intact)
            data[offset : offset + 4] = b"\xa5\x5a\xa5\x5a"
            decoder = Decoder(io.BytesIO(bytes(data)), lambda _: flat, conceal=True)
            pictures = list(decoder)
            assert len(pictures) == 70
            assert decoder.lost_frames == [(at.clip.first_frame, at.clip.frames)]
            concealed = range(at.clip.first_frame, at.clip.first_frame + at.clip.frames)
            assert all((p.rgb == original[n]).all() for n, p in enumerate(pictures) if n not in concealed)
            assert [p.pts for p in pictures] == list(range(70))


def test_garbage_between_chunks_is_skipped(intact: bytes, flat: LoadedModel) -> None:
    second = [i for i in StreamReader(io.BytesIO(intact)) if isinstance(i, ClipAt)][1]
    data = intact[: second.offset] + b"CLIPCLIP\xff\xff\xff\x0f garbage" + intact[second.offset :]
    decoder = Decoder(io.BytesIO(data), lambda _: flat, conceal=True)
    assert len(list(decoder)) == 70
    assert decoder.lost_frames == []
    assert decoder.damage[0].offset == second.offset


def test_a_false_gap_of_2_to_32_frames_is_not_concealed(intact: bytes, flat: LoadedModel) -> None:
    reader = StreamReader(io.BytesIO(intact))
    clips = [i for i in reader if isinstance(i, ClipAt)]
    distant = dataclasses.replace(clips[1].clip, first_frame=2**32 - 100)
    data = intact[: clips[1].offset] + pack_chunk(b"CLIP", pack_clip(distant)) + intact[clips[2].offset :]
    decoder = Decoder(io.BytesIO(data), lambda _: flat, conceal=True)
    assert sum(1 for _ in decoder) == 64
    assert decoder.lost_frames[0] == (32, 2**32 - 132)


def test_a_file_of_forged_chunks_is_rejected_quickly() -> None:
    out = io.BytesIO()
    from support import flat_model

    dfc.encode(moving_square(2, 16, 16), out, model=flat_model())
    forged = out.getvalue() + (b"CLIP" + (1 << 20).to_bytes(4, "little")) * 250_000
    start = time.process_time()
    assert dfc.verify(io.BytesIO(forged)).faults
    assert time.process_time() - start < 3
