"""What encoders of sound put before and behind, and what edit lists cut off: not heard after a trip through a file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from sounds import RATE, beats, film, heard, onsets, tones
from support import decoded_into, encoded

from dfccodec.media.input.tracks import describe
from dfccodec.media.stream_copy import samples_of, ticks_of


def played(path: Path) -> tuple[float, float]:
    """When the first picture is shown, and the seconds of sound that are played."""
    with av.open(str(path)) as container:
        first = next(float(f.pts * f.time_base) for f in container.decode(video=0) if f.pts is not None)
    with av.open(str(path)) as container:
        return first, sum(f.samples for f in container.decode(audio=0)) / RATE


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
def test_priming_is_not_heard(codec: str, source: str, suffix: str, slack: float, tmp_path: Path) -> None:
    path, out = tmp_path / f"in{source}", tmp_path / f"out{suffix}"
    film(path, codec, tones(2, [0.3, 1.5, 1.97]))
    decoded_into(out, encoded(path))
    assert beats(out) == pytest.approx(beats(path), abs=slack + 0.00003)
    assert played(out)[0] == 0
    assert heard(out)[: RATE // 4].std() < 0.001


@pytest.mark.parametrize(("codec", "suffix"), [("libopus", ".mkv"), ("libopus", ".webm"), ("libmp3lame", ".mkv")])
def test_padding_is_not_heard(codec: str, suffix: str, tmp_path: Path) -> None:
    path, out = film(tmp_path / "in.mkv", codec, tones(2, [1.97])), tmp_path / f"out{suffix}"
    decoded_into(out, encoded(path))
    assert played(path)[1] == 2
    assert played(out)[1] == pytest.approx(2, abs=0.001)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_last_packet_of_alac_is_heard(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matroska does not say how long its packets last."""
    monkeypatch.setattr("sounds.PADDING", ("alac",))  # the last packet is a short one
    path, out = film(tmp_path / "in.mkv", "alac", tones(2, [0.3, 1.97])), tmp_path / f"out{suffix}"
    decoded_into(out, encoded(path))
    assert played(path)[1] == played(out)[1] == 2
    assert beats(out) == pytest.approx(beats(path), abs=0.001)


def test_alac_says_how_long_it_lasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sounds.PADDING", ("alac",))
    for layout, channels in (("mono", 1), ("stereo", 2), ("5.1", 6)):
        path = film(tmp_path / "in.mp4", "alac", tones(1, [0.3], channels), layout)
        with av.open(str(path)) as container:
            info = describe(container.streams.audio[0])
            assert info is not None
            packets = [packet for packet in container.demux(audio=0) if packet.size]
            assert [samples_of(info, bytes(packet)) for packet in packets] == [4096] * 11 + [48000 - 11 * 4096]
            assert [ticks_of(info, bytes(packet), Fraction(1, 48000)) for packet in packets][-1] == 2944
            assert samples_of(info, b"\x20\0\x12") == 0


def edited(source: Path, target: Path, samples: int) -> Path:
    """A copy of an mp4 whose edit list cuts off the first samples of its sound."""
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
def test_what_an_edit_list_cuts_off_is_not_heard(suffix: str, tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mp4", "aac", tones(2, [0.1, 0.4, 0.8, 1.5]))
    source, out = edited(whole, tmp_path / "in.mp4", RATE // 2), tmp_path / f"out{suffix}"
    assert beats(source) == pytest.approx([0.3, 1.0], abs=0.001)
    decoded_into(out, encoded(source))
    assert beats(out) == pytest.approx([0.3, 1.0], abs=0.012 if suffix == ".avi" else 0.001)  # avi: half a packet


@pytest.mark.parametrize("codec", ["flac", "aac", "libmp3lame"])
def test_sound_coded_anew_hides_it_too(codec: str, tmp_path: Path) -> None:
    whole = film(tmp_path / "whole.mp4", "aac", tones(2, [0.1, 0.4, 0.8, 1.5], 2), "stereo")
    source = edited(whole, tmp_path / "in.mp4", RATE // 2)
    decoded_into(tmp_path / "out.mkv", encoded(source), audio_codec=codec)
    assert beats(tmp_path / "out.mkv") == pytest.approx([0.3, 1.0], abs=0.001)
    assert len(np.unique(onsets(heard(tmp_path / "out.mkv")))) == 2
