"""Sound, subtitles, chapters and tags: through a file and back, packet by packet."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from support import Pipe, flat_model, moving, write_av

from dfccodec.codec import api
from dfccodec.codec.decoder import Decoder
from dfccodec.container.reader import ClipAt, Packets, StreamReader
from dfccodec.container.records import Header, Packet, Ratio, StreamInfo
from dfccodec.errors import DamagedError, UsageError
from dfccodec.media.chapters import Chapter, from_tags, moved, to_tags
from dfccodec.media.input.source import VideoSource
from dfccodec.media.input.tracks import title_of
from dfccodec.media.output.sink import TrackFilter, VideoSink


class Row(NamedTuple):
    pts: int | None
    dts: int | None
    duration: int | None
    data: bytes
    key: bool


def demuxed(path: Path) -> tuple[list[tuple[Any, ...]], list[list[Row]], Fraction, float]:
    """Of sound and subtitles: what the streams say, their packets; start of the picture; start of the first track."""
    with av.open(str(path)) as container:
        streams = [s for s in container.streams if s.type in ("audio", "subtitle")]
        infos = []
        for s in streams:
            context: Any = s.codec_context
            sound = (context.sample_rate, context.layout.name) if s.type == "audio" else ()
            extra = (context.extradata or b"").split(b"\0\0\0\x14btrt")[0]  # ffmpeg's muxer adds one for text
            infos.append((s.type, context.codec.canonical_name, s.time_base, extra, s.language, *sound))
        rows: dict[int, list[Row]] = {s.index: [] for s in container.streams}
        for p in container.demux():
            if p.size:
                rows[p.stream_index].append(Row(p.pts, p.dts, p.duration, bytes(p), p.is_keyframe))
        sound = next(
            (float((rows[s.index][0].pts or 0) * Fraction(s.time_base or 1)) for s in streams if rows[s.index]), 0.0
        )
        found = [rows[s.index] for s in streams]
    with VideoSource(path) as video:
        first = next(iter(video)).pts * video.info.time_base
    return infos, found, first, sound


def coded(source: Path, **options: Any) -> io.BytesIO:
    out = io.BytesIO()
    api.encode(source, out, model=flat_model(), **options)
    out.seek(0)
    return out


def back(file: io.BytesIO, target: Path, **options: Any) -> list[str]:
    decoder = Decoder(file, lambda preamble: flat_model())
    kinds = options.pop("kinds", (True, True))
    with VideoSink(target, decoder.preamble.header, tags=decoder.preamble.tags, **options) as sink:
        decoder.tracks = TrackFilter(sink, *kinds)
        for picture in decoder:
            sink.write(picture.rgb, picture.pts, picture.duration)
    return sink.notes


@pytest.mark.parametrize(
    ("suffix", "audio", "subtitles"),
    [
        (".mp4", ["aac"], None),
        (".mp4", ["aac", "libmp3lame"], "mov_text"),
        (".mov", ["pcm_s16le", "alac"], None),
        (".mkv", ["flac", "libopus"], "subrip"),
        (".mkv", ["aac", "ac3"], "ass"),
        (".webm", ["libopus"], None),
        (".avi", ["libmp3lame"], None),
    ],
)
def test_packets_come_back_untouched(suffix: str, audio: list[str], subtitles: str | None, tmp_path: Path) -> None:
    source = write_av(tmp_path / f"in{suffix}", moving(40), audio, subtitles)
    back(coded(source), tmp_path / f"out{suffix}")
    infos, rows, picture, sound = demuxed(source)
    infos2, rows2, picture2, sound2 = demuxed(tmp_path / f"out{suffix}")
    assert infos2 == infos
    assert len(infos) == len(audio) + (subtitles is not None)
    assert [[r.data for r in track] for track in rows2] == [[r.data for r in track] for track in rows]
    assert abs((sound2 - picture2) - (sound - picture)) < 0.0401  # a frame
    if suffix in (".mp4", ".mov"):  # containers with times before zero: everything to the tick
        assert rows2 == rows
    else:  # the muxer moves all streams so that none begins before zero
        for track, track2 in zip(rows, rows2, strict=True):
            shift = (track2[0].pts or 0) - (track[0].pts or 0)
            assert [(r.pts or 0) + shift for r in track] == [r.pts for r in track2]


def test_the_file_holds_packets_before_the_clip_they_play_with(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mp4", moving(100), ["aac"])
    clips, ends = 0, []
    for item in StreamReader(coded(source)):
        if isinstance(item, ClipAt):
            clips += 1
        elif isinstance(item, Packets):
            ends.append((clips, item.packets[-1].pts / 44100))
    assert [number for number, _ in ends][:4] == [0, 1, 2, 3]
    assert [end for _, end in ends][:3] == pytest.approx([32 / 25, 64 / 25, 96 / 25], abs=0.03)


def test_two_looks_and_pipes_carry_each_packet_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfccodec.codec.rate_control.temporal_rate.window_clips", lambda header: 1)

    source = write_av(tmp_path / "in.mkv", moving(40), ["flac"])
    wanted = demuxed(source)[1]
    for source_, options in (
        (source, {"budget": "auto:1:8,16"}),
        (Pipe(source.read_bytes()), {}),
        (io.BytesIO(source.read_bytes()), {"budget": "auto:1:8,16"}),
    ):
        out = io.BytesIO()
        api.encode(source_, out, model=flat_model(), **options)  # type: ignore[arg-type]
        out.seek(0)
        found = [p.data for item in StreamReader(out) if isinstance(item, Packets) for p in item.packets]
        assert found == [row.data for row in wanted[0]]


def test_a_target_counts_the_sound(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mkv", moving(40), ["flac"])
    sound = sum(len(row.data) for row in demuxed(source)[1][0])
    size = sound + 20_000
    report = api.encode(source, tmp_path / "a.dfc", model=flat_model(), target_size=size, fill="hold")
    assert report.size <= 1.03 * size


def test_tracks_are_left_out_on_request(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mkv", moving(3), ["flac", "aac"], "subrip")
    back(coded(source, audio=False), tmp_path / "a.mkv")
    assert [info[0] for info in demuxed(tmp_path / "a.mkv")[0]] == ["subtitle"]
    back(coded(source), tmp_path / "b.mkv", kinds=(True, False))
    assert [info[0] for info in demuxed(tmp_path / "b.mkv")[0]] == ["audio", "audio"]
    notes = back(coded(source), tmp_path / "c.y4m")
    assert len(notes) == 3
    assert notes[0] == "sound track 1 (flac, eng) is left out: yuv4mpegpipe has no room"


def test_a_container_that_cannot_hold_a_track_says_what_to_do(tmp_path: Path) -> None:
    file = coded(write_av(tmp_path / "in.mkv", moving(3), ["flac"], "subrip"))
    with pytest.raises(UsageError, match=r"sound track 1 \(flac.*\) does not go into webm.*libopus.*--no-audio"):
        back(file, tmp_path / "a.webm")
    file.seek(0)
    with pytest.raises(UsageError, match=r"subtitle track 2 \(subrip.*\) does not go into mpegts.*--no-subtitles"):
        back(file, tmp_path / "a.ts", audio_codec="aac")


@pytest.mark.parametrize("codec", ["aac", "flac", "eac3"])
def test_sound_in_avi_keeps_its_time(codec: str, tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mkv", moving(40), [codec])
    back(coded(source), tmp_path / "out.avi")
    rows, rows2 = demuxed(source)[1][0], demuxed(tmp_path / "out.avi")[1][0]
    rows = [r for r in rows if (r.pts or 0) + (r.duration or 0) / 2 > 0]  # what is hidden before 0 would be heard
    assert [r.data for r in rows2] == [r.data for r in rows]
    with av.open(str(tmp_path / "out.avi")) as container:
        stream = container.streams.audio[0]
        assert stream.time_base == Fraction({"aac": 1024, "flac": 4608, "eac3": 1536}[codec], 44100)
        assert sum(f.samples for f in container.decode(stream)) / 44100 == pytest.approx(1.6, abs=0.06)


def test_sound_in_ts_comes_back(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mp4", moving(40), ["aac"])
    back(coded(source), tmp_path / "out.ts")
    infos, rows, picture, sound = demuxed(tmp_path / "out.ts")
    assert [info[1] for info in infos] == ["aac"]
    assert [r.data[7:] for r in rows[0]] == [r.data for r in demuxed(source)[1][0]]  # each has a head in ts
    assert abs(sound - picture) < 0.0401


def test_sound_without_an_encoder_is_carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfccodec.media.stream_copy._has_encoder", lambda codec: False)
    for suffix, codec in ((".mkv", "ac3"), (".mp4", "aac"), (".mov", "alac")):
        source = write_av(tmp_path / f"in{suffix}", moving(3), [codec])
        back(coded(source), tmp_path / f"out{suffix}")
        infos, rows, *_ = demuxed(source)
        infos2, rows2, *_ = demuxed(tmp_path / f"out{suffix}")
        assert infos2 == infos
        assert [r.data for r in rows2[0]] == [r.data for r in rows[0]]


def test_dts_is_carried(tmp_path: Path) -> None:
    info = StreamInfo(1, 0, Ratio(1, 1000), "dts", 48000, 2, "stereo", "eng")
    with VideoSink(tmp_path / "a.mkv", Header(64, 48, Ratio(25, 1), Ratio(1, 25))) as sink:
        sink.declare(info)
        sink.packets(1, [Packet(n * 11, n * 11, 11, bytes(96)) for n in range(3)])
        sink.write(moving(1)[0], 0, 1)
    infos, rows, *_ = demuxed(tmp_path / "a.mkv")
    assert infos[0][1] == "dts"
    assert infos[0][-2:] == (48000, "2 channels")  # where they stand is in packets
    assert [r.data for r in rows[0]] == [bytes(96)] * 3


@pytest.mark.parametrize(
    ("codec", "suffix", "fix"),
    [
        ("flac", ".mov", "give --audio-codec aac or"),
        ("libopus", ".mov", "give --audio-codec aac or"),
        ("libopus", ".avi", "give --audio-codec libmp3lame or"),
        ("flac", ".ts", "give --audio-codec aac or"),
    ],
)
def test_sound_that_does_not_fit_is_refused_before_any_work(codec: str, suffix: str, fix: str, tmp_path: Path) -> None:
    file = coded(write_av(tmp_path / "in.mkv", moving(3), [codec]))
    with pytest.raises(UsageError, match=rf"sound track 1 \({codec[-4:]}.*\) does not go into .* {fix}"):
        back(file, tmp_path / f"a{suffix}")


def test_pcm_goes_into_mp4(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mkv", moving(3), ["pcm_s16le"])  # mkv says two channels, not which
    back(coded(source), tmp_path / "a.mp4")
    assert b"".join(r.data for r in demuxed(tmp_path / "a.mp4")[1][0]) == b"".join(
        r.data for r in demuxed(source)[1][0]
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_packets_of_equal_times_are_written(suffix: str, tmp_path: Path) -> None:
    """As where an .mkv was joined of two."""
    reader = StreamReader(coded(write_av(tmp_path / "in.mkv", moving(25), ["aac"]), fill="hold"))
    items = list(reader)
    info = next(item for item in items if isinstance(item, StreamInfo))
    packets = [p for item in items if isinstance(item, Packets) for p in item.packets]
    packets[9] = replace(packets[9], pts=packets[8].pts, dts=packets[8].dts)
    with VideoSink(tmp_path / f"a{suffix}", reader.preamble.header) as sink:
        sink.declare(info)
        sink.packets(info.id, packets)
        sink.write(moving(1)[0], 0, 1)
    rows = demuxed(tmp_path / f"a{suffix}")[1][0]
    assert [r.data for r in rows] == [p.data for p in packets]
    assert [r.dts for r in rows] == sorted(r.dts or 0 for r in rows)


def with_sound(path: Path, codec: str, frame: av.AudioFrame) -> Path:
    """A file of one picture and a sound track that holds one `frame`."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        sound: Any = container.add_stream(codec, rate=frame.sample_rate, layout=frame.layout.name)
        container.mux(video.encode(av.VideoFrame.from_ndarray(moving(1)[0], format="rgb24")))
        container.mux(video.encode(None))
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def silence(samples: np.ndarray, sample_format: str, layout: str, rate: int) -> av.AudioFrame:
    """A frame of these samples, from time zero on."""
    frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    return frame


