"""Recovery: whatever is done to a file, what comes out is valid and holds every clip that is whole."""

from __future__ import annotations

import dataclasses
import io
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import flat_model, moving, write_av

import dfccodec as dfc
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.chunks import pack_chunk
from dfccodec.container.pack import pack_clip
from dfccodec.container.reader import ClipAt, Packets, StreamReader
from dfccodec.container.records import Clip
from dfccodec.edit.recover import Recovered
from dfccodec.errors import DamagedError, DfcError, NotDfcError, UnsupportedError
from dfccodec.media.time_range import Span


def encoded(frames: int = 150, **more: object) -> bytes:
    out = io.BytesIO()
    options = {"budget": "4", "coding": "zstd", "fill": "token", **more}
    dfc.encode(moving(frames, 16, 32), out, model=flat_model(), **options)  # type: ignore[arg-type]
    return out.getvalue()


SOUND = encoded()  # five clips
CLIPS = [i for i in StreamReader(io.BytesIO(SOUND)) if isinstance(i, ClipAt)]


def recovered(data: bytes) -> tuple[bytes, Recovered]:
    out = io.BytesIO()
    found = dfc.recover(io.BytesIO(data), out)
    assert found.size == len(out.getvalue())
    assert not dfc.verify(io.BytesIO(out.getvalue())).faults
    return out.getvalue(), found


def clips(data: bytes) -> list[Clip]:
    return [i.clip for i in StreamReader(io.BytesIO(data)) if isinstance(i, ClipAt)]


def destroyed(data: bytes, number: int) -> bytes:
    """With 40 bytes of rubbish in a clip."""
    at = CLIPS[number]
    return data[: at.offset + 20] + b"\xa5" * 40 + data[at.offset + 60 :]


def test_a_sound_file_comes_out_whole() -> None:
    data, found = recovered(SOUND)
    assert (found.lost, found.faults, found.ended) == ([], [], True)
    assert [c.latents for c in clips(data)] == [a.clip.latents for a in CLIPS]
    assert StreamReader(io.BytesIO(data)).preamble.tool[-1][0] == "recover"


@pytest.mark.parametrize("number", range(5))
def test_a_lost_clip_is_a_gap_in_time(number: int, flat: LoadedModel) -> None:
    data, found = recovered(destroyed(SOUND, number))
    lost = CLIPS[number].clip
    assert [(p.first, p.count) for p in found.lost] == [(lost.first_frame, lost.frames)]
    assert found.frames == 150 - lost.frames
    (gap,) = found.lost
    assert gap.start == Fraction(lost.first_pts, 25)
    assert gap.end == (None if number == 4 else Fraction(lost.first_pts + lost.frames, 25))
    whole = {p.pts: p.rgb for p in Decoder(io.BytesIO(SOUND), lambda _: flat)}
    pictures = list(Decoder(io.BytesIO(data), lambda _: flat))
    assert [p.pts for p in pictures] == [t for t in range(150) if t not in set(lost.timestamps)]
    assert all((p.rgb == whole[p.pts]).all() for p in pictures)


def test_truncation_anywhere_keeps_the_clips_before() -> None:
    first = CLIPS[0].offset + CLIPS[0].size
    for length in range(0, len(SOUND), 7):
        if length < first:
            with pytest.raises(DfcError, match="recover"):
                recovered(SOUND[:length])
            continue
        _, found = recovered(SOUND[:length])
        assert found.clips == sum(a.offset + a.size <= length for a in CLIPS)
        assert not found.ended or found.lost == []


@given(place=st.integers(0, len(SOUND) - 1), error=st.integers(1, 255))
def test_one_wrong_byte_anywhere_costs_nothing(place: int, error: int) -> None:
    bad = bytearray(SOUND)
    bad[place] ^= error
    data, found = recovered(bytes(bad))
    assert data == recovered(SOUND)[0]
    assert found.lost == []
    assert len([f for f in found.faults if f.repaired]) == 1
    assert min(f.offset for f in found.faults) <= place


