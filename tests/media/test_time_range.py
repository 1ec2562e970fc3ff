"""Time ranges: notation, the frames they select, and audio sync."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import Pipe, flat_model, moving_square, write_av, write_video

from dfccodec.codec import api
from dfccodec.codec.decoder import Decoder
from dfccodec.codec.encoder import encode_pictures
from dfccodec.container.records import Header, Packet, Ratio, StreamInfo
from dfccodec.errors import UsageError
from dfccodec.media.cfr import parse_rate, to_constant_rate
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.sink import VideoSink
from dfccodec.media.picture import Picture, SourceInfo
from dfccodec.media.time_range import Point, Span


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("90", Point(Fraction(90))),
        ("1.5", Point(Fraction(3, 2))),
        (".5", Point(Fraction(1, 2))),
        ("2.", Point(Fraction(2))),
        ("1:30", Point(Fraction(90))),
        ("01:00:00.250", Point(3600 + Fraction(1, 4))),
        ("#17", Point(frame=17)),
    ],
)
def test_points_are_parsed_exactly(text: str, point: Point) -> None:
    assert Point.parse(text) == point


@pytest.mark.parametrize("text", ["", "x", ".", "-1", "1:", "#", "#1.5", "1e3", "٣"])
def test_invalid_points_are_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="is not understood"):
        Point.parse(text)


@pytest.mark.parametrize(
    "options", [("2", "1", None), ("#2", "#2", None), (None, "#0", None), (None, None, "0"), ("1", "2", "3")]
)
def test_empty_ranges_are_rejected(options: tuple[str | None, str | None, str | None]) -> None:
    with pytest.raises(UsageError, match=r"is an empty range|give only one of them"):
        Span.parse(*options)


RANGES = [
    ((None, None, None), range(100)),
    (("1", None, None), range(25, 100)),
    (("#40", "#41", None), range(40, 41)),
    (("1.02", None, "0.4"), range(26, 36)),
    (("#70", "3", None), range(70, 75)),
    ((None, None, "#5"), range(5)),
    (("0:03.99", None, "10"), []),
]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a hundred frames, each with its own grey level, and audio."""
    grey = np.repeat(np.arange(100, dtype=np.uint8) * 2 + 20, 48 * 64 * 3).reshape(100, 48, 64, 3)
    return write_av(tmp_path_factory.mktemp("times") / "in.mp4", grey, ["aac"], tags={"title": "grey"})


def grey_levels(pictures: Any) -> list[int]:
    return [round((float(p.rgb.mean()) - 20) / 2) for p in pictures]


@pytest.mark.parametrize(("texts", "frames"), RANGES)
def test_range_of_source(texts: tuple[str | None, ...], frames: Any, video: Path) -> None:
    span = Span.parse(*texts)
    if not frames:
        with pytest.raises(UsageError, match="the range contains no frame"):
            VideoSource(video, span=span)
        return
    with VideoSource(video, span=span) as source:
        pictures = list(source)
        assert np.abs(np.array(grey_levels(pictures)) - frames).max() <= 1  # grey levels are coded with loss
        assert [p.pts * source.info.time_base * 25 for p in pictures] == list(range(len(frames)))
        last = pictures[-1]
        assert (last.pts + last.duration) * source.info.time_base == Fraction(len(frames), 25)


class PacketRecorder:
    """Records packets."""

    def __init__(self) -> None:
        self.found: list[Packet] = []

    def declare(self, info: StreamInfo) -> None:
        assert info.codec in ("aac", "subrip")

    def packets(self, stream: int, packets: Any) -> None:
        self.found += packets


