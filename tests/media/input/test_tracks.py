"""Stream copy of audio and subtitles through a .dfc file, compared packet by packet."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from support import Pipe, flat_model, moving_square, write_av
from track_roundtrip import decode_file, demux_tracks, encode_file

from dfccodec.codec import api
from dfccodec.codec.decoder import Decoder
from dfccodec.container.reader import ClipAt, Packets, StreamReader
from dfccodec.container.records import Header, Packet, Ratio, StreamInfo
from dfccodec.errors import DamagedError, UsageError
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.sink import VideoSink


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
def test_stream_copy_roundtrip(suffix: str, audio: list[str], subtitles: str | None, tmp_path: Path) -> None:
    source = write_av(tmp_path / f"in{suffix}", moving_square(40), audio, subtitles)
    decode_file(encode_file(source), tmp_path / f"out{suffix}")
    infos, rows, picture, audio_start = demux_tracks(source)
    infos2, rows2, picture2, audio_start2 = demux_tracks(tmp_path / f"out{suffix}")
    assert infos2 == infos
    assert len(infos) == len(audio) + (subtitles is not None)
    assert [[r.data for r in track] for track in rows2] == [[r.data for r in track] for track in rows]
    assert abs((audio_start2 - picture2) - (audio_start - picture)) < 0.0401  # a frame
    if suffix in (".mp4", ".mov"):  # containers with negative timestamps are exact
        assert rows2 == rows
    else:  # the muxer shifts all streams to start at 0 or later
        for track, track2 in zip(rows, rows2, strict=True):
            shift = (track2[0].pts or 0) - (track[0].pts or 0)
            assert [(r.pts or 0) + shift for r in track] == [r.pts for r in track2]


def test_packets_precede_their_clip(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mp4", moving_square(100), ["aac"])
    clips, ends = 0, []
    for item in StreamReader(encode_file(source)):
        if isinstance(item, ClipAt):
            clips += 1
        elif isinstance(item, Packets):
            ends.append((clips, item.packets[-1].pts / 44100))
    assert [number for number, _ in ends][:4] == [0, 1, 2, 3]
    assert [end for _, end in ends][:3] == pytest.approx([32 / 25, 64 / 25, 96 / 25], abs=0.03)


def test_two_passes_and_pipes_carry_each_packet_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfccodec.codec.rate_control.temporal_rate.window_clips", lambda header: 1)

    source = write_av(tmp_path / "in.mkv", moving_square(40), ["flac"])
    wanted = demux_tracks(source)[1]
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


def test_target_size_includes_audio(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mkv", moving_square(40), ["flac"])
    audio_bytes = sum(len(row.data) for row in demux_tracks(source)[1][0])
    size = audio_bytes + 20_000
    report = api.encode(source, tmp_path / "a.dfc", model=flat_model(), target_size=size, fill="hold")
    assert report.size <= 1.03 * size


def test_tracks_can_be_disabled(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mkv", moving_square(3), ["flac", "aac"], "subrip")
    decode_file(encode_file(source, audio=False), tmp_path / "a.mkv")
    assert [info[0] for info in demux_tracks(tmp_path / "a.mkv")[0]] == ["subtitle"]
    decode_file(encode_file(source), tmp_path / "b.mkv", kinds=(True, False))
    assert [info[0] for info in demux_tracks(tmp_path / "b.mkv")[0]] == ["audio", "audio"]
    notes = decode_file(encode_file(source), tmp_path / "c.y4m")
    assert len(notes) == 3
    assert notes[0] == "audio track 1 (flac, eng) is discarded: yuv4mpegpipe stores video only"


def test_unsupported_track_error_names_fix(tmp_path: Path) -> None:
    file = encode_file(write_av(tmp_path / "in.mkv", moving_square(3), ["flac"], "subrip"))
    with pytest.raises(UsageError, match=r"audio track 1 \(flac.*\) does not fit into webm.*libopus.*--no-audio"):
        decode_file(file, tmp_path / "a.webm")
    file.seek(0)
    with pytest.raises(UsageError, match=r"subtitle track 2 \(subrip.*\) does not fit into mpegts.*--no-subtitles"):
        decode_file(file, tmp_path / "a.ts", audio_codec="aac")


@pytest.mark.parametrize("codec", ["aac", "flac", "eac3"])
def test_audio_in_avi_keeps_timestamps(codec: str, tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mkv", moving_square(40), [codec])
    decode_file(encode_file(source), tmp_path / "out.avi")
    rows, rows2 = demux_tracks(source)[1][0], demux_tracks(tmp_path / "out.avi")[1][0]
    rows = [r for r in rows if (r.pts or 0) + (r.duration or 0) / 2 > 0]  # audio before 0 would be played
    assert [r.data for r in rows2] == [r.data for r in rows]
    with av.open(str(tmp_path / "out.avi")) as container:
        stream = container.streams.audio[0]
        assert stream.time_base == Fraction({"aac": 1024, "flac": 4608, "eac3": 1536}[codec], 44100)
        assert sum(f.samples for f in container.decode(stream)) / 44100 == pytest.approx(1.6, abs=0.06)


def test_audio_in_ts_roundtrip(tmp_path: Path) -> None:
    source = write_av(tmp_path / "in.mp4", moving_square(40), ["aac"])
    decode_file(encode_file(source), tmp_path / "out.ts")
    infos, rows, picture, audio_start = demux_tracks(tmp_path / "out.ts")
    assert [info[1] for info in infos] == ["aac"]
    assert [r.data[7:] for r in rows[0]] == [r.data for r in demux_tracks(source)[1][0]]  # in ts, each has a header
    assert abs(audio_start - picture) < 0.0401


def test_audio_without_encoder_is_carried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfccodec.media.stream_copy._has_encoder", lambda codec: False)
    for suffix, codec in ((".mkv", "ac3"), (".mp4", "aac"), (".mov", "alac")):
        source = write_av(tmp_path / f"in{suffix}", moving_square(3), [codec])
        decode_file(encode_file(source), tmp_path / f"out{suffix}")
        infos, rows, *_ = demux_tracks(source)
        infos2, rows2, *_ = demux_tracks(tmp_path / f"out{suffix}")
        assert infos2 == infos
        assert [r.data for r in rows2[0]] == [r.data for r in rows[0]]


def test_dts_is_carried(tmp_path: Path) -> None:
    info = StreamInfo(1, 0, Ratio(1, 1000), "dts", 48000, 2, "stereo", "eng")
    with VideoSink(tmp_path / "a.mkv", Header(64, 48, Ratio(25, 1), Ratio(1, 25))) as sink:
        sink.declare(info)
        sink.packets(1, [Packet(n * 11, n * 11, 11, bytes(96)) for n in range(3)])
        sink.write(moving_square(1)[0], 0, 1)
    infos, rows, *_ = demux_tracks(tmp_path / "a.mkv")
    assert infos[0][1] == "dts"
    assert infos[0][-2:] == (48000, "2 channels")  # the layout is stored in packets
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
def test_unsupported_audio_is_rejected_early(codec: str, suffix: str, fix: str, tmp_path: Path) -> None:
    file = encode_file(write_av(tmp_path / "in.mkv", moving_square(3), [codec]))
    with pytest.raises(UsageError, match=rf"audio track 1 \({codec[-4:]}.*\) does not fit into .* {fix}"):
        decode_file(file, tmp_path / f"a{suffix}")


def test_pcm_in_mp4(tmp_path: Path) -> None:
    source = write_av(
        tmp_path / "in.mkv", moving_square(3), ["pcm_s16le"]
    )  # mkv states the number of channels, not their layout
    decode_file(encode_file(source), tmp_path / "a.mp4")
    assert b"".join(r.data for r in demux_tracks(tmp_path / "a.mp4")[1][0]) == b"".join(
        r.data for r in demux_tracks(source)[1][0]
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_packets_with_equal_timestamps_are_written(suffix: str, tmp_path: Path) -> None:
    """As in an .mkv that was concatenated from two files."""
    reader = StreamReader(encode_file(write_av(tmp_path / "in.mkv", moving_square(25), ["aac"]), fill="hold"))
    items = list(reader)
    info = next(item for item in items if isinstance(item, StreamInfo))
    packets = [p for item in items if isinstance(item, Packets) for p in item.packets]
    packets[9] = replace(packets[9], pts=packets[8].pts, dts=packets[8].dts)
    with VideoSink(tmp_path / f"a{suffix}", reader.preamble.header) as sink:
        sink.declare(info)
        sink.packets(info.id, packets)
        sink.write(moving_square(1)[0], 0, 1)
    rows = demux_tracks(tmp_path / f"a{suffix}")[1][0]
    assert [r.data for r in rows] == [p.data for p in packets]
    assert [r.dts for r in rows] == sorted(r.dts or 0 for r in rows)


def test_uncarried_streams_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.add_attachment("font.ttf", "font/ttf", b"glyphs")
        for frame in moving_square(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    with VideoSource(path) as video:
        assert video.notes == ["stream 1 (attachment, font.ttf) is not carried"]


def test_undeclared_streams_are_ignored(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "a.mkv", Header(64, 48, Ratio(25, 1), Ratio(1, 25))) as sink:
        sink.packets(7, [Packet(0, 0, 1, b"x")])
        sink.write(moving_square(1)[0], 0, 1)
    assert demux_tracks(tmp_path / "a.mkv")[1] == []


def test_late_declared_track_is_discarded(tmp_path: Path) -> None:
    # ffmpeg divides by zero if a stream is added after the file header was written.
    source = encode_file(write_av(tmp_path / "in.mkv", moving_square(4), ["flac"]), fill="hold")
    reader = StreamReader(source)
    items = list(reader)
    info = next(item for item in items if isinstance(item, StreamInfo))
    packets = next(item for item in items if isinstance(item, Packets)).packets
    with VideoSink(tmp_path / "out.mkv", reader.preamble.header) as sink:
        sink.declare(info)
        sink.packets(info.id, packets)
        sink.write(moving_square(1)[0], 0, 1)
        sink.declare(replace(info, id=info.id + 1))
        sink.packets(info.id + 1, packets)
    assert sink.notes == [f"audio track {info.id + 1} (flac, eng) is discarded: it was declared too late"]


def test_duplicate_stream_declaration_is_damage(tmp_path: Path) -> None:
    source = encode_file(write_av(tmp_path / "in.mkv", moving_square(4), ["flac"]), fill="hold").getvalue()
    place = source.index(b"strm")
    size = int.from_bytes(source[place + 4 : place + 8], "little") + 12
    twice = source[: place + size] + source[place : place + size] + source[place + size :]
    with pytest.raises(DamagedError, match="declared twice"):
        list(Decoder(io.BytesIO(twice), lambda preamble: flat_model()))
    decoder = Decoder(io.BytesIO(twice), lambda preamble: flat_model(), conceal=True)
    assert len(list(decoder)) == 4
