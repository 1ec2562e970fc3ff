"""Audio re-encoding on request: layouts, sample rates, unsupported encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import moving_square, write_av
from track_roundtrip import decode_file, encode_file

from dfccodec.errors import UsageError


def write_with_audio(path: Path, codec: str, frame: av.AudioFrame) -> Path:
    """Write a file with one video frame and one audio frame."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25)
        video.width, video.height = 64, 48
        audio: Any = container.add_stream(codec, rate=frame.sample_rate, layout=frame.layout.name)
        container.mux(video.encode(av.VideoFrame.from_ndarray(moving_square(1)[0], format="rgb24")))
        container.mux(video.encode(None))
        container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def make_audio_frame(samples: np.ndarray, sample_format: str, layout: str, rate: int) -> av.AudioFrame:
    """Return an audio frame of these samples, at time 0."""
    frame = av.AudioFrame.from_ndarray(samples, format=sample_format, layout=layout)
    frame.sample_rate, frame.pts = rate, 0
    return frame


@pytest.mark.parametrize(("codec", "channels"), [("libopus", 6), ("libmp3lame", 2), ("aac", 6)])
def test_layout_is_adapted_to_encoder(codec: str, channels: int, tmp_path: Path) -> None:
    frame = make_audio_frame(np.zeros((6, 1536 * 4), np.float32), "fltp", "5.1(side)", 48000)
    source = write_with_audio(tmp_path / "in.mkv", "ac3", frame)
    notes = decode_file(encode_file(source), tmp_path / "a.mkv", audio_codec=codec)
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert container.streams.audio[0].codec_context.channels == channels
        assert sum(f.samples for f in container.decode(audio=0)) >= 4 * 1536 - 256  # AC-3 hides its first samples
    lost = ["audio track 1 (ac3) becomes stereo: libmp3lame has no more channels"]
    assert notes == (lost if channels == 2 else [])


def test_sample_rate_is_adapted_to_encoder(tmp_path: Path) -> None:
    source = write_with_audio(
        tmp_path / "in.mkv", "flac", make_audio_frame(np.zeros((1, 2 * 9600), np.int16), "s16", "stereo", 96000)
    )
    decode_file(encode_file(source), tmp_path / "a.mkv", audio_codec="libmp3lame")
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert container.streams.audio[0].codec_context.sample_rate == 48000


def test_unsupported_audio_encoder_is_rejected_early(tmp_path: Path) -> None:
    file = encode_file(write_av(tmp_path / "in.mkv", moving_square(3), ["aac"]))
    with pytest.raises(UsageError, match=r"audio track 1 .* does not fit into mov with --audio-codec flac"):
        decode_file(file, tmp_path / "a.mov", audio_codec="flac")


def test_video_encoder_for_audio_is_rejected(tmp_path: Path) -> None:
    file = encode_file(write_av(tmp_path / "in.mkv", moving_square(3), ["flac"]))
    with pytest.raises(UsageError, match="--audio-codec libx264: libx264 is not an audio encoder"):
        decode_file(file, tmp_path / "a.mkv", audio_codec="libx264")


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".mp4"), ("libopus", ".webm"), ("libmp3lame", ".avi")])
def test_audio_is_reencoded_on_request(codec: str, suffix: str, tmp_path: Path) -> None:
    file = encode_file(write_av(tmp_path / "in.mkv", moving_square(40), ["flac"]))
    decode_file(file, tmp_path / f"a{suffix}", audio_codec=codec)
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        seconds = sum(f.samples / f.sample_rate for f in container.decode(audio=0))
    assert seconds == pytest.approx(1.6, abs=0.06)