@pytest.mark.parametrize("cut_when", ["encode", "decode", "decode a pipe"])
@pytest.mark.parametrize(("texts", "frames"), [r for r in RANGES[1:] if r[1]])
def test_audio_is_trimmed_with_video(texts: tuple[str | None, ...], frames: Any, cut_when: str, video: Path) -> None:
    span, out, ear = Span.parse(*texts), io.BytesIO(), PacketRecorder()
    early = cut_when == "encode"
    api.encode(video, out, model=flat_model(), budget="all", fill="hold", qp=0, span=span if early else Span())
    file = Pipe(out.getvalue()) if "pipe" in cut_when else io.BytesIO(out.getvalue())
    decoder = Decoder(file, lambda p: flat_model(), tracks=ear, span=Span() if early else span)
    pictures = list(decoder)
    assert np.abs(np.array(grey_levels(pictures)) - frames).max() <= 1
    assert pictures[0].pts == 0
    with av.open(str(video)) as container:
        source = [p for p in container.demux(audio=0) if p.size]
    begin, end = frames[0] / 25, (frames[-1] + 1) / 25
    inside = [p for p in source if begin * 44100 < p.pts + 2048 and p.pts < end * 44100]
    assert [p.data for p in ear.found] == [bytes(p) for p in inside]
    assert all(abs(a.pts - (b.pts - begin * 44100)) < 1 for a, b in zip(ear.found, inside, strict=True))


