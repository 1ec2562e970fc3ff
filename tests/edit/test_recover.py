"""`recover`: the result of any damage is a valid file with every intact clip, or an error."""

from __future__ import annotations

import dataclasses
import io
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support import flat_model, moving_square, write_av

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


def encode_bytes(frames: int = 150, **more: object) -> bytes:
    out = io.BytesIO()
    options = {"budget": "4", "coding": "zstd", "fill": "token", **more}
    dfc.encode(moving_square(frames, 16, 32), out, model=flat_model(), **options)  # type: ignore[arg-type]
    return out.getvalue()


INTACT = encode_bytes()  # five clips
MODEL_SIZE = int.from_bytes(INTACT[8 + 60 + 4 : 8 + 60 + 8], "little")  # the chunk after HEAD, which has 60 bytes
CLIPS = [i for i in StreamReader(io.BytesIO(INTACT)) if isinstance(i, ClipAt)]


def recover_bytes(data: bytes) -> tuple[bytes, Recovered]:
    out = io.BytesIO()
    found = dfc.recover(io.BytesIO(data), out)
    assert found.size == len(out.getvalue())
    assert not dfc.verify(io.BytesIO(out.getvalue())).faults
    return out.getvalue(), found


def clips(data: bytes) -> list[Clip]:
    return [i.clip for i in StreamReader(io.BytesIO(data)) if isinstance(i, ClipAt)]


def overwrite_clip(data: bytes, number: int) -> bytes:
    """Return the file with 40 bytes of a clip overwritten."""
    at = CLIPS[number]
    return data[: at.offset + 20] + b"\xa5" * 40 + data[at.offset + 60 :]


def test_an_intact_file_is_recovered_completely() -> None:
    data, found = recover_bytes(INTACT)
    assert (found.lost, found.faults, found.ended) == ([], [], True)
    assert [c.latents for c in clips(data)] == [a.clip.latents for a in CLIPS]
    assert StreamReader(io.BytesIO(data)).preamble.tool[-1][0] == "recover"


@pytest.mark.parametrize("number", range(5))
def test_a_lost_clip_becomes_a_gap_in_time(number: int, flat: LoadedModel) -> None:
    data, found = recover_bytes(overwrite_clip(INTACT, number))
    lost_clip = CLIPS[number].clip
    assert [(p.first, p.count) for p in found.lost] == [(lost_clip.first_frame, lost_clip.frames)]
    assert found.frames == 150 - lost_clip.frames
    (gap,) = found.lost
    assert gap.start == Fraction(lost_clip.first_pts, 25)
    assert gap.end == (None if number == 4 else Fraction(lost_clip.first_pts + lost_clip.frames, 25))
    original = {p.pts: p.rgb for p in Decoder(io.BytesIO(INTACT), lambda _: flat)}
    pictures = list(Decoder(io.BytesIO(data), lambda _: flat))
    assert [p.pts for p in pictures] == [t for t in range(150) if t not in set(lost_clip.timestamps)]
    assert all((p.rgb == original[p.pts]).all() for p in pictures)


def test_truncated_files_keep_all_complete_clips() -> None:
    first = CLIPS[0].offset + CLIPS[0].size
    for length in range(0, len(INTACT), 7):
        if length < first:
            with pytest.raises(DfcError, match="recover"):
                recover_bytes(INTACT[:length])
            continue
        _, found = recover_bytes(INTACT[:length])
        assert found.clips == sum(a.offset + a.size <= length for a in CLIPS)
        assert not found.ended or found.lost == []


@example(offset=12, error=48 ^ (48 + 12 + MODEL_SIZE))  # the first chunk seems to end where the second one does
@given(offset=st.integers(0, len(INTACT) - 1), error=st.integers(1, 255))
def test_any_single_byte_error_is_repaired(offset: int, error: int) -> None:
    damaged = bytearray(INTACT)
    damaged[offset] ^= error
    data, found = recover_bytes(bytes(damaged))
    assert data == recover_bytes(INTACT)[0]
    assert found.lost == []
    assert len([f for f in found.faults if f.repaired]) == 1
    assert min(f.offset for f in found.faults) <= offset


