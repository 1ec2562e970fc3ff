from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from support import flat_model, moving, write_av

import dfccodec as dfc
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import ClipAt, Packets, StreamReader
from dfccodec.container.records import Coding, Packet, StreamInfo
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.errors import DamagedError, UsageError
from dfccodec.media.time_range import Span


def clips(data: bytes) -> list[tuple[list[int], np.ndarray]]:
    reader = StreamReader(io.BytesIO(data))
    header = reader.preamble.header
    return [
        (i.clip.kept.nonzero()[0].tolist(), decode_latents(i.clip, header)) for i in reader if isinstance(i, ClipAt)
    ]


def encoded(frames: np.ndarray, loaded: LoadedModel, budget: str) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, budget=budget, model=loaded, refine=0)
    return out.getvalue()


def trimmed(data: bytes, **options: object) -> bytes:
    out = io.BytesIO()
    dfc.trim(io.BytesIO(data), out, **options)  # type: ignore[arg-type]
    assert not dfc.verify(io.BytesIO(out.getvalue())).faults
    return out.getvalue()


def test_trimming_a_whole_file_to_a_quarter_equals_encoding_to_it(mini: LoadedModel) -> None:
    frames = moving(70)
    small = trimmed(encoded(frames, mini, "all"), budget=Budget.parse("8"))
    for (a, x), (b, y) in zip(clips(small), clips(encoded(frames, mini, "8")), strict=True):
        assert a == b
        assert np.abs(x - y).max() <= 1  # each was snapped to the kept frame before it, which differs
        assert np.mean(x == y) > 0.9


@pytest.mark.parametrize("budget", ["4", "1", "10%"])
def test_trimming_keeps_the_latents_of_what_stays(budget: str, mini: LoadedModel) -> None:
    frames = moving(70)
    data = encoded(frames, mini, "16")
    whole, small = clips(data), clips(trimmed(data, budget=Budget.parse(budget)))
    direct = clips(encoded(frames, mini, budget))
    for (a, x), (b, y), (c, _) in zip(whole, small, direct, strict=True):
        assert set(b) < set(a)
        assert len(b) == len(c)
        assert (y == x[[a.index(frame) for frame in b]]).all()


@pytest.mark.parametrize("coding", ["range", "zstd"])
def test_the_coding_of_the_file_is_kept(coding: str, flat: LoadedModel) -> None:
    out = io.BytesIO()
    dfc.encode(moving(40), out, budget="8", model=flat, coding=coding)
    small = StreamReader(io.BytesIO(trimmed(out.getvalue(), budget=Budget.parse("2"))))
    assert {Coding(i.clip.coding).name for i in small if isinstance(i, ClipAt)} == {coding.upper()}


def test_the_inter_coding_is_searched_anew_for_what_stays(mini: LoadedModel) -> None:
    out = io.BytesIO()
    dfc.encode(moving(20), out, budget="16", model=mini, fill="token", refine=0)
    small = trimmed(out.getvalue(), budget=Budget.parse("4"))
    assert {Coding(i.clip.coding) for i in StreamReader(io.BytesIO(small)) if isinstance(i, ClipAt)} == {Coding.INTER}
    ((kept, values),), ((left, same),) = clips(out.getvalue()), clips(small)
    assert (same == values[[kept.index(frame) for frame in left]]).all()


def test_a_larger_budget_changes_nothing_but_the_tool(flat: LoadedModel) -> None:
    data = encoded(moving(40), flat, "4")
    same = trimmed(data, budget=Budget.parse("all"))
    assert [a for a, _ in clips(same)] == [a for a, _ in clips(data)]


@pytest.mark.parametrize(("start", "end"), [(0, 5), (10, 40), (31, 33), (64, None), (69, 70), (5, 6)])
def test_a_range_decodes_to_its_frames(start: int, end: int | None, flat: LoadedModel) -> None:
    data = encoded(moving(70), flat, "3")
    part = trimmed(data, start=start, end=end)
    decoder = Decoder(io.BytesIO(part), lambda _: flat)
    stamps = [p.pts for p in decoder]
    assert stamps == list(range(start, end or 70))  # timestamps stay
    assert all(kept for kept, _ in clips(part))