def test_range_reads_only_needed_bytes(tmp_path: Path) -> None:
    class Counted(io.BytesIO):
        bytes = 0

        def read(self, count: int | None = -1, /) -> bytes:
            data = super().read(count)
            self.bytes += len(data)
            return data

    frames = np.random.default_rng(0).integers(0, 255, (32, 96, 128, 3), np.uint8)
    source = write_av(tmp_path / "in.mkv", np.concatenate([frames] * 12), ["flac"])
    out = io.BytesIO()
    api.encode(source, out, model=flat_model(), budget="all", fill="hold")
    file = Counted(out.getvalue())
    decoder = Decoder(file, lambda p: flat_model(), tracks=(ear := PacketCounter()), span=Span.parse("#200", "#210"))
    assert len(list(decoder)) == 10
    assert ear.count
    assert file.bytes < 0.26 * len(out.getvalue())  # 1 clip of 12, its audio, the audio of the first clip, the index
    whole = io.BytesIO(out.getvalue())
    decoder = Decoder(whole, lambda p: flat_model(), span=Span.parse("#200", "#210"))
    wanted = [picture.rgb for picture in decoder]
    for cut in (out.getvalue()[:-9] + b"x" + out.getvalue()[-8:], out.getvalue()[: 7 * len(out.getvalue()) // 8]):
        file = Counted(cut)  # works without an index
        decoder = Decoder(file, lambda p: flat_model(), span=Span.parse("#200", "#210"))
        assert all((a.rgb == b).all() for a, b in zip(decoder, wanted, strict=True))
        assert file.bytes < 0.25 * len(cut)


@pytest.mark.parametrize("way", ["index", "no index", "pipe"])
@pytest.mark.parametrize("start", ["9", "#226", "1.5"])
def test_subtitle_starting_before_range_is_kept(way: str, start: str, tmp_path: Path) -> None:
    frames = moving_square(300, 16, 32)
    with VideoSink(tmp_path / "in.mkv", Header(32, 16, Ratio(25, 1), Ratio(1, 25))) as sink:
        sink.declare(StreamInfo(1, 1, Ratio(1, 1000), "subrip"))
        texts = [Packet(n * 1000, n * 1000, 9500 if n == 1 else 400, b"%d" % n, True) for n in range(12)]
        sink.packets(1, texts)
        for number, frame in enumerate(frames):
            sink.write(frame, number, 1)
    out = io.BytesIO()
    api.encode(tmp_path / "in.mkv", out, model=flat_model(), budget="2", fill="hold")
    data = out.getvalue()
    file = {"index": io.BytesIO(data), "no index": io.BytesIO(data[:-9]), "pipe": Pipe(data)}[way]
    ear = PacketRecorder()
    pictures = list(Decoder(file, lambda p: flat_model(), tracks=ear, span=Span.parse(start, None, "1")))
    assert len(pictures) == 25
    found = [(int(p.data), p.pts, p.duration) for p in ear.found]
    wanted = {
        "9": [(1, 0, 1500), (9, 0, 400)],
        "#226": [(1, 0, 1460), (9, 0, 360), (10, 960, 400)],
        "1.5": [(1, 0, 8980), (2, 480, 400)],  # the first frame is at 1.52
    }
    assert found == wanted[start]


class PacketCounter:
    """Counts packets."""

    count = 0

    def declare(self, info: StreamInfo) -> None:
        pass

    def packets(self, stream: int, packets: Any) -> None:
        self.count += len(packets)


@pytest.mark.parametrize("start", [-1000, 0, 1400])
def test_negative_and_large_timestamps_survive(start: int) -> None:
    stamps, base = [start + t for t in (0, 40, 95, 200)], Fraction(1, 1001)
    pictures = [Picture(f, t, d) for f, t, d in zip(moving_square(4), stamps, (40, 55, 105, 7), strict=True)]
    out = io.BytesIO()
    encode_pictures(pictures, SourceInfo(64, 48, Fraction(0), base), out, flat_model())
    out.seek(0)
    decoder = Decoder(out, lambda p: flat_model())
    assert decoder.preamble.header.time_base == Ratio(1, 1001)
    assert [(p.pts, p.duration) for p in decoder] == [(p.pts, p.duration) for p in pictures]


def test_missing_timestamps_are_filled_in(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.h264", moving_square(5), Fraction(50))  # a raw stream has no timestamps
    with VideoSource(path) as source:
        pictures = list(source)
    assert len(pictures) == 5
    assert {p.duration * source.info.time_base for p in pictures} == {Fraction(1, 50)}
    assert [b.pts - a.pts for a, b in itertools.pairwise(pictures)] == [pictures[0].duration] * 4


def test_single_wrong_timestamp_is_corrected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = VideoSource._decode

    def one_wrong(source: VideoSource) -> Iterator[Any]:
        for number, frame in enumerate(decode(source)):
            frame.pts = 0 if number == 40 else frame.pts
            yield frame

    monkeypatch.setattr(VideoSource, "_decode", one_wrong)
    with VideoSource(write_video(tmp_path / "a.mp4", moving_square(60))) as video:
        times = [p.pts for p in video]
    assert len(times) == 60
    assert times == sorted(set(times))


def test_single_frame_video(tmp_path: Path) -> None:
    with VideoSource(write_video(tmp_path / "a.mp4", moving_square(1))) as source:
        (picture,) = source
        assert picture.duration * source.info.time_base == Fraction(1, 25)


def test_constant_rate_repeats_and_discards_frames() -> None:
    stamps = [0, 100, 130, 160, 200, 1000]
    pictures = [Picture(np.full(1, n), t, u - t) for n, (t, u) in enumerate(itertools.pairwise(stamps))]
    found = list(to_constant_rate(pictures, Fraction(1, 1000), Fraction(10)))
    assert [p.pts for p in found] == list(range(10))
    assert [int(p.rgb[0]) for p in found] == [0, 2] + [4] * 8
    (only,) = to_constant_rate(pictures[:2], Fraction(1, 1000), Fraction(1, 10))  # 0.13 s is less than half a frame
    assert (only.pts, int(only.rgb[0])) == (0, 1)
    assert not list(to_constant_rate([], Fraction(1, 1000), Fraction(25)))
    assert parse_rate("30000/1001") == Fraction(30000, 1001)
    for text in ("0", "x", "1/0", "-1", "1e9", "nan"):
        with pytest.raises(UsageError, match="not understood"):
            parse_rate(text)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_late_range_is_seeked_with_equal_result(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"in{suffix}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in moving_square(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    found = []
    for threshold in (99, 1):
        monkeypatch.setattr("dfccodec.media.input.source._MIN_SEEK_SECONDS", threshold)
        with VideoSource(path, span=Span.parse("1.5", duration="#9")) as source:
            found.append((list(source), source._frame_count))
    (whole, decoded), (sought, fewer) = found
    assert [(p.pts, p.duration) for p in sought] == [(p.pts, p.duration) for p in whole]
    assert all((a.rgb == b.rgb).all() for a, b in zip(whole, sought, strict=True))
    assert len(whole) == 9
    assert fewer < decoded - 20
