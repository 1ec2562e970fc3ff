"""Kept frames from damaged clips: which frames are used, and how they are reported."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import flat_model, moving_square

import dfccodec as dfc
from dfccodec.codec.damage.partial_decode import decode_partial_clips
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.pack import unpack_clip
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Coding
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.errors import DamagedError
from dfccodec.media.picture import Picture

NOISE = np.random.default_rng(256).integers(0, 256, (70, 64, 96, 3), np.uint8)
FRAMES = (moving_square(70, 64, 96).astype(np.int32) * 3 + NOISE >> 2).astype(np.uint8)


def encode_bytes(coding: str = "range", fill: str = "motion") -> bytes:
    out = io.BytesIO()
    dfc.encode(FRAMES, out, model=flat_model(), budget="8", coding=coding, fill=fill, qp=0, effort="fast")
    return out.getvalue()


INTACT = encode_bytes()
READER = StreamReader(io.BytesIO(INTACT))
CLIPS = [i for i in READER if isinstance(i, ClipAt)]
HEADER = READER.preamble.header
ORIGINAL = list(Decoder(io.BytesIO(INTACT), lambda _: flat_model()))


def payload_offsets(at: ClipAt) -> tuple[int, int, int]:
    """Return the file offsets of fill payload, latents and checksum of a clip."""
    end = at.offset + at.size - 4
    latents = end - len(at.clip.latents)
    return latents - len(at.clip.fill_payload), latents, end


def overwrite(at: ClipAt, start: int, size: int, pattern: bytes = b"\0") -> bytes:
    """Return the file with `size` bytes replaced by a repeated pattern."""
    return INTACT[:start] + (pattern * size)[:size] + INTACT[start + size :]


def decode_concealed(data: bytes) -> tuple[list[Picture], Decoder]:
    decoder = Decoder(io.BytesIO(data), lambda _: flat_model(), conceal=True)
    pictures = list(decoder)
    assert [p.pts for p in pictures] == list(range(70))
    return pictures, decoder


def intact_frames(decoder: Decoder) -> set[int]:
    """Return the numbers of the frames that are not reported as concealed."""
    return set(range(70)) - {n for first, count in decoder.lost_frames for n in range(first, first + count)}


@pytest.mark.parametrize("pattern", [b"\0", b"\xa5\x5a\x33"])
def test_damaged_motion_leaves_every_kept_frame_intact(pattern: bytes) -> None:
    at = CLIPS[1]
    fill, latents, _ = payload_offsets(at)
    assert latents - fill > 12
    pictures, decoder = decode_concealed(overwrite(at, fill, 12, pattern))
    kept = {at.clip.first_frame + int(n) for n in np.flatnonzero(at.clip.kept)}
    assert intact_frames(decoder) == set(range(70)) - (set(range(32, 64)) - kept)
    for number in kept | set(range(32)) | set(range(64, 70)):
        assert (pictures[number].rgb == ORIGINAL[number].rgb).all()
    source = 31
    for number in range(32, 64):  # the other frames repeat the last intact frame
        source = number if number in kept else source
        assert (pictures[number].rgb == pictures[source].rgb).all()


@settings(max_examples=25)
@given(data=st.data())
def test_frames_decoded_before_overwritten_bytes_are_correct(data: st.DataObject) -> None:
    """rANS words are read from the last to the first: frames decoded before the overwritten bytes are correct."""
    at = CLIPS[1]
    _, latents, end = payload_offsets(at)
    size = data.draw(st.integers(20, (end - latents) // 2))
    offset = data.draw(st.integers(latents, end - size))
    values = decode_latents(at.clip, HEADER)
    for _, decoded in decode_partial_clips(overwrite(at, offset, size)[at.offset : at.offset + at.size], HEADER):
        assert (decoded == values[: len(decoded)]).all()
        assert offset > latents or len(decoded) < len(values)


def flip_bits(at: ClipAt, bits: int, first: int, end: int, tries: int) -> Iterator[bytes]:
    """Yield the chunk of a clip with `bits` random bits flipped in bytes `first` to `end` of the file."""
    rng = np.random.default_rng(bits)
    for _ in range(tries):
        chunk = bytearray(INTACT[at.offset : at.offset + at.size])
        for bit in rng.choice((end - first) * 8, bits, replace=False).tolist():
            chunk[first - at.offset + bit // 8] ^= 1 << bit % 8
        yield bytes(chunk)


def decodes_to_other_integers(chunk: bytes, at: ClipAt) -> bool:
    """Return whether the damaged latents end in the correct rANS state, but with other integers."""
    try:
        return not np.array_equal(
            decode_latents(unpack_clip(chunk[8:-4], HEADER), HEADER), decode_latents(at.clip, HEADER)
        )
    except DamagedError:
        return False


@pytest.mark.parametrize("bits", [1, 2])
def test_latents_with_damage_and_a_correct_final_state_are_unused(bits: int) -> None:
    """Some flips of bypass-coded bits leave the final state correct, so the final state does not prove the latents."""
    at = CLIPS[1]
    _, latents, end = payload_offsets(at)
    undetected = 0
    for chunk in flip_bits(at, bits, latents, end, 300 if bits == 1 else 100):
        undetected += decodes_to_other_integers(chunk, at)
        assert list(decode_partial_clips(chunk, HEADER)) == []
    assert undetected or bits > 1


def test_frames_from_damaged_clips_are_reported_as_probable() -> None:
    at = CLIPS[1]
    fill, _, _ = payload_offsets(at)
    _, decoder = decode_concealed(overwrite(at, fill, 12))
    kept = {at.clip.first_frame + int(n) for n in np.flatnonzero(at.clip.kept)}
    assert {n for first, count in decoder.salvaged for n in range(first, first + count)} == kept
    assert not kept & {n for first, count in decoder.lost_frames for n in range(first, first + count)}


def test_inter_coding_decodes_frames_before_overwritten_bytes(mini: LoadedModel) -> None:
    """Motion vectors are interleaved with the latents and must be decoded with them."""
    out = io.BytesIO()
    dfc.encode(FRAMES[:32], out, model=mini, budget="8", fill="token", refine=0, qp=16)
    reader = StreamReader(io.BytesIO(out.getvalue()))
    (at,) = (item for item in reader if isinstance(item, ClipAt))
    assert at.clip.coding == Coding.INTER
    header, original = reader.preamble.header, decode_latents(at.clip, reader.preamble.header)
    end = at.offset + at.size - 4
    counts = []
    for share in (0.3, 0.6, 0.8):
        offset = end - int(len(at.clip.latents) * share)
        data = out.getvalue()[:offset] + bytes(64) + out.getvalue()[offset + 64 :]
        decoded = [values for _, values in decode_partial_clips(data[at.offset : at.offset + at.size], header)]
        assert all((values == original[: len(values)]).all() for values in decoded)
        counts.append(sum(map(len, decoded)))
    assert counts == sorted(counts)
    assert 0 < counts[-1] < len(original)


def test_number_of_frames_lost_by_overwritten_bytes() -> None:
    at = CLIPS[1]
    _, latents, end = payload_offsets(at)
    counts = []
    for share in (0.0, 0.3, 0.6, 0.95):
        offset = latents + int((end - latents - 24) * share)
        decoded = list(decode_partial_clips(overwrite(at, offset, 24)[at.offset : at.offset + at.size], HEADER))
        counts.append(len(decoded[0][1]) if decoded else 0)
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 7  # these words are read last, so only the last frame is lost
    assert counts[-1] == 0
    pictures, decoder = decode_concealed(overwrite(at, latents, 24))
    kept = [32 + int(n) for n in np.flatnonzero(at.clip.kept)][:7]
    assert all((pictures[n].rgb == ORIGINAL[n].rgb).all() for n in kept)
    assert set(kept) <= intact_frames(decoder)
    assert len(intact_frames(decoder)) == 38 + 7


@pytest.mark.parametrize("pattern", [b"\xa5\x5a\x33", b"\x01\x80\x7f\x10\xfe"])
def test_latents_overwritten_with_noise_are_never_output(pattern: bytes) -> None:
    at = CLIPS[1]
    _, latents, end = payload_offsets(at)
    for offset in range(latents, end - 40, (end - latents) // 7):
        _, decoder = decode_concealed(overwrite(at, offset, 40, pattern))
        assert decoder.lost_frames == [(32, 32)]


def test_damaged_zstd_latents_are_not_used() -> None:
    intact = encode_bytes("zstd", "token")
    at = [i for i in StreamReader(io.BytesIO(intact)) if isinstance(i, ClipAt)][1]
    damaged = intact[: at.offset + 12] + b"\x7f" * 8 + intact[at.offset + 20 :]
    assert list(decode_partial_clips(damaged[at.offset : at.offset + at.size], HEADER)) == []


def test_a_clip_with_a_false_first_frame_is_not_used() -> None:
    at = CLIPS[1]
    damaged = bytearray(INTACT)
    damaged[at.offset + 8 : at.offset + 12] = (40).to_bytes(4, "little")
    damaged[at.offset + 20 : at.offset + 22] = b"\x01\x02"  # two damaged places, so that CRC repair cannot correct them
    _, decoder = decode_concealed(bytes(damaged))
    assert decoder.lost_frames == [(32, 32)]


@settings(max_examples=60)
@given(data=st.data())
def test_partial_clips_of_any_bytes_are_within_limits(data: st.DataObject) -> None:
    at = CLIPS[2]
    damaged = bytearray(INTACT[at.offset : at.offset + at.size])
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(8, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for clip, values in decode_partial_clips(bytes(damaged), HEADER):
        assert values.shape[1:] == (1, 4, 6, 3)
        assert 1 <= len(values) <= int(clip.kept.sum())