@given(data=st.data())
def test_any_damage_gives_a_valid_file_or_a_one_line_error(data: st.DataObject) -> None:
    damaged = bytearray(INTACT)
    for _ in range(data.draw(st.integers(1, 6))):
        a = data.draw(st.integers(0, len(damaged)))
        b = min(len(damaged), a + data.draw(st.integers(0, 200)))
        damaged[a:b] = data.draw(st.binary(max_size=60))
    try:
        _, found = recover_bytes(bytes(damaged))
    except DfcError as error:
        assert "\n" not in str(error)
    else:
        assert 0 < found.frames <= 150


def test_duplicate_and_backdated_clips_are_discarded() -> None:
    duplicated = INTACT[: CLIPS[2].offset] + INTACT[CLIPS[1].offset :]
    _, found = recover_bytes(duplicated)
    assert found.frames == 150
    assert "clip begins at frame 32, 64 expected" in found.faults[0].reason
    assert found.faults[0].offset == CLIPS[2].offset
    backdated = dataclasses.replace(CLIPS[3].clip, first_pts=5)
    with_backdated_clip = (
        INTACT[: CLIPS[3].offset] + pack_chunk(b"CLIP", pack_clip(backdated)) + INTACT[CLIPS[4].offset :]
    )
    _, found = recover_bytes(with_backdated_clip)
    assert found.frames == 118
    assert [p.first for p in found.lost] == [96]
    assert "before the last frame of the previous clip" in found.faults[0].reason


def test_clips_with_undecodable_latents_are_discarded() -> None:
    undecodable = dataclasses.replace(CLIPS[1].clip, latents=CLIPS[1].clip.latents[:-1])
    data = INTACT[: CLIPS[1].offset] + pack_chunk(b"CLIP", pack_clip(undecodable)) + INTACT[CLIPS[2].offset :]
    _, found = recover_bytes(data)
    assert [(p.first, p.count) for p in found.lost] == [(32, 32)]
    assert found.faults[0].offset == CLIPS[1].offset


def test_audio_stays_in_sync_and_unknown_chunks_are_kept(tmp_path: object, flat: LoadedModel) -> None:
    source, out = write_av(tmp_path / "in.mkv", moving_square(100, 16, 32), ["aac", "libopus"], "subrip"), io.BytesIO()  # type: ignore[operator]
    dfc.encode(source, out, model=flat, budget="4", fill="token")
    before = list(StreamReader(io.BytesIO(out.getvalue())))
    at = [i for i in before if isinstance(i, ClipAt)][1]
    cut = out.getvalue()[: at.offset + 30] + pack_chunk(b"note", b"kept") + out.getvalue()[at.offset + at.size :]
    data, found = recover_bytes(cut[:-10])
    assert [(p.first, p.count) for p in found.lost] == [(32, 32)]
    after = list(StreamReader(io.BytesIO(data)))
    assert [i for i in after if isinstance(i, Packets)] == [i for i in before if isinstance(i, Packets)]
    assert found.packets == sum(len(i.packets) for i in before if isinstance(i, Packets))
    # SPEC.md 3.3 does not list the type "note": resynchronization skips it, but an undamaged sequence keeps it.
    with_chunk = out.getvalue()[: at.offset] + pack_chunk(b"note", b"kept") + out.getvalue()[at.offset :]
    assert b"note" in recover_bytes(with_chunk)[0]


def test_packets_of_a_lost_stream_are_reported_and_discarded(tmp_path: object, flat: LoadedModel) -> None:
    source, out = write_av(tmp_path / "in.mkv", moving_square(40, 16, 32), ["aac"]), io.BytesIO()  # type: ignore[operator]
    dfc.encode(source, out, model=flat, budget="4", fill="token")
    offset = out.getvalue().index(b"strm")
    damaged = bytearray(out.getvalue())
    damaged[offset + 10 : offset + 20] = bytes(10)
    _, found = recover_bytes(bytes(damaged))
    assert (found.frames, found.packets) == (40, 0)
    assert any("whose declaration is lost" in f.reason for f in found.faults)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", NotDfcError, "nothing to recover"),
        (b"\0" * 8 + INTACT[9:], NotDfcError, "no header follows, and no signature in the first 1 MiB"),
        (INTACT[:20] + bytes(30) + INTACT[50:], DamagedError, "chunk HEAD is lost"),
        (
            INTACT[: INTACT.index(b"STEP") + 8] + b"\xff" * 6 + INTACT[INTACT.index(b"STEP") + 14 :],
            DamagedError,
            "STEP",
        ),
        (INTACT[: CLIPS[0].offset + 50], DamagedError, "no clip of the file is intact"),
        (
            INTACT[: CLIPS[1].offset] + pack_chunk(b"NEXT", b"") + INTACT[CLIPS[1].offset :],
            UnsupportedError,
            "newer dfc",
        ),
    ],
)
def test_unrecoverable_files_are_reported(data: bytes, error: type[DfcError], message: str) -> None:
    out = io.BytesIO()
    with pytest.raises(error, match=message):
        dfc.recover(io.BytesIO(data), out)


