"""Clips that are gone, or false about themselves: ranges, trims and messages hold to what is there."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from support import flat_model, moving

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
Pieces = list[tuple[bytes, bytes]]
"""Type and whole bytes of each chunk."""


@pytest.fixture(scope="module")
def sound() -> bytes:
    """Clips of 32, 32 and 6 frames at 25 a second, frame n with a mean of its own."""
    ramp = np.arange(FRAMES, dtype=np.uint8)[:, None, None, None] * 3
    out = io.BytesIO()
    dfc.encode(np.broadcast_to(ramp, (FRAMES, 16, 32, 3)), out, budget="all", model=flat_model(), qp=0, fill="token")
    return out.getvalue()


def pieces(data: bytes) -> Pieces:
    source = LookaheadReader(io.BytesIO(data))
    read_signature(source)
    found = [c for c in iter_chunks(source) if isinstance(c, Chunk)]
    return [(c.type, data[c.offset : c.offset + c.size]) for c in found]


def joined(chunks: Pieces) -> bytes:
    return b"\xdfDFC\r\n\x1a\n" + b"".join(data for _, data in chunks)


def without(data: bytes, number: int) -> bytes:
    """The file with a clip left out, as if nobody had ever written it."""
    found = pieces(data)
    clips = [at for at, (kind, _) in enumerate(found) if kind == CLIP]
    return joined([piece for at, piece in enumerate(found) if at != clips[number]])


def spoiled(data: bytes, number: int) -> bytes:
    """The file with a clip damaged beyond mending."""
    found = pieces(data)
    at = [at for at, (kind, _) in enumerate(found) if kind == CLIP][number]
    bad = bytearray(found[at][1])
    for place in range(60, len(bad) - 4, 7):
        bad[place] ^= 0x55
    found[at] = CLIP, bytes(bad)
    return joined(found)


def shown(data: bytes, span: Span, seek: bool = True) -> tuple[list[int], Decoder]:
    """Numbers of the frames shown, by their means, and the decoder."""
    stream = io.BytesIO(data)
    if not seek:
        stream.seekable = lambda: False  # type: ignore[method-assign]
    decoder = Decoder(stream, lambda _: flat_model(), conceal=True, span=span)
    return [round(float(p.rgb.mean()) / 3) for p in decoder], decoder


@pytest.mark.parametrize("broken", [spoiled, without])
@pytest.mark.parametrize(
    ("start", "end", "lost"),
    [("#30", "#41", (32, 9)), ("#40", "#45", (40, 5)), ("#63", "#66", (63, 1)), ("1.2", "1.64", (32, 9))],
)
def test_a_range_that_meets_a_lost_clip_is_whole_and_says_so(
    broken: Callable[[bytes, int], bytes], start: str, end: str, lost: tuple[int, int], sound: bytes
) -> None:
    for seek in (True, False):
        numbers, decoder = shown(broken(sound, 1), Span.parse(start, end), seek)
        first = int(Fraction(start) * 25) if start[0] != "#" else int(start[1:])
        last = int(Fraction(end) * 25) if end[0] != "#" else int(end[1:])
        assert len(numbers) == last - first
        assert all(n in (first + i, 31, 64) for i, n in enumerate(numbers))
        assert decoder.lost_frames == [lost]
        assert decoder.damage


@pytest.mark.parametrize("broken", [spoiled, without])
def test_seconds_count_from_the_beginning_even_where_that_is_lost(
    broken: Callable[[bytes, int], bytes], sound: bytes
) -> None:
    data = broken(sound, 0)
    for seek in (True, False):
        assert shown(data, Span.parse("1.6", "2.0"), seek)[0] == list(range(40, 50))
        assert shown(data, Span.parse("0.4", "0.8"), seek)[0] == [32] * 10
        assert shown(data, Span.parse(None, "0.4"), seek)[1].lost_frames == [(0, 10)]


def test_a_range_beside_a_lost_clip_needs_no_concealment(sound: bytes) -> None:
    for seek in (True, False):
        for start, end, wanted in (("#0", "#32", (0, 32)), ("#64", "#70", (64, 70)), ("2.6", None, (65, 70))):
            stream = io.BytesIO(without(sound, 1))
            if not seek:
                stream.seekable = lambda: False  # type: ignore[method-assign]
            found = list(Decoder(stream, lambda _: flat_model(), span=Span.parse(start, end)))
            assert [round(float(p.rgb.mean()) / 3) for p in found] == list(range(*wanted))


@pytest.mark.parametrize(("start", "end"), [("#30", "#41"), ("#40", "#45"), ("1.4", "1.5"), (None, None)])
def test_frames_nobody_wrote_are_damage_without_concealment(start: str | None, end: str | None, sound: bytes) -> None:
    with pytest.raises(DamagedError, match="frames 32 to 63 are missing"):
        list(Decoder(io.BytesIO(without(sound, 1)), lambda _: flat_model(), span=Span.parse(start, end)))


def test_concealing_frames_nobody_wrote_is_damage_that_is_told(sound: bytes) -> None:
    numbers, decoder = shown(without(sound, 1), Span())
    assert len(numbers) == FRAMES
    assert [d.reason for d in decoder.damage] == ["frames 32 to 63 are missing"]
    found = recover(io.BytesIO(without(sound, 1)), io.BytesIO())
    assert [f.reason for f in found.faults] == ["frames 32 to 63 are missing"]


@pytest.mark.parametrize("what", ["twice", "swapped", "left out", "no index"])
def test_trim_refuses_clips_out_of_order(what: str, sound: bytes) -> None:
    found = pieces(sound)
    clips = [at for at, (kind, _) in enumerate(found) if kind == CLIP]
    if what == "twice":
        found.insert(clips[1], found[clips[1]])
    elif what == "swapped":
        found[clips[0]], found[clips[1]] = found[clips[1]], found[clips[0]]
    elif what == "left out":
        del found[clips[1]]
    else:
        found = [piece for piece in found if piece[0] != INDEX]
    with pytest.raises(DamagedError, match="run dfc verify"):
        trim(io.BytesIO(joined(found)), io.BytesIO())


def test_a_footer_alone_is_no_end(sound: bytes) -> None:
    data = joined([piece for piece in pieces(sound) if piece[0] != INDEX])
    assert [fault.reason for fault in dfc.verify(io.BytesIO(data)).faults] == ["footer without an index before it"]
    with pytest.raises(DamagedError, match="footer without an index"):
        list(Decoder(io.BytesIO(data), lambda _: flat_model()))
    assert len(shown(data, Span())[0]) == FRAMES


def test_an_index_that_lies_is_not_followed(sound: bytes) -> None:
    found = pieces(sound)
    at = next(at for at, (kind, _) in enumerate(found) if kind == INDEX)
    index = unpack_index(found[at][1][8:-4])
    for change in ({"first_pts": 0}, {"first_frame": 52, "frames": 18}):
        second = dataclasses.replace(index.clips[1], frames=20) if "frames" in change else index.clips[1]
        entries = (index.clips[0], second, dataclasses.replace(index.clips[2], **change))
        found[at] = INDEX, pack_chunk(INDEX, pack_index(Index(entries, index.latent_hash)))
        stream = io.BytesIO(joined(found))
        for start, wanted in (("0.2", 5), ("#55", 55), ("2.4", 60)):
            stream.seek(0)
            decoder = Decoder(stream, lambda _: flat_model(), span=Span.parse(start, None))
            assert [round(float(p.rgb.mean()) / 3) for p in decoder] == list(range(wanted, FRAMES))


def test_a_header_that_does_not_fit_its_model_is_damage(sound: bytes, flat: LoadedModel) -> None:
    out = io.BytesIO()
    dfc.encode(moving(3, 16, 16), out, model=flat, fill="token")
    other = dataclasses.replace(flat, model=_Other())
    with pytest.raises(DamagedError, match="channels in patches of"):
        Decoder(io.BytesIO(out.getvalue()), lambda _: other)


class _Other:
    channels, patch, max_frames = 7, 16, 32


def test_a_doubled_tool_costs_nothing_but_itself(sound: bytes) -> None:
    found = pieces(sound)
    at = next(at for at, (kind, _) in enumerate(found) if kind == TOOL)
    found.insert(at, found[at])
    data = joined(found)
    assert [fault.reason for fault in dfc.verify(io.BytesIO(data)).faults][:1] == ["duplicate chunk tool"]
    assert len(shown(data, Span())[0]) == FRAMES
    assert recover(io.BytesIO(data), io.BytesIO()).frames == FRAMES
    assert found[-1][0] == FOOT


@pytest.mark.parametrize("rate", [Ratio(4294967295, 1), Ratio(1, 4294967295)])
def test_a_rate_that_cannot_be_does_not_stop_a_video_from_being_written(rate: Ratio, tmp_path: Path) -> None:
    with VideoSink(tmp_path / "a.mp4", Header(32, 16, rate, Ratio(1, 25))) as sink:
        for number in range(3):
            sink.write(np.zeros((16, 32, 3), np.uint8), number, 1)
    with VideoSource(tmp_path / "a.mp4") as source:
        assert len(list(source)) == 3