@settings(deadline=None)
@given(data=st.data())
def test_any_damage_gives_a_valid_file_or_an_error_of_one_line(data: st.DataObject) -> None:
    bad = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 6))):
        a = data.draw(st.integers(0, len(bad)))
        b = min(len(bad), a + data.draw(st.integers(0, 200)))
        bad[a:b] = data.draw(st.binary(max_size=60))
    try:
        _, found = recovered(bytes(bad))
    except DfcError as error:
        assert "\n" not in str(error)
    else:
        assert 0 < found.frames <= 150


def test_doubled_clips_and_clips_that_go_back_in_time_are_left_out() -> None:
    twice = SOUND[: CLIPS[2].offset] + SOUND[CLIPS[1].offset :]
    _, found = recovered(twice)
    assert found.frames == 150
    assert "clip begins at frame 32, 64 expected" in found.faults[0].reason
    assert found.faults[0].offset == CLIPS[2].offset
    back = dataclasses.replace(CLIPS[3].clip, first_pts=5)
    late = SOUND[: CLIPS[3].offset] + pack_chunk(b"CLIP", pack_clip(back)) + SOUND[CLIPS[4].offset :]
    _, found = recovered(late)
    assert found.frames == 118
    assert [p.first for p in found.lost] == [96]
    assert "before the one ahead of it ends" in found.faults[0].reason


def test_integers_that_do_not_decode_cost_their_clip() -> None:
    wrong = dataclasses.replace(CLIPS[1].clip, latents=CLIPS[1].clip.latents[:-1])
    data = SOUND[: CLIPS[1].offset] + pack_chunk(b"CLIP", pack_clip(wrong)) + SOUND[CLIPS[2].offset :]
    _, found = recovered(data)
    assert [(p.first, p.count) for p in found.lost] == [(32, 32)]
    assert found.faults[0].offset == CLIPS[1].offset


def test_sound_stays_in_step_and_unknown_chunks_stay(tmp_path: object, flat: LoadedModel) -> None:
    source, out = write_av(tmp_path / "in.mkv", moving(100, 16, 32), ["aac", "libopus"], "subrip"), io.BytesIO()  # type: ignore[operator]
    dfc.encode(source, out, model=flat, budget="4", fill="token")
    old = list(StreamReader(io.BytesIO(out.getvalue())))
    at = [i for i in old if isinstance(i, ClipAt)][1]
    cut = out.getvalue()[: at.offset + 30] + pack_chunk(b"note", b"kept") + out.getvalue()[at.offset + at.size :]
    data, found = recovered(cut[:-10])
    assert [(p.first, p.count) for p in found.lost] == [(32, 32)]
    new = list(StreamReader(io.BytesIO(data)))
    assert [i for i in new if isinstance(i, Packets)] == [i for i in old if isinstance(i, Packets)]
    assert found.packets == sum(len(i.packets) for i in old if isinstance(i, Packets))
    # "note" is of no type of SPEC.md 3.3: it is not found again after damage, only in a sound place
    kept = out.getvalue()[: at.offset] + pack_chunk(b"note", b"kept") + out.getvalue()[at.offset :]
    assert b"note" in recovered(kept)[0]