@pytest.mark.parametrize(("codec", "channels"), [("libopus", 6), ("libmp3lame", 2), ("aac", 6)])
def test_channels_are_those_the_encoder_takes(codec: str, channels: int, tmp_path: Path) -> None:
    frame = silence(np.zeros((6, 1536 * 4), np.float32), "fltp", "5.1(side)", 48000)
    source = with_sound(tmp_path / "in.mkv", "ac3", frame)
    notes = back(coded(source), tmp_path / "a.mkv", audio_codec=codec)
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert container.streams.audio[0].codec_context.channels == channels
        assert sum(f.samples for f in container.decode(audio=0)) >= 4 * 1536 - 256  # of AC-3 the first are hidden
    lost = ["sound track 1 (ac3) becomes stereo: libmp3lame has no more"]
    assert notes == (lost if channels == 2 else [])


def test_the_rate_is_one_the_encoder_takes(tmp_path: Path) -> None:
    source = with_sound(tmp_path / "in.mkv", "flac", silence(np.zeros((1, 2 * 9600), np.int16), "s16", "stereo", 96000))
    back(coded(source), tmp_path / "a.mkv", audio_codec="libmp3lame")
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert container.streams.audio[0].codec_context.sample_rate == 48000


def test_an_encoder_that_does_not_fit_is_refused_before_any_work(tmp_path: Path) -> None:
    file = coded(write_av(tmp_path / "in.mkv", moving(3), ["aac"]))
    with pytest.raises(UsageError, match=r"sound track 1 .* does not go into mov with --audio-codec flac"):
        back(file, tmp_path / "a.mov", audio_codec="flac")


