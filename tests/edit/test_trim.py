"""`trim`: to a budget or to a range of frames, with audio and subtitles."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from support import flat_model, moving_square, write_av

import dfccodec as dfc
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.reader import ClipAt, Packets, StreamReader
from dfccodec.container.records import Coding, Packet, StreamInfo
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.errors import DamagedError, UsageError
from dfccodec.media.time_range import Span


def read_clips(data: bytes) -> list[tuple[list[int], np.ndarray]]:
    reader = StreamReader(io.BytesIO(data))
    header = reader.preamble.header
    return [
        (i.clip.kept.nonzero()[0].tolist(), decode_latents(i.clip, header)) for i in reader if isinstance(i, ClipAt)
    ]


def encode_bytes(frames: np.ndarray, loaded: LoadedModel, budget: str, coding: str | None = None) -> bytes:
    out = io.BytesIO()
    dfc.encode(frames, out, budget=budget, model=loaded, refine=0, coding=coding)
    return out.getvalue()


def trim_bytes(data: bytes, **options: object) -> bytes:
    out = io.BytesIO()
    dfc.trim(io.BytesIO(data), out, **options)  # type: ignore[arg-type]
    assert not dfc.verify(io.BytesIO(out.getvalue())).faults
    return out.getvalue()


def test_trimming_to_a_budget_matches_encoding_with_it(mini: LoadedModel) -> None:
    frames = moving_square(70)
    trimmed = trim_bytes(encode_bytes(frames, mini, "all", "inter"), budget=Budget.parse("8"))
    for (a, x), (b, y) in zip(read_clips(trimmed), read_clips(encode_bytes(frames, mini, "8", "inter")), strict=True):
        assert a == b
        assert np.abs(x - y).max() <= 1  # the dead zone depends on the previous kept frame, which differs
        assert np.mean(x == y) > 0.9


@pytest.mark.parametrize("budget", ["4", "1", "10%"])
def test_trimming_preserves_the_latents_of_kept_frames(budget: str, mini: LoadedModel) -> None:
    frames = moving_square(70)
    data = encode_bytes(frames, mini, "16")
    original, trimmed = read_clips(data), read_clips(trim_bytes(data, budget=Budget.parse(budget)))
    direct = read_clips(encode_bytes(frames, mini, budget))
    for (a, x), (b, y), (c, _) in zip(original, trimmed, direct, strict=True):
        assert set(b) < set(a)
        assert len(b) == len(c)
        assert (y == x[[a.index(frame) for frame in b]]).all()


@pytest.mark.parametrize("coding", ["range", "zstd"])
def test_trimming_preserves_the_latent_coding(coding: str, flat: LoadedModel) -> None:
    out = io.BytesIO()
    dfc.encode(moving_square(40), out, budget="8", model=flat, coding=coding)
    trimmed = StreamReader(io.BytesIO(trim_bytes(out.getvalue(), budget=Budget.parse("2"))))
    assert {Coding(i.clip.coding).name for i in trimmed if isinstance(i, ClipAt)} == {coding.upper()}


def test_trimming_repeats_the_motion_estimation_of_inter_coding(mini: LoadedModel) -> None:
    out = io.BytesIO()
    dfc.encode(moving_square(20), out, budget="16", model=mini, fill="token", refine=0)
    trimmed = trim_bytes(out.getvalue(), budget=Budget.parse("4"))
    assert {Coding(i.clip.coding) for i in StreamReader(io.BytesIO(trimmed)) if isinstance(i, ClipAt)} == {Coding.INTER}
    ((frames, values),), ((kept_frames, kept_latents),) = read_clips(out.getvalue()), read_clips(trimmed)
    assert (kept_latents == values[[frames.index(frame) for frame in kept_frames]]).all()


def test_a_larger_budget_keeps_the_same_frames(flat: LoadedModel) -> None:
    data = encode_bytes(moving_square(40), flat, "4")
    trimmed = trim_bytes(data, budget=Budget.parse("all"))
    assert [a for a, _ in read_clips(trimmed)] == [a for a, _ in read_clips(data)]


@pytest.mark.parametrize(("start", "end"), [(0, 5), (10, 40), (31, 33), (64, None), (69, 70), (5, 6)])
def test_a_trimmed_range_decodes_to_its_frames(start: int, end: int | None, flat: LoadedModel) -> None:
    data = encode_bytes(moving_square(70), flat, "3")
    trimmed = trim_bytes(data, start=start, end=end)
    decoder = Decoder(io.BytesIO(trimmed), lambda _: flat)
    timestamps = [p.pts for p in decoder]
    assert timestamps == list(range(start, end or 70))  # trimming keeps the timestamps
    assert all(frames for frames, _ in read_clips(trimmed))


def test_an_empty_range_is_rejected(flat: LoadedModel) -> None:
    with pytest.raises(UsageError, match="range"):
        dfc.trim(io.BytesIO(encode_bytes(moving_square(5), flat, "2")), io.BytesIO(), start=5)


def test_a_damaged_file_is_rejected(flat: LoadedModel) -> None:
    data = bytearray(encode_bytes(moving_square(5), flat, "2"))
    data[-60] ^= 1
    with pytest.raises(DamagedError):
        dfc.trim(io.BytesIO(bytes(data)), io.BytesIO(), budget=Budget.parse("1"))


def test_tiled_files_can_be_trimmed() -> None:
    loaded = flat_model(tile=64)
    trimmed = trim_bytes(encode_bytes(moving_square(20, 100, 150), loaded, "8"), budget=Budget.parse("2"))
    assert len(read_clips(trimmed)[0][0]) == 1  # 2 of 32, for 20 frames


@pytest.fixture(scope="module")
def with_audio(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return 100 frames at 30 frames/s with audio and two subtitles of 0.3 s, at 0.1 s and 0.7 s."""
    source = write_av(
        tmp_path_factory.mktemp("trim") / "in.mkv",
        moving_square(100, 16, 32),
        ["aac"],
        "subrip",
        Fraction(30),
        chapters=2,
    )
    out = io.BytesIO()
    dfc.encode(source, out, model=flat_model(), budget="4", fill="token")
    return out.getvalue()