def test_nothing_is_written_if_no_clip_is_intact() -> None:
    out = io.BytesIO()
    with pytest.raises(DamagedError):
        dfc.recover(io.BytesIO(INTACT[: CLIPS[0].offset + 50]), out)
    assert out.getvalue() == b""


def test_a_damaged_signature_is_repaired_if_the_header_follows() -> None:
    data, found = recover_bytes(b"\xdfDFC\n\x1a\n?" + INTACT[8:])
    assert data == recover_bytes(INTACT)[0]
    assert (found.faults[0].offset, found.faults[0].repaired) == (0, "signature")


def test_motion_and_range_coding_are_preserved() -> None:
    original = encode_bytes(96, coding="range", fill="motion")
    clips_before = [i for i in StreamReader(io.BytesIO(original)) if isinstance(i, ClipAt)]
    damaged = bytearray(original)
    damaged[clips_before[1].offset + 60 : clips_before[1].offset + 64] = b"\0\1\2\3"
    data, found = recover_bytes(bytes(damaged))
    assert found.frames == 64
    assert [c.fill_payload for c in clips(data)] == [clips_before[n].clip.fill_payload for n in (0, 2)]


def test_lost_audio_is_counted_in_bytes(tmp_path: object, flat: LoadedModel) -> None:
    source, out = write_av(tmp_path / "in.mkv", moving_square(60, 16, 32), ["aac"]), io.BytesIO()  # type: ignore[operator]
    dfc.encode(source, out, model=flat, budget="4", fill="token")
    data = out.getvalue()
    reader = StreamReader(io.BytesIO(data))
    offset, size = next(reader.extent for item in reader if isinstance(item, Packets))
    declared = data.index(b"strm")
    clip = data.index(b"CLIP")

    def count_lost(start: int, count: int) -> tuple[int, int]:
        damaged = data[:start] + bytes(count) + data[start + count :]
        found = recover_bytes(damaged)[1]
        decoder = Decoder(io.BytesIO(damaged), lambda _: flat, conceal=True)
        list(decoder)
        assert decoder.lost_tracks == found.lost_tracks
        assert decoder.reached_end
        return found.lost_tracks.bytes, found.lost_tracks.unattributed

    assert count_lost(offset + 100, 2000) == (size, 0)
    assert count_lost(clip + 40, 30) == (0, 0)
    certain, unattributed = count_lost(offset, 2000)  # the type and length of the chunk are lost as well
    assert (certain, unattributed) == (0, size)
    assert count_lost(declared + 10, 10)[0] > size + 1000  # all packets of the stream are lost with its declaration


@pytest.mark.parametrize("leading_bytes", [b"junk", b"\xdfDFC" + bytes(10), bytes(70000)])
def test_a_file_with_leading_bytes_is_recovered(leading_bytes: bytes, flat: LoadedModel) -> None:
    data, found = recover_bytes(leading_bytes + INTACT)
    assert data == recover_bytes(INTACT)[0]
    assert (found.faults[0].offset, found.faults[0].size, found.lost) == (0, len(leading_bytes), [])
    assert f"the signature is {len(leading_bytes)} bytes later" in found.faults[0].reason
    decoder = Decoder(io.BytesIO(leading_bytes + INTACT), lambda _: flat, conceal=True, span=Span.parse("#100", "#120"))
    assert len(list(decoder)) == 20
