"""Sound that is coded anew: packets that do not decode, layouts that players read, times."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from sounds import RATE, beats, film, heard, onsets, tones
from support import Pipe, decoded_into, encoded, flat_model

from dfccodec.codec import api
from dfccodec.container.records import Header, Ratio, StreamInfo
from dfccodec.errors import UsageError
from dfccodec.media.output.sink import VideoSink
from dfccodec.media.time_range import Span


def spoilt(source: Path, target: Path, number: int | None) -> Path:
    """A copy of a file whose packet of sound with that number is junk; with None every one is."""
    with av.open(str(source)) as a, av.open(str(target), "w") as b:
        streams = {s.index: b.add_stream_from_template(s) for s in a.streams}
        count = 0
        for packet in a.demux():
            if not packet.size:
                continue
            made = packet
            if packet.stream.type == "audio":
                if number in (None, count):
                    made = av.Packet(b"\xff" * packet.size)
                    made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
                    made.duration, made.is_keyframe = packet.duration, True
                count += 1
            made.stream = streams[packet.stream_index]
            b.mux(made)
    return target


@pytest.mark.parametrize(("codec", "name", "samples"), [("libmp3lame", "mp3float", 1152), ("flac", "flac", 4608)])
def test_sound_that_does_not_decode_is_silence_and_the_rest_keeps_its_time(
    codec: str, name: str, samples: int, tmp_path: Path
) -> None:
    whole = film(tmp_path / "whole.mkv", codec, tones(2, [0.2, 1.6]))
    notes = decoded_into(tmp_path / "good.mkv", encoded(whole), audio_codec="pcm_s16le")
    assert notes == []
    source = spoilt(whole, tmp_path / "in.mkv", 15)
    notes = decoded_into(tmp_path / "out.mkv", encoded(source), audio_codec="pcm_s16le")
    assert len(notes) == 1
    assert notes[0].startswith(f"1 packet of sound track 1 ({codec.removeprefix('libmp3')[:4].replace('lame', 'mp3')})")
    good, found = heard(tmp_path / "good.mkv"), heard(tmp_path / "out.mkv")
    assert np.abs(np.subtract(onsets(found), onsets(good))).max() <= 48
    assert len(good) - len(found) in (0, samples)


def test_sound_of_which_nothing_decodes_leaves_a_video(tmp_path: Path) -> None:
    source = spoilt(film(tmp_path / "whole.mkv", "libmp3lame", tones(2, [1])), tmp_path / "in.mkv", None)
    notes = decoded_into(tmp_path / "out.mkv", encoded(source), audio_codec="aac")
    assert len(notes) == 1
    assert "of sound track 1 (mp3) " in notes[0]
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert sum(1 for _ in out.decode(video=0)) == 50


@pytest.mark.parametrize(
    ("codec", "layout", "becomes"),
    [
        ("ac3", "5.1(side)", "5.1"), ("ac3", "5.0(side)", "5.0"), ("flac", "2.1", "5.1"), ("flac", "quad", "5.0"),
        ("flac", "7.1", "7.1"),
    ],
)  # fmt: skip
def test_aac_has_a_layout_that_players_know(codec: str, layout: str, becomes: str, tmp_path: Path) -> None:
    channels = av.AudioLayout(layout).nb_channels
    source = film(tmp_path / "in.mkv", codec, tones(1, [0.4], channels), layout, seconds=1)
    assert decoded_into(tmp_path / "out.mp4", encoded(source), audio_codec="aac") == []
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.audio[0].codec_context
        assert context.layout.name == becomes
        head = int.from_bytes((context.extradata or b"")[:2], "big")
        assert head >> 3 & 15 == {"5.1": 6, "5.0": 5, "7.1": 7}[becomes]
        packed = av.AudioResampler("flt", becomes)  # PyAV crashes on eight planes
        parts = [p.to_ndarray() for f in container.decode(audio=0) for p in packed.resample(f)]
        frames = np.concatenate(parts, 1).reshape(-1, len(context.layout.channels)).T
    names = [channel.name for channel in av.AudioLayout(becomes).channels]
    loud = {name for name, samples in zip(names, frames, strict=True) if np.abs(samples).max() > 0.2}
    had = {channel.name.replace("S", "B") for channel in av.AudioLayout(layout).channels}
    assert loud & {"FL", "FR", "BL", "BR"} == had & {"FL", "FR", "BL", "BR"}


def test_sound_that_changes_its_channels_on_the_way_is_coded_anew(tmp_path: Path) -> None:
    parts = [
        film(tmp_path / f"{n}.mkv", "ac3", tones(1, [0.5], n), name, seconds=1)
        for n, name in ((1, "mono"), (2, "stereo"))
    ]
    with av.open(str(tmp_path / "in.mkv"), "w") as out:
        made: dict[int, Any] = {}
        for number, part in enumerate(parts):
            with av.open(str(part)) as container:
                for stream in container.streams:
                    made.setdefault(stream.index, out.add_stream_from_template(stream) if not number else None)
                for packet in container.demux():
                    if packet.size and (not number or packet.stream.type == "audio"):
                        if number:
                            packet.pts = packet.dts = (packet.pts or 0) + 1000
                        packet.stream = made[packet.stream_index]
                        out.mux(packet)
    assert decoded_into(tmp_path / "out.mp4", encoded(tmp_path / "in.mkv"), audio_codec="aac") == []
    assert [round(n / RATE, 1) for n in onsets(heard(tmp_path / "out.mp4"))] == [0.5, 1.5]


def kind(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.codec.canonical_name


@pytest.mark.parametrize(
    ("codec", "source", "rate"),
    [
        ("adpcm_ima_wav", ".avi", 8000), ("adpcm_ms", ".avi", 48000), ("wmav2", ".avi", 48000),
        ("wmav2", ".asf", 48000), ("wmav1", ".asf", 48000),
    ],
)  # fmt: skip
def test_sound_that_only_its_container_explains_is_stored_as_flac(
    codec: str, source: str, rate: int, tmp_path: Path
) -> None:
    path = film(tmp_path / f"in{source}", codec, tones(2, [0.3, 1.5])[:, :: RATE // rate], rate=rate)
    wanted, name = beats(path), kind(path)
    for data in (path, Pipe(path.read_bytes())):
        out = io.BytesIO()
        notes = api.encode(data, out, model=flat_model(), fill="hold", budget="all").notes
        note = f"sound track 1 ({name}) is stored as flac: its packets cannot be decoded outside of its container"
        assert notes == (note,)
        for suffix in (".mkv", ".mp4", ".avi"):
            assert decoded_into(tmp_path / f"out{suffix}", out.getvalue()) == []
            slack = 0.05 if suffix == ".avi" else 0.001  # .avi counts packets, .mkv milliseconds
            assert beats(tmp_path / f"out{suffix}") == pytest.approx(wanted, abs=slack)


def test_stored_flac_ends_where_a_range_does(tmp_path: Path) -> None:
    path = film(tmp_path / "in.avi", "adpcm_ima_wav", tones(2, [0.3, 0.95, 1.05])[:, ::6], rate=8000)
    decoded_into(tmp_path / "out.mkv", encoded(path, span=Span.parse("0.52", "1", None)))
    assert [round(seconds, 2) for seconds in beats(tmp_path / "out.mkv")][:1] == [0.43]


@pytest.mark.parametrize(
    ("codec", "source", "rate", "becomes"),
    [
        ("pcm_mulaw", ".avi", 8000, {".mkv": "flac", ".mp4": "flac", ".avi": "pcm_mulaw", ".mov": "pcm_mulaw"}),
        ("pcm_alaw", ".mov", 8000, {".mkv": "flac", ".mp4": "flac"}),
        ("g722", ".nut", 16000, {".mkv": "flac", ".avi": "pcm_s16le"}),
        ("adpcm_yamaha", ".avi", 48000, {".mkv": "flac", ".mov": "pcm_s16le", ".avi": "pcm_s16le"}),
        ("adpcm_ima_qt", ".mov", 48000, {".mkv": "flac", ".mov": "adpcm_ima_qt", ".avi": "pcm_s16le"}),
        ("pcm_f32be", ".mov", 48000, {".mkv": "pcm_f32le", ".mov": "pcm_f32be"}),
        ("pcm_s16be", ".mov", 48000, {".mkv": "pcm_s16be", ".avi": "pcm_s16le"}),
    ],
)  # fmt: skip
def test_sound_without_a_place_becomes_what_loses_nothing(
    codec: str, source: str, rate: int, becomes: dict[str, str], tmp_path: Path
) -> None:
    path = film(tmp_path / f"in{source}", codec, tones(2, [0.3, 1.5])[:, :: RATE // rate], rate=rate)
    wanted, name, data = beats(path), kind(path), encoded(path)
    for suffix, other in becomes.items():
        notes = decoded_into(tmp_path / f"out{suffix}", data)
        assert notes == ([f"sound track 1 ({name}) becomes {other}"] if other != name else [])
        assert kind(tmp_path / f"out{suffix}") == other
        assert beats(tmp_path / f"out{suffix}") == pytest.approx(wanted, abs=0.0015)  # G.722 starts 22 samples early


def test_a_refusal_names_a_container_that_takes_the_track(tmp_path: Path) -> None:
    header = Header(64, 48, Ratio(25, 1), Ratio(1, 25))
    for suffix, info, message in [
        (
            ".webm",
            StreamInfo(1, 0, Ratio(1, 8000), "pcm_mulaw", 8000, 1, "mono"),
            "name an .mkv, or give --audio-codec",
        ),
        (".mkv", StreamInfo(1, 0, Ratio(1, 99), "wmav2", 48000, 2, "stereo"), "encode it again, or give --no-audio"),
        (".avi", StreamInfo(1, 0, Ratio(1, 8000), "adpcm_ms", 8000, 1, "mono"), "encode it again, or give --no-audio"),
        (".mkv", StreamInfo(1, 1, Ratio(1, 1000), "eia_608"), "name an .mov, or give --no-subtitles"),
        (".mp4", StreamInfo(1, 1, Ratio(1, 1000), "dvb_teletext"), "name a .ts, or give --no-subtitles"),
    ]:
        sink = VideoSink(tmp_path / f"a{suffix}", header)
        with pytest.raises(UsageError, match=re.escape(message)):
            sink.declare(info)