def read_packets(data: bytes) -> dict[int, list[Packet]]:
    """Return the packets of audio (0) and of subtitles (1)."""
    kinds: dict[int, int] = {}
    out: dict[int, list[Packet]] = {0: [], 1: []}
    for item in StreamReader(io.BytesIO(data)):
        if isinstance(item, StreamInfo):
            kinds[item.id] = item.kind
        elif isinstance(item, Packets):
            out[kinds[item.stream]] += item.packets
    return out


@pytest.mark.parametrize(("start", "end"), [(27, 40), (30, 64), (70, None), (0, 10), (90, 200)])
def test_audio_is_trimmed_with_the_video(start: int, end: int | None, with_audio: bytes) -> None:
    original, trimmed = read_packets(with_audio), read_packets(trim_bytes(with_audio, start=start, end=end))
    assert trimmed[0]
    assert set(trimmed[0]) < set(original[0])  # with their timestamps
    first, timestamps = start * 1000 / 30, [p.pts for p in trimmed[0]]  # in milliseconds; a packet lasts 23
    assert start == 0 or first - 50 < timestamps[0] <= first  # an audio decoder needs the previous packet
    if end is not None and end < 100:
        assert end * 1000 / 30 - 25 < timestamps[-1] < end * 1000 / 30
    else:
        assert trimmed[0][-1] == original[0][-1]


def test_a_subtitle_across_the_start_begins_with_the_range(with_audio: bytes) -> None:
    (subtitle,) = read_packets(trim_bytes(with_audio, start=27, end=40))[1]
    assert (subtitle.pts, subtitle.duration, subtitle.data) == (900, 100, b"hello 1")
    assert read_packets(trim_bytes(with_audio, start=40))[1] == []


def test_a_trimmed_range_has_the_packets_of_a_decoded_range(with_audio: bytes, flat: LoadedModel) -> None:
    class PacketRecorder:
        def __init__(self) -> None:
            self.found: list[bytes] = []

        def declare(self, info: StreamInfo) -> None: ...

        def packets(self, stream: int, packets: Sequence[Packet]) -> None:
            self.found += [p.data for p in packets]

    recorded_range, recorded_trim = PacketRecorder(), PacketRecorder()
    list(Decoder(io.BytesIO(with_audio), lambda _: flat, tracks=recorded_range, span=Span.parse("#40", "#60")))
    list(Decoder(io.BytesIO(trim_bytes(with_audio, start=40, end=60)), lambda _: flat, tracks=recorded_trim))
    assert recorded_trim.found == recorded_range.found


def test_without_a_range_every_packet_is_copied(with_audio: bytes) -> None:
    assert read_packets(trim_bytes(with_audio, budget=Budget.parse("2"))) == read_packets(with_audio)
    assert (
        StreamReader(io.BytesIO(trim_bytes(with_audio, start=40))).preamble.tags
        == StreamReader(io.BytesIO(with_audio)).preamble.tags
    )
