"""Roundtrip of many kinds of videos: size, length, timestamps and audio are kept."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest
from support import flat_model, moving_square

from dfccodec.codec import api
from dfccodec.codec.decoder import Decoder
from dfccodec.media.input.source import VideoSource
from dfccodec.media.output.sink import VideoSink


class Kind(NamedTuple):
    """A video: (width, height), frames, frames per second (0 is variable), container, encoder, audio tracks."""

    size: tuple[int, int] = (64, 48)
    frames: int = 3
    rate: Fraction = Fraction(25)
    suffix: str = ".mp4"
    codec: str = "libx264"
    audio: tuple[str, ...] = ()
    aspect: Fraction = Fraction(1)
    rotation: int = 0
    pixels: str = "yuv420p"


NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)
KINDS = [
    Kind((1, 1), suffix=".mkv", codec="ffv1"),
    Kind((1, 1), suffix=".webm", codec="libvpx-vp9"),
    Kind((1, 1), pixels="yuv444p"),
    Kind((15, 17), suffix=".mp4", pixels="yuv444p"),
    Kind((101, 55), suffix=".mkv", codec="libsvtav1"),
    Kind((101, 55), suffix=".avi", codec="ffv1"),
    Kind((720, 576), 2, aspect=Fraction(16, 15)),
    Kind((48, 64), rotation=1, audio=("aac",)),
    Kind((48, 64), rotation=3, suffix=".mov"),
    *(Kind(frames=n) for n in (1, 31, 32, 33)),
    *(Kind(rate=r, frames=12, audio=("aac",)) for r in (FILM, NTSC, Fraction(60000, 1001), Fraction(0))),
    Kind(rate=FILM, suffix=".mkv", audio=("flac", "aac")),
    Kind(rate=NTSC, suffix=".webm", codec="libvpx-vp9", audio=("libopus", "libopus")),
    Kind(suffix=".webm", codec="libsvtav1"),
    Kind(suffix=".mov", audio=("pcm_s16le",), pixels="yuv422p10le"),
    Kind(suffix=".avi", codec="mpeg4", audio=("libmp3lame",)),
    Kind(suffix=".mkv", codec="libx265"),
    Kind(suffix=".mp4", codec="libx265", audio=("aac", "aac"), frames=33),
    Kind(suffix=".mkv", codec="ffv1", pixels="yuv444p10le"),
    Kind(suffix=".gif", codec="gif", pixels="rgb8", rate=Fraction(10)),
]


def name(kind: Kind) -> str:
    size, rate = "x".join(map(str, kind.size)), round(float(kind.rate), 2)
    return f"{size}-{kind.frames}-{rate}{kind.suffix}-{kind.codec}-{len(kind.audio)}-{kind.rotation}"


def write_video_of_kind(path: Path, kind: Kind) -> Path:
    """Write the video of a kind, with noise as audio."""
    quick = {"libsvtav1": {"preset": "12"}, "libvpx-vp9": {"cpu-used": "8"}, "libx264": {"preset": "ultrafast"}}
    with av.open(str(path), "w") as container:
        rate = kind.rate or Fraction(25)
        video: Any = container.add_stream(kind.codec, rate=rate, options=quick.get(kind.codec, {}))
        video.width, video.height = kind.size
        video.pix_fmt, video.codec_context.sample_aspect_ratio = kind.pixels, kind.aspect
        if not kind.rate:
            video.codec_context.time_base = Fraction(1, 1000)
        if kind.rotation:
            video.set_display_rotation(-90 * kind.rotation)
        tracks: list[Any] = [container.add_stream(codec, rate=48000, layout="stereo") for codec in kind.audio]
        for n, frame in enumerate(moving_square(kind.frames, max(kind.size[1], 48), max(kind.size[0], 64))):
            picture = av.VideoFrame.from_ndarray(frame[: kind.size[1], : kind.size[0]].copy(), format="rgb24")
            picture = picture.reformat(format=kind.pixels)
            if not kind.rate:
                picture.pts, picture.time_base = n * n * 10, Fraction(1, 1000)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        for audio in tracks:
            noise = np.random.default_rng(0).normal(0, 99, (1, 2 * round(48000 * kind.frames / rate))).astype(np.int16)
            noise_frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="stereo")
            noise_frame.sample_rate, noise_frame.pts, noise_frame.time_base = 48000, 0, Fraction(1, 48000)
            container.mux(audio.encode(noise_frame))
            container.mux(audio.encode(None))
    return path


def audio_packets(path: Path) -> list[list[bytes]]:
    with av.open(str(path)) as container:
        found: dict[int, list[bytes]] = {s.index: [] for s in container.streams.audio}
        for packet in container.demux():
            if packet.size and packet.stream_index in found:
                found[packet.stream_index].append(bytes(packet))
        return list(found.values())


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_roundtrip(kind: Kind, tmp_path: Path) -> None:
    if kind.codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {kind.codec}")
    source, target = write_video_of_kind(tmp_path / f"in{kind.suffix}", kind), tmp_path / f"out{kind.suffix}"
    file = io.BytesIO()
    api.encode(source, file, model=flat_model(), fill="hold", budget="all")
    file.seek(0)
    decoder = Decoder(file, lambda preamble: flat_model())
    wanted_pixels = (
        "yuv444p" if kind.size[0] % 2 and kind.suffix in (".mp4", ".mkv") else None
    )  # 4:2:0 would pad the size
    with VideoSink(target, decoder.preamble.header, pix_fmt=wanted_pixels) as sink:
        decoder.tracks = sink
        for picture in decoder:
            sink.write(picture.rgb, picture.pts, picture.duration)
    with VideoSource(source) as a, VideoSource(target) as b:
        wanted, found = list(a), list(b)
        assert (b.info.width, b.info.height) == (a.info.width, a.info.height) == kind.size
        assert (b.info.pixel_aspect, b.info.rotation) == (a.info.pixel_aspect, a.info.rotation)
        assert a.info.pixel_aspect == kind.aspect
        times, times2 = ([float(p.pts * v.info.time_base) for p in ps] for v, ps in ((a, wanted), (b, found)))
    assert len(found) == len(wanted) == kind.frames
    frame = float(1 / (kind.rate or 25))
    assert np.diff(times2) == pytest.approx(np.diff(times), abs=1.1e-3)
    assert abs(times2[0] - times[0]) <= frame + 1e-6
    assert audio_packets(target) == audio_packets(source)
    assert len(audio_packets(source)) == len(kind.audio)