def test_packets_without_their_stream_are_named_and_left_out(tmp_path: object, flat: LoadedModel) -> None:
    source, out = write_av(tmp_path / "in.mkv", moving(40, 16, 32), ["aac"]), io.BytesIO()  # type: ignore[operator]
    dfc.encode(source, out, model=flat, budget="4", fill="token")
    place = out.getvalue().index(b"strm")
    bad = bytearray(out.getvalue())
    bad[place + 10 : place + 20] = bytes(10)
    _, found = recovered(bytes(bad))
    assert (found.frames, found.packets) == (40, 0)
    assert any("whose declaration is lost" in f.reason for f in found.faults)


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (b"", NotDfcError, "nothing to recover"),
        (b"\0" * 8 + SOUND[9:], NotDfcError, "no header follows, and no signature in the first 1 MiB"),
        (SOUND[:20] + bytes(30) + SOUND[50:], DamagedError, "chunk HEAD is lost"),
        (SOUND[: SOUND.index(b"STEP") + 8] + b"\xff" * 6 + SOUND[SOUND.index(b"STEP") + 14 :], DamagedError, "STEP"),
        (SOUND[: CLIPS[0].offset + 50], DamagedError, "no clip of the file is intact"),
        (SOUND[: CLIPS[1].offset] + pack_chunk(b"NEXT", b"") + SOUND[CLIPS[1].offset :], UnsupportedError, "newer dfc"),
    ],
)
def test_what_cannot_be_done_is_said(data: bytes, error: type[DfcError], says: str) -> None:
    out = io.BytesIO()
    with pytest.raises(error, match=says):
        dfc.recover(io.BytesIO(data), out)


def test_nothing_is_written_where_nothing_is_whole() -> None:
    out = io.BytesIO()
    with pytest.raises(DamagedError):
        dfc.recover(io.BytesIO(SOUND[: CLIPS[0].offset + 50]), out)
    assert out.getvalue() == b""


def test_a_mangled_signature_does_not_matter_where_the_header_follows() -> None:
    data, found = recovered(b"\xdfDFC\n\x1a\n?" + SOUND[8:])
    assert data == recovered(SOUND)[0]
    assert (found.faults[0].offset, found.faults[0].repaired) == (0, "signature")


def test_motion_and_range_coding_survive() -> None:
    whole = encoded(96, coding="range", fill="motion")
    places = [i for i in StreamReader(io.BytesIO(whole)) if isinstance(i, ClipAt)]
    bad = bytearray(whole)
    bad[places[1].offset + 60 : places[1].offset + 64] = b"\0\1\2\3"
    data, found = recovered(bytes(bad))
    assert found.frames == 64
    assert [c.fill_payload for c in clips(data)] == [places[n].clip.fill_payload for n in (0, 2)]


def test_lost_sound_is_counted(tmp_path: object, flat: LoadedModel) -> None:
    source, out = write_av(tmp_path / "in.mkv", moving(60, 16, 32), ["aac"]), io.BytesIO()  # type: ignore[operator]
    dfc.encode(source, out, model=flat, budget="4", fill="token")
    data = out.getvalue()
    reader = StreamReader(io.BytesIO(data))
    place, size = next(reader.extent for item in reader if isinstance(item, Packets))
    declared = data.index(b"strm")
    clip = data.index(b"CLIP")

    def lost(start: int, count: int) -> tuple[int, int]:
        bad = data[:start] + bytes(count) + data[start + count :]
        found = recovered(bad)[1]
        decoder = Decoder(io.BytesIO(bad), lambda _: flat, conceal=True)
        list(decoder)
        assert decoder.lost_tracks == found.lost_tracks
        assert decoder.reached_end
        return found.lost_tracks.bytes, found.lost_tracks.unattributed

    assert lost(place + 100, 2000) == (size, 0)
    assert lost(clip + 40, 30) == (0, 0)
    sure, maybe = lost(place, 2000)  # type and length are gone, too
    assert (sure, maybe) == (0, size)
    assert lost(declared + 10, 10)[0] > size + 1000  # and all of its packets with it


@pytest.mark.parametrize("junk", [b"junk", b"\xdfDFC" + bytes(10), bytes(70000)])
def test_a_file_that_begins_later_is_recovered(junk: bytes, flat: LoadedModel) -> None:
    data, found = recovered(junk + SOUND)
    assert data == recovered(SOUND)[0]
    assert (found.faults[0].offset, found.faults[0].size, found.lost) == (0, len(junk), [])
    assert f"the signature is {len(junk)} bytes later" in found.faults[0].reason
    late = Decoder(io.BytesIO(junk + SOUND), lambda _: flat, conceal=True, span=Span.parse("#100", "#120"))
    assert len(list(late)) == 20
