"""Truncation at every byte and ten thousand flips: our errors only, no hang, no memory, and whole clips survive."""

from __future__ import annotations

import dataclasses
import io
import time
import tracemalloc

import numpy as np
import pytest
from support import moving

import dfccodec as dfc
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.chunks import pack_chunk
from dfccodec.container.pack import pack_clip
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.scan import scan
from dfccodec.errors import DfcError


@pytest.fixture
def sound(flat: LoadedModel) -> bytes:
    """Three clips, under 3 kB; coded by zstd, which reads clips this small ten times as fast."""
    return encoded("zstd", flat)


def encoded(coding: str, flat: LoadedModel) -> bytes:
    out = io.BytesIO()
    # Motion lies under the range coder, whose reader takes too long for ten thousand files; see test_motion_payload.py.
    dfc.encode(moving(70, 16, 32), out, budget="4", model=flat, coding=coding, fill="token")
    return out.getvalue()


def survivors(data: bytes, flat: LoadedModel) -> int:
    """Read a file in every way; the number of frames that decode with concealment."""
    frames = 0
    try:
        scan(io.BytesIO(data))
        dfc.verify(io.BytesIO(data))
        frames = sum(1 for _ in Decoder(io.BytesIO(data), lambda _: flat, conceal=True))
        list(Decoder(io.BytesIO(data), lambda _: flat))
    except DfcError as error:
        assert "\n" not in str(error)
    return frames


def test_truncation_at_every_byte(sound: bytes, flat: LoadedModel) -> None:
    for length in range(len(sound)):
        data = sound[:length]
        with pytest.raises(DfcError):
            list(Decoder(io.BytesIO(data), lambda _: flat))
    last = [i for i in StreamReader(io.BytesIO(sound)) if isinstance(i, ClipAt)][-1]
    assert survivors(sound[: last.offset + 5], flat) == 64


# In parts, so that workers can share them.
@pytest.mark.parametrize(("coding", "times", "seed"), [*(("zstd", 1000, n) for n in range(10)), ("range", 200, 256)])
def test_ten_thousand_flips(coding: str, times: int, seed: int, flat: LoadedModel) -> None:
    sound = encoded(coding, flat)
    rng = np.random.default_rng(seed)
    survivors(sound, flat)
    slowest, peak = 0.0, 0  # in processor time: other work on the machine is not the reader's fault
    for number in range(times):
        data = bytearray(sound)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        traced = number % 10 == 0  # tracing takes four times as long
        if traced:
            tracemalloc.start()
        begun = time.process_time()
        survivors(bytes(data), flat)
        slowest = max(slowest, time.process_time() - begun)
        if traced:
            peak = max(peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert slowest < 1
    assert peak < 64 << 20


def test_one_wrong_bit_is_put_right(sound: bytes, flat: LoadedModel) -> None:
    clips = [i for i in StreamReader(io.BytesIO(sound)) if isinstance(i, ClipAt)]
    whole = [p.rgb for p in Decoder(io.BytesIO(sound), lambda _: flat)]
    for at in clips:
        for place in (at.offset, at.offset + 2, at.offset + 5, at.offset + 30, at.offset + at.size - 1):
            data = bytearray(sound)
            data[place] ^= 0x40
            decoder = Decoder(io.BytesIO(bytes(data)), lambda _: flat, conceal=True)
            assert all((p.rgb == q).all() for p, q in zip(decoder, whole, strict=True))
            assert decoder.lost_frames == []
            assert [bool(d.repaired) for d in decoder.damage] == [True]
            assert decoder.damage[0].offset == at.offset


def test_damage_in_one_clip_leaves_the_others(sound: bytes, flat: LoadedModel) -> None:
    clips = [i for i in StreamReader(io.BytesIO(sound)) if isinstance(i, ClipAt)]
    whole = [p.rgb for p in Decoder(io.BytesIO(sound), lambda _: flat)]
    for at in clips:
        for place in (at.offset + 6, at.offset + 30, at.offset + at.size - 6, at.offset + at.size - 4):
            data = bytearray(sound)
            data[place : place + 4] = b"\xa5\x5a\xa5\x5a"
            decoder = Decoder(io.BytesIO(bytes(data)), lambda _: flat, conceal=True)
            pictures = list(decoder)
            assert len(pictures) == 70
            assert decoder.lost_frames == [(at.clip.first_frame, at.clip.frames)]
            lost = range(at.clip.first_frame, at.clip.first_frame + at.clip.frames)
            assert all((p.rgb == whole[n]).all() for n, p in enumerate(pictures) if n not in lost)
            assert [p.pts for p in pictures] == list(range(70))


def test_garbage_between_chunks_is_skipped(sound: bytes, flat: LoadedModel) -> None:
    second = [i for i in StreamReader(io.BytesIO(sound)) if isinstance(i, ClipAt)][1]
    data = sound[: second.offset] + b"CLIPCLIP\xff\xff\xff\x0f garbage" + sound[second.offset :]
    decoder = Decoder(io.BytesIO(data), lambda _: flat, conceal=True)
    assert len(list(decoder)) == 70
    assert decoder.lost_frames == []
    assert decoder.damage[0].offset == second.offset


def test_a_claim_of_four_billion_missing_frames_produces_none(sound: bytes, flat: LoadedModel) -> None:
    reader = StreamReader(io.BytesIO(sound))
    clips = [i for i in reader if isinstance(i, ClipAt)]
    far = dataclasses.replace(clips[1].clip, first_frame=2**32 - 100)
    data = sound[: clips[1].offset] + pack_chunk(b"CLIP", pack_clip(far)) + sound[clips[2].offset :]
    decoder = Decoder(io.BytesIO(data), lambda _: flat, conceal=True)
    assert sum(1 for _ in decoder) == 64
    assert decoder.lost_frames[0] == (32, 2**32 - 132)


def test_a_file_of_false_chunks_is_given_up_in_time() -> None:
    out = io.BytesIO()
    from support import flat_model

    dfc.encode(moving(2, 16, 16), out, model=flat_model())
    false = out.getvalue() + (b"CLIP" + (1 << 20).to_bytes(4, "little")) * 250_000
    begun = time.process_time()
    assert dfc.verify(io.BytesIO(false)).faults
    assert time.process_time() - begun < 3
