"""Priming, padding and audio cut by edit lists are not played after a roundtrip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from audio_tones import SAMPLE_RATE, find_onsets, make_tones, play_audio, tone_times, write_av_tones
from support import decode_to, encode_source

from dfccodec.media.input.tracks import read_stream_info
from dfccodec.media.stream_copy import count_samples, packet_duration


def playback_times(path: Path) -> tuple[float, float]:
    """Return the time of the first frame and the seconds of audio that are played."""
    with av.open(str(path)) as container:
        first = next(float(f.pts * f.time_base) for f in container.decode(video=0) if f.pts is not None)
    with av.open(str(path)) as container:
        return first, sum(f.samples for f in container.decode(audio=0)) / SAMPLE_RATE


@pytest.mark.parametrize(
    ("codec", "source", "suffix", "slack"),
    [
        ("aac", ".mp4", ".mp4", 0), ("aac", ".mp4", ".mkv", 0.0005), ("aac", ".mkv", ".mkv", 0.0005),
        ("aac", ".mkv", ".mp4", 0), ("libmp3lame", ".avi", ".mkv", 0),
        ("libopus", ".mkv", ".webm", 0.0006), ("libopus", ".mp4", ".mkv", 0.0006), ("libopus", ".mkv", ".mp4", 0.0006),
        ("libmp3lame", ".mp4", ".mkv", 0.0005), ("libmp3lame", ".mkv", ".mkv", 0.001),
        ("libmp3lame", ".mkv", ".mp4", 0.001), ("aac", ".mp4", ".avi", 0), ("libmp3lame", ".mp4", ".avi", 0.0011),
    ],
)  # fmt: skip
def test_priming_is_not_played(codec: str, source: str, suffix: str, slack: float, tmp_path: Path) -> None:
    path, out = tmp_path / f"in{source}", tmp_path / f"out{suffix}"
    write_av_tones(path, codec, make_tones(2, [0.3, 1.5, 1.97]))
    decode_to(out, encode_source(path))
    assert tone_times(out) == pytest.approx(tone_times(path), abs=slack + 0.00003)
    assert playback_times(out)[0] == 0
    assert play_audio(out)[: SAMPLE_RATE // 4].std() < 0.001


@pytest.mark.parametrize(("codec", "suffix"), [("libopus", ".mkv"), ("libopus", ".webm"), ("libmp3lame", ".mkv")])
def test_padding_is_not_played(codec: str, suffix: str, tmp_path: Path) -> None:
    path, out = write_av_tones(tmp_path / "in.mkv", codec, make_tones(2, [1.97])), tmp_path / f"out{suffix}"
    decode_to(out, encode_source(path))
    assert playback_times(path)[1] == 2
    assert playback_times(out)[1] == pytest.approx(2, abs=0.001)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_last_alac_packet_is_played(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matroska does not store the duration of ALAC packets."""
    monkeypatch.setattr("audio_tones.PADDING_ENCODERS", ("alac",))  # the last packet is short
    path, out = write_av_tones(tmp_path / "in.mkv", "alac", make_tones(2, [0.3, 1.97])), tmp_path / f"out{suffix}"
    decode_to(out, encode_source(path))
    assert playback_times(path)[1] == playback_times(out)[1] == 2
    assert tone_times(out) == pytest.approx(tone_times(path), abs=0.001)


def test_alac_packet_states_duration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audio_tones.PADDING_ENCODERS", ("alac",))
    for layout, channels in (("mono", 1), ("stereo", 2), ("5.1", 6)):
        path = write_av_tones(tmp_path / "in.mp4", "alac", make_tones(1, [0.3], channels), layout)
        with av.open(str(path)) as container:
            info = read_stream_info(container.streams.audio[0])
            assert info is not None
            packets = [packet for packet in container.demux(audio=0) if packet.size]
            assert [count_samples(info, bytes(packet)) for packet in packets] == [4096] * 11 + [48000 - 11 * 4096]
            assert [packet_duration(info, bytes(packet), Fraction(1, 48000)) for packet in packets][-1] == 2944
            assert count_samples(info, b"\x20\0\x12") == 0


def write_edit_list(source: Path, target: Path, samples: int) -> Path:
    """Write a copy of an mp4 whose edit list removes the first samples of its audio."""
    with av.open(str(source)) as a, av.open(str(target), "w") as b:
        streams: dict[int, Any] = {s.index: b.add_stream_from_template(s) for s in a.streams}
        for packet in a.demux():
            if packet.size and packet.pts is not None and packet.dts is not None:
                if packet.stream.type == "audio":
                    packet.pts, packet.dts = packet.pts - samples, packet.dts - samples
                packet.stream = streams[packet.stream_index]
                b.mux(packet)
    return target


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_audio_cut_by_edit_list_is_not_played(suffix: str, tmp_path: Path) -> None:
    whole = write_av_tones(tmp_path / "whole.mp4", "aac", make_tones(2, [0.1, 0.4, 0.8, 1.5]))
    source, out = write_edit_list(whole, tmp_path / "in.mp4", SAMPLE_RATE // 2), tmp_path / f"out{suffix}"
    assert tone_times(source) == pytest.approx([0.3, 1.0], abs=0.001)
    decode_to(out, encode_source(source))
    assert tone_times(out) == pytest.approx([0.3, 1.0], abs=0.012 if suffix == ".avi" else 0.001)  # avi: half a packet


@pytest.mark.parametrize("codec", ["flac", "aac", "libmp3lame"])
def test_reencoded_audio_hides_priming(codec: str, tmp_path: Path) -> None:
    whole = write_av_tones(tmp_path / "whole.mp4", "aac", make_tones(2, [0.1, 0.4, 0.8, 1.5], 2), "stereo")
    source = write_edit_list(whole, tmp_path / "in.mp4", SAMPLE_RATE // 2)
    decode_to(tmp_path / "out.mkv", encode_source(source), audio_codec=codec)
    assert tone_times(tmp_path / "out.mkv") == pytest.approx([0.3, 1.0], abs=0.001)
    assert len(np.unique(find_onsets(play_audio(tmp_path / "out.mkv")))) == 2
