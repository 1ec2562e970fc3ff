"""Kept frames out of damaged clips: which frames are used, and how they are reported."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import flat_model, moving

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
FRAMES = (moving(70, 64, 96).astype(np.int32) * 3 + NOISE >> 2).astype(np.uint8)


def encoded(coding: str = "range", fill: str = "motion") -> bytes:
    out = io.BytesIO()
    dfc.encode(FRAMES, out, model=flat_model(), budget="8", coding=coding, fill=fill, qp=0, effort="fast")
    return out.getvalue()


SOUND = encoded()
READER = StreamReader(io.BytesIO(SOUND))
CLIPS = [i for i in READER if isinstance(i, ClipAt)]
HEADER = READER.preamble.header
WHOLE = list(Decoder(io.BytesIO(SOUND), lambda _: flat_model()))


def parts(at: ClipAt) -> tuple[int, int, int]:
    """Where fill payload, latents and checksum of a clip begin in the file."""
    end = at.offset + at.size - 4
    latents = end - len(at.clip.latents)
    return latents - len(at.clip.fill_payload), latents, end


def ruined(at: ClipAt, start: int, size: int, what: bytes = b"\0") -> bytes:
    return SOUND[:start] + (what * size)[:size] + SOUND[start + size :]


def concealed(data: bytes) -> tuple[list[Picture], Decoder]:
    decoder = Decoder(io.BytesIO(data), lambda _: flat_model(), conceal=True)
    pictures = list(decoder)
    assert [p.pts for p in pictures] == list(range(70))
    return pictures, decoder


def shown(decoder: Decoder) -> set[int]:
    """Numbers of the frames that are not reported as repeated."""
    return set(range(70)) - {n for first, count in decoder.lost_frames for n in range(first, first + count)}


@pytest.mark.parametrize("what", [b"\0", b"\xa5\x5a\x33"])
def test_damage_in_the_motion_leaves_every_kept_frame(what: bytes) -> None:
    at = CLIPS[1]
    fill, latents, _ = parts(at)
    assert latents - fill > 12
    pictures, decoder = concealed(ruined(at, fill, 12, what))
    kept = {at.clip.first_frame + int(n) for n in np.flatnonzero(at.clip.kept)}
    assert shown(decoder) == set(range(70)) - (set(range(32, 64)) - kept)
    for number in kept | set(range(32)) | set(range(64, 70)):
        assert (pictures[number].rgb == WHOLE[number].rgb).all()
    held = 31
    for number in range(32, 64):  # the others repeat the last good one
        held = number if number in kept else held
        assert (pictures[number].rgb == pictures[held].rgb).all()


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_hole_leaves_the_frames_behind_it(data: st.DataObject) -> None:
    """Words are read from the last, so the first kept frames are those behind the hole; none of them is wrong."""
    at = CLIPS[1]
    _, latents, end = parts(at)
    size = data.draw(st.integers(20, (end - latents) // 2))
    place = data.draw(st.integers(latents, end - size))
    values = decode_latents(at.clip, HEADER)
    for _, found in decode_partial_clips(ruined(at, place, size)[at.offset : at.offset + at.size], HEADER):
        assert (found == values[: len(found)]).all()
        assert place > latents or len(found) < len(values)


def flipped(at: ClipAt, bits: int, first: int, past: int, tries: int) -> Iterator[bytes]:
    """The chunk of a clip with `bits` bits flipped at random in bytes `first` to `past` of the file."""
    rng = np.random.default_rng(bits)
    for _ in range(tries):
        chunk = bytearray(SOUND[at.offset : at.offset + at.size])
        for place in rng.choice((past - first) * 8, bits, replace=False).tolist():
            chunk[first - at.offset + place // 8] ^= 1 << place % 8
        yield bytes(chunk)


def decodes_otherwise(chunk: bytes, at: ClipAt) -> bool:
    """Whether the latents of a damaged chunk end in the correct rANS state and hold other integers."""
    try:
        return not np.array_equal(
            decode_latents(unpack_clip(chunk[8:-4], HEADER), HEADER), decode_latents(at.clip, HEADER)
        )
    except DamagedError:
        return False


@pytest.mark.parametrize("bits", [1, 2])
def test_a_correct_final_state_is_no_proof(bits: int) -> None:
    """Some flips of bypass-coded bits leave the final state correct. Such latents are not used: nothing tells that the
    damage is elsewhere."""
    at = CLIPS[1]
    _, latents, end = parts(at)
    deceived = 0
    for chunk in flipped(at, bits, latents, end, 300 if bits == 1 else 100):
        deceived += decodes_otherwise(chunk, at)
        assert list(decode_partial_clips(chunk, HEADER)) == []
    assert deceived or bits > 1


def test_frames_from_damaged_clips_are_reported_as_probable() -> None:
    at = CLIPS[1]
    fill, _, _ = parts(at)
    _, decoder = concealed(ruined(at, fill, 12))
    kept = {at.clip.first_frame + int(n) for n in np.flatnonzero(at.clip.kept)}
    assert {n for first, count in decoder.salvaged for n in range(first, first + count)} == kept
    assert not kept & {n for first, count in decoder.lost_frames for n in range(first, first + count)}


def test_a_hole_in_the_inter_coding_leaves_the_frames_behind_it(mini: LoadedModel) -> None:
    """Vectors stand among the words: they have to be read on the way."""
    out = io.BytesIO()
    dfc.encode(FRAMES[:32], out, model=mini, budget="8", fill="token", refine=0, qp=16)
    reader = StreamReader(io.BytesIO(out.getvalue()))
    (at,) = (item for item in reader if isinstance(item, ClipAt))
    assert at.clip.coding == Coding.INTER
    header, whole = reader.preamble.header, decode_latents(at.clip, reader.preamble.header)
    end = at.offset + at.size - 4
    counts = []
    for share in (0.3, 0.6, 0.8):
        place = end - int(len(at.clip.latents) * share)
        data = out.getvalue()[:place] + bytes(64) + out.getvalue()[place + 64 :]
        found = [values for _, values in decode_partial_clips(data[at.offset : at.offset + at.size], header)]
        assert all((values == whole[: len(values)]).all() for values in found)
        counts.append(sum(map(len, found)))
    assert counts == sorted(counts)
    assert 0 < counts[-1] < len(whole)


def test_how_many_frames_a_hole_costs() -> None:
    at = CLIPS[1]
    _, latents, end = parts(at)
    counts = []
    for share in (0.0, 0.3, 0.6, 0.95):
        place = latents + int((end - latents - 24) * share)
        found = list(decode_partial_clips(ruined(at, place, 24)[at.offset : at.offset + at.size], HEADER))
        counts.append(len(found[0][1]) if found else 0)
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 7  # the words read last, so the last frame alone is lost
    assert counts[-1] == 0
    pictures, decoder = concealed(ruined(at, latents, 24))
    kept = [32 + int(n) for n in np.flatnonzero(at.clip.kept)][:7]
    assert all((pictures[n].rgb == WHOLE[n].rgb).all() for n in kept)
    assert set(kept) <= shown(decoder)
    assert len(shown(decoder)) == 38 + 7


@pytest.mark.parametrize("what", [b"\xa5\x5a\x33", b"\x01\x80\x7f\x10\xfe"])
def test_rubbish_among_the_latents_is_never_shown(what: bytes) -> None:
    at = CLIPS[1]
    _, latents, end = parts(at)
    for place in range(latents, end - 40, (end - latents) // 7):
        _, decoder = concealed(ruined(at, place, 40, what))
        assert decoder.lost_frames == [(32, 32)]


def test_zstd_proves_nothing() -> None:
    sound = encoded("zstd", "token")
    at = [i for i in StreamReader(io.BytesIO(sound)) if isinstance(i, ClipAt)][1]
    bad = sound[: at.offset + 12] + b"\x7f" * 8 + sound[at.offset + 20 :]
    assert list(decode_partial_clips(bad[at.offset : at.offset + at.size], HEADER)) == []


def test_a_clip_that_claims_other_places_is_not_believed() -> None:
    at = CLIPS[1]
    bad = bytearray(SOUND)
    bad[at.offset + 8 : at.offset + 12] = (40).to_bytes(4, "little")
    bad[at.offset + 20 : at.offset + 22] = b"\x01\x02"  # so that no single byte is at fault
    _, decoder = concealed(bytes(bad))
    assert decoder.lost_frames == [(32, 32)]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_stretch_gives_clips_within_limits_or_none(data: st.DataObject) -> None:
    at = CLIPS[2]
    bad = bytearray(SOUND[at.offset : at.offset + at.size])
    for _ in range(data.draw(st.integers(1, 5))):
        bad[data.draw(st.integers(8, len(bad) - 1))] = data.draw(st.integers(0, 255))
    for clip, values in decode_partial_clips(bytes(bad), HEADER):
        assert values.shape[1:] == (1, 4, 6, 3)
        assert 1 <= len(values) <= int(clip.kept.sum())
