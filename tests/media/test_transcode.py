"""Audio re-encoding: undecodable packets, channel layouts, timestamps."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from audio_tones import SAMPLE_RATE, find_onsets, make_tones, play_audio, tone_times, write_av_tones
from support import Pipe, decode_to, encode_source, flat_model

from dfccodec.codec import api
from dfccodec.container.records import Header, Ratio, StreamInfo
from dfccodec.errors import UsageError
from dfccodec.media.output.sink import VideoSink
from dfccodec.media.time_range import Span


def damage_audio(source: Path, target: Path, number: int | None) -> Path:
    """Write a copy of a file with one audio packet damaged; None damages all."""
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
def test_undecodable_audio_becomes_silence_and_keeps_sync(codec: str, name: str, samples: int, tmp_path: Path) -> None:
    whole = write_av_tones(tmp_path / "whole.mkv", codec, make_tones(2, [0.2, 1.6]))
    notes = decode_to(tmp_path / "good.mkv", encode_source(whole), audio_codec="pcm_s16le")
    assert notes == []
    source = damage_audio(whole, tmp_path / "in.mkv", 15)
    notes = decode_to(tmp_path / "out.mkv", encode_source(source), audio_codec="pcm_s16le")
    assert len(notes) == 1
    assert notes[0].startswith(f"1 packet of audio track 1 ({codec.removeprefix('libmp3')[:4].replace('lame', 'mp3')})")
    good, found = play_audio(tmp_path / "good.mkv"), play_audio(tmp_path / "out.mkv")
    assert np.abs(np.subtract(find_onsets(found), find_onsets(good))).max() <= 48
    assert len(good) - len(found) in (0, samples)


def test_entirely_undecodable_audio_leaves_video(tmp_path: Path) -> None:
    source = damage_audio(
        write_av_tones(tmp_path / "whole.mkv", "libmp3lame", make_tones(2, [1])), tmp_path / "in.mkv", None
    )
    notes = decode_to(tmp_path / "out.mkv", encode_source(source), audio_codec="aac")
    assert len(notes) == 1
    assert "of audio track 1 (mp3) " in notes[0]
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert sum(1 for _ in out.decode(video=0)) == 50


@pytest.mark.parametrize(
    ("codec", "layout", "becomes"),
    [
        ("ac3", "5.1(side)", "5.1"), ("ac3", "5.0(side)", "5.0"), ("flac", "2.1", "5.1"), ("flac", "quad", "5.0"),
        ("flac", "7.1", "7.1"),
    ],
)  # fmt: skip
def test_aac_gets_supported_layout(codec: str, layout: str, becomes: str, tmp_path: Path) -> None:
    channels = av.AudioLayout(layout).nb_channels
    source = write_av_tones(tmp_path / "in.mkv", codec, make_tones(1, [0.4], channels), layout, seconds=1)
    assert decode_to(tmp_path / "out.mp4", encode_source(source), audio_codec="aac") == []
    with av.open(str(tmp_path / "out.mp4")) as container:
        context = container.streams.audio[0].codec_context
        assert context.layout.name == becomes
        head = int.from_bytes((context.extradata or b"")[:2], "big")
        assert head >> 3 & 15 == {"5.1": 6, "5.0": 5, "7.1": 7}[becomes]
        packed = av.AudioResampler("flt", becomes)  # PyAV crashes with eight planes
        parts = [p.to_ndarray() for f in container.decode(audio=0) for p in packed.resample(f)]
        frames = np.concatenate(parts, 1).reshape(-1, len(context.layout.channels)).T
    names = [channel.name for channel in av.AudioLayout(becomes).channels]
    loud = {name for name, samples in zip(names, frames, strict=True) if np.abs(samples).max() > 0.2}
    had = {channel.name.replace("S", "B") for channel in av.AudioLayout(layout).channels}
    assert loud & {"FL", "FR", "BL", "BR"} == had & {"FL", "FR", "BL", "BR"}


def test_audio_with_changing_layout_is_reencoded(tmp_path: Path) -> None:
    parts = [
        write_av_tones(tmp_path / f"{n}.mkv", "ac3", make_tones(1, [0.5], n), name, seconds=1)
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
    assert decode_to(tmp_path / "out.mp4", encode_source(tmp_path / "in.mkv"), audio_codec="aac") == []
    assert [round(n / SAMPLE_RATE, 1) for n in find_onsets(play_audio(tmp_path / "out.mp4"))] == [0.5, 1.5]


def codec_name(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.codec.canonical_name


@pytest.mark.parametrize(
    ("codec", "source", "rate"),
    [
        ("adpcm_ima_wav", ".avi", 8000), ("adpcm_ms", ".avi", 48000), ("wmav2", ".avi", 48000),
        ("wmav2", ".asf", 48000), ("wmav1", ".asf", 48000),
    ],
)  # fmt: skip
def test_container_dependent_audio_is_stored_as_flac(codec: str, source: str, rate: int, tmp_path: Path) -> None:
    path = write_av_tones(
        tmp_path / f"in{source}", codec, make_tones(2, [0.3, 1.5])[:, :: SAMPLE_RATE // rate], rate=rate
    )
    wanted, name = tone_times(path), codec_name(path)
    for data in (path, Pipe(path.read_bytes())):
        out = io.BytesIO()
        notes = api.encode(data, out, model=flat_model(), fill="hold", budget="all").notes
        note = f"audio track 1 ({name}) is stored as flac: its packets cannot be decoded without its container"
        assert notes == (note,)
        for suffix in (".mkv", ".mp4", ".avi"):
            assert decode_to(tmp_path / f"out{suffix}", out.getvalue()) == []
            slack = 0.05 if suffix == ".avi" else 0.001  # .avi has packet precision, .mkv milliseconds
            assert tone_times(tmp_path / f"out{suffix}") == pytest.approx(wanted, abs=slack)


def test_stored_flac_ends_with_range(tmp_path: Path) -> None:
    path = write_av_tones(tmp_path / "in.avi", "adpcm_ima_wav", make_tones(2, [0.3, 0.95, 1.05])[:, ::6], rate=8000)
    decode_to(tmp_path / "out.mkv", encode_source(path, span=Span.parse("0.52", "1", None)))
    assert [round(seconds, 2) for seconds in tone_times(tmp_path / "out.mkv")][:1] == [0.43]


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
def test_unsupported_audio_becomes_lossless(
    codec: str, source: str, rate: int, becomes: dict[str, str], tmp_path: Path
) -> None:
    path = write_av_tones(
        tmp_path / f"in{source}", codec, make_tones(2, [0.3, 1.5])[:, :: SAMPLE_RATE // rate], rate=rate
    )
    wanted, name, data = tone_times(path), codec_name(path), encode_source(path)
    for suffix, other in becomes.items():
        notes = decode_to(tmp_path / f"out{suffix}", data)
        assert notes == ([f"audio track 1 ({name}) becomes {other}"] if other != name else [])
        assert codec_name(tmp_path / f"out{suffix}") == other
        assert tone_times(tmp_path / f"out{suffix}") == pytest.approx(
            wanted, abs=0.0015
        )  # G.722 starts 22 samples early


def test_rejection_names_supporting_container(tmp_path: Path) -> None:
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