def test_sound_is_not_coded_by_an_encoder_of_pictures(tmp_path: Path) -> None:
    file = coded(write_av(tmp_path / "in.mkv", moving(3), ["flac"]))
    with pytest.raises(UsageError, match="--audio-codec libx264: libx264 is no encoder of sound"):
        back(file, tmp_path / "a.mkv", audio_codec="libx264")


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".mp4"), ("libopus", ".webm"), ("libmp3lame", ".avi")])
def test_sound_is_coded_anew_on_request(codec: str, suffix: str, tmp_path: Path) -> None:
    file = coded(write_av(tmp_path / "in.mkv", moving(40), ["flac"]))
    back(file, tmp_path / f"a{suffix}", audio_codec=codec)
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        seconds = sum(f.samples / f.sample_rate for f in container.decode(audio=0))
    assert seconds == pytest.approx(1.6, abs=0.06)


def test_chapters_and_tags_come_back(tmp_path: Path) -> None:
    source = write_av(
        tmp_path / "in.mkv", moving(30), [], tags={"title": "Three of us", "artist": "Nobody"}, chapters=2
    )
    back(coded(source), tmp_path / "out.mkv")
    with av.open(str(source)) as a, av.open(str(tmp_path / "out.mkv")) as b:
        assert b.metadata["title"] == "Three of us"
        assert b.metadata["ARTIST" if "ARTIST" in a.metadata else "artist"] == "Nobody"
        times = [[(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in x.chapters()] for x in (a, b)]
        assert times[0] == times[1]
        assert [c["metadata"]["title"] for c in b.chapters()] == ["Part 1", "Part 2"]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_titles_of_tracks_and_which_is_the_default_come_back(suffix: str, tmp_path: Path) -> None:
    items = list(reader := StreamReader(coded(write_av(tmp_path / "plain.mkv", moving(3), ["aac", "aac"]))))
    tags = [("TRACK001NAME", "The director speaks")]
    dispositions = {1: 0x8, 2: 0x1}  # the second is the default
    with VideoSink(source := tmp_path / "in.mkv", reader.preamble.header, tags=tags) as sink:
        for info in (item for item in items if isinstance(item, StreamInfo)):
            sink.declare(replace(info, disposition=dispositions[info.id]))
        for item in (item for item in items if isinstance(item, Packets)):
            sink.packets(item.stream, item.packets)
        sink.write(moving(1)[0], 0, 1)
    file = coded(source)
    assert tags[0] in StreamReader(io.BytesIO(file.getvalue())).preamble.tags
    back(file, out := tmp_path / f"out{suffix}")
    with av.open(str(out)) as container:
        sounds = container.streams.audio
        assert [title_of(s) for s in sounds] == ["The director speaks", ""]
        assert [int(s.disposition) & 0x9 for s in sounds] == [0x8, 0x1]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov"])
def test_forced_subtitles_and_languages_come_back(suffix: str, tmp_path: Path) -> None:
    infos = [
        StreamInfo(1, 1, Ratio(1, 1000), "subrip", language="deu", disposition=0x41),  # forced, default
        StreamInfo(2, 1, Ratio(1, 1000), "subrip", language="fra", disposition=0x80),  # for the hearing impaired
    ]
    tags = [("TRACK001NAME", "Signs"), ("TRACK002NAME", "All")]
    with VideoSink(source := tmp_path / "in.mkv", Header(64, 48, Ratio(25, 1), Ratio(1, 25)), tags=tags) as sink:
        for info in infos:
            sink.declare(info)
            sink.packets(info.id, [Packet(100, 100, 300, b"hello")])
        for n, frame in enumerate(moving(25)):
            sink.write(frame, n, 1)
    notes = back(coded(source), out := tmp_path / f"out{suffix}")
    with av.open(str(out)) as container:
        texts = container.streams.subtitles
        assert [title_of(s) for s in texts] == ["Signs", "All"]
        assert [s.language for s in texts] == [{".mov": "ger"}.get(suffix, "deu"), "fra"]
        if suffix != ".mov":
            assert [int(s.disposition) & 0xFF for s in texts] == [0x41, 0x80]
    told = "subtitle track 1 (subrip, deu) is forced, which mov does not say: name an .mp4 or .mkv to keep it"
    assert (told in notes) == (suffix == ".mov")


def test_chapters_as_tags() -> None:
    chapters = [Chapter(Fraction(0), Fraction(1, 3), "α"), Chapter(Fraction(1, 3), Fraction(7300))]
    found, others = from_tags([("title", "x"), *to_tags(chapters)])
    assert others == [("title", "x")]
    assert [c.title for c in found] == ["α", ""]
    assert max(abs(a.end - b.end) for a, b in zip(chapters, found, strict=True)) < Fraction(1, 10**9)
    plain = [("CHAPTER01", "odd"), ("CHAPTER001", "00:00:00.000"), ("CHAPTER002", "00:01:00.5"), ("CHAPTER003", "?")]
    assert from_tags(plain)[0] == [
        Chapter(Fraction(0), Fraction(121, 2)),
        Chapter(Fraction(121, 2), Fraction(121, 2)),
    ]
    assert moved(found, Fraction(1), Fraction(10)) == [Chapter(Fraction(0), Fraction(9))]


def test_what_cannot_be_carried_is_named(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.add_attachment("font.ttf", "font/ttf", b"glyphs")
        for frame in moving(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    with VideoSource(path) as video:
        assert video.notes == ["stream 1 (attachment, font.ttf) is not carried"]


def test_streams_that_nobody_declared_do_no_harm(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "a.mkv", Header(64, 48, Ratio(25, 1), Ratio(1, 25))) as sink:
        sink.packets(7, [Packet(0, 0, 1, b"x")])
        sink.write(moving(1)[0], 0, 1)
    assert demuxed(tmp_path / "a.mkv")[1] == []


def test_a_track_declared_after_packets_is_left_out(tmp_path: Path) -> None:
    # ffmpeg divides by zero where a stream comes after the head of the file was written.
    source = coded(write_av(tmp_path / "in.mkv", moving(4), ["flac"]), fill="hold")
    reader = StreamReader(source)
    items = list(reader)
    info = next(item for item in items if isinstance(item, StreamInfo))
    packets = next(item for item in items if isinstance(item, Packets)).packets
    with VideoSink(tmp_path / "out.mkv", reader.preamble.header) as sink:
        sink.declare(info)
        sink.packets(info.id, packets)
        sink.write(moving(1)[0], 0, 1)
        sink.declare(replace(info, id=info.id + 1))
        sink.packets(info.id + 1, packets)
    assert sink.notes == [f"sound track {info.id + 1} (flac, eng) is left out: declared too late"]


def test_a_stream_declared_twice_is_damage(tmp_path: Path) -> None:
    source = coded(write_av(tmp_path / "in.mkv", moving(4), ["flac"]), fill="hold").getvalue()
    place = source.index(b"strm")
    size = int.from_bytes(source[place + 4 : place + 8], "little") + 12
    twice = source[: place + size] + source[place : place + size] + source[place + size :]
    with pytest.raises(DamagedError, match="declared twice"):
        list(Decoder(io.BytesIO(twice), lambda preamble: flat_model()))
    decoder = Decoder(io.BytesIO(twice), lambda preamble: flat_model(), conceal=True)
    assert len(list(decoder)) == 4