def test_an_empty_range_is_refused(flat: LoadedModel) -> None:
    with pytest.raises(UsageError, match="range"):
        dfc.trim(io.BytesIO(encoded(moving(5), flat, "2")), io.BytesIO(), start=5)


def test_a_damaged_file_is_refused(flat: LoadedModel) -> None:
    data = bytearray(encoded(moving(5), flat, "2"))
    data[-60] ^= 1
    with pytest.raises(DamagedError):
        dfc.trim(io.BytesIO(bytes(data)), io.BytesIO(), budget=Budget.parse("1"))


def test_tiled_files_are_trimmed_too() -> None:
    loaded = flat_model(tile=64)
    small = trimmed(encoded(moving(20, 100, 150), loaded, "8"), budget=Budget.parse("2"))
    assert len(clips(small)[0][0]) == 1  # 2 of 32, for 20 frames


@pytest.fixture(scope="module")
def sounding(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """100 frames of 30 a second with sound and two subtitles, at 0.1 and at 0.7 s for 0.3 s each."""
    source = write_av(
        tmp_path_factory.mktemp("trim") / "in.mkv", moving(100, 16, 32), ["aac"], "subrip", Fraction(30), chapters=2
    )
    out = io.BytesIO()
    dfc.encode(source, out, model=flat_model(), budget="4", fill="token")
    return out.getvalue()


def packets(data: bytes) -> dict[int, list[Packet]]:
    """Packets of sound (0) and of subtitles (1)."""
    kinds: dict[int, int] = {}
    out: dict[int, list[Packet]] = {0: [], 1: []}
    for item in StreamReader(io.BytesIO(data)):
        if isinstance(item, StreamInfo):
            kinds[item.id] = item.kind
        elif isinstance(item, Packets):
            out[kinds[item.stream]] += item.packets
    return out


@pytest.mark.parametrize(("start", "end"), [(27, 40), (30, 64), (70, None), (0, 10), (90, 200)])
def test_sound_is_cut_with_the_pictures(start: int, end: int | None, sounding: bytes) -> None:
    whole, part = packets(sounding), packets(trimmed(sounding, start=start, end=end))
    assert part[0]
    assert set(part[0]) < set(whole[0])  # with their times
    first, stamps = start * 1000 / 30, [p.pts for p in part[0]]  # in ticks: milliseconds, a packet lasts 23
    assert start == 0 or first - 50 < stamps[0] <= first  # a decoder starts up on the packet before
    if end is not None and end < 100:
        assert end * 1000 / 30 - 25 < stamps[-1] < end * 1000 / 30
    else:
        assert part[0][-1] == whole[0][-1]


def test_a_subtitle_that_straddles_the_range_begins_with_it(sounding: bytes) -> None:
    (caption,) = packets(trimmed(sounding, start=27, end=40))[1]
    assert (caption.pts, caption.duration, caption.data) == (900, 100, b"hello 1")
    assert packets(trimmed(sounding, start=40))[1] == []


def test_a_range_of_a_trimmed_file_sounds_as_the_range_decoded(sounding: bytes, flat: LoadedModel) -> None:
    class Heard:
        def __init__(self) -> None:
            self.found: list[bytes] = []

        def declare(self, info: StreamInfo) -> None: ...

        def packets(self, stream: int, packets: Sequence[Packet]) -> None:
            self.found += [p.data for p in packets]

    decoded, kept = Heard(), Heard()
    list(Decoder(io.BytesIO(sounding), lambda _: flat, tracks=decoded, span=Span.parse("#40", "#60")))
    list(Decoder(io.BytesIO(trimmed(sounding, start=40, end=60)), lambda _: flat, tracks=kept))
    assert kept.found == decoded.found


def test_without_a_range_every_packet_is_copied(sounding: bytes) -> None:
    assert packets(trimmed(sounding, budget=Budget.parse("2"))) == packets(sounding)
    assert (
        StreamReader(io.BytesIO(trimmed(sounding, start=40))).preamble.tags
        == StreamReader(io.BytesIO(sounding)).preamble.tags
    )
