"""Videos with tones at known times, and the times at which a player plays the tones."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from support import moving_square

SAMPLE_RATE = 48000
PADDING_ENCODERS = ("aac", "libopus", "libmp3lame")  # encoders that pad their last frame


def make_tones(seconds: float, bursts: list[float], channels: int = 1) -> np.ndarray:
    """Return silence with a tone of 20 ms at each of the given seconds, (channels, samples)."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = np.zeros(len(time), np.float32)
    for begin in bursts:
        inside = (time >= begin) & (time < begin + 0.02)
        wave[inside] = 0.5 * np.sin(2 * np.pi * 1000 * time[inside])
    return np.repeat(wave[None], channels, 0)


def write_av_tones(
    path: Path, codec: str, samples: np.ndarray, layout: str = "mono", rate: int = SAMPLE_RATE, seconds: float = 2
) -> Path:
    """Write a video with an audio track; `samples` is (channels, samples) in [-1, 1]."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("mpeg4" if path.suffix in (".avi", ".asf") else "libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        if codec.startswith("wma"):
            stream.codec_context.bit_rate = 128_000
        stream.codec_context.open(strict=False)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T).reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, layout, rate, context.frame_size or 1024)
        for picture in moving_square(round(seconds * 25)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        for part in resampler.resample(frame) + resampler.resample(None):
            if part.samples == (context.frame_size or part.samples) or codec in PADDING_ENCODERS:
                container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def play_audio(path: Path) -> np.ndarray:
    """Return the first channel of the first audio track as a player plays it, at SAMPLE_RATE, from time 0."""
    out = np.zeros(SAMPLE_RATE * 60, np.float32)
    last = 0
    with av.open(str(path)) as container:
        resampler: Any = None
        for frame in container.decode(audio=0):
            resampler = resampler or av.AudioResampler("fltp", frame.layout, SAMPLE_RATE)
            for part in resampler.resample(frame):
                samples = part.to_ndarray()[0]
                begin = last if part.pts is None else round(part.pts * part.time_base * SAMPLE_RATE)
                first = max(0, -begin)
                out[begin + first : begin + len(samples)] = samples[first:]
                last = begin + len(samples)
    return out[:last]


def find_onsets(samples: np.ndarray) -> list[int]:
    """Return the start of each tone of :func:`make_tones` in samples, to about a millisecond."""
    loud = np.flatnonzero(np.abs(samples) > 0.2)
    return [int(n) for k, n in enumerate(loud) if k == 0 or n - loud[k - 1] > SAMPLE_RATE // 20]


def tone_times(path: Path) -> list[float]:
    """Return the seconds from the first frame to each tone."""
    with av.open(str(path)) as container:
        first = next(float(f.pts * f.time_base) for f in container.decode(video=0) if f.pts is not None)
    return [n / SAMPLE_RATE - first for n in find_onsets(play_audio(path))]
