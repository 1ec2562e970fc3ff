"""Films with tones at known times, and when they are heard."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from support import moving

RATE = 48000
PADDING = ("aac", "libopus", "libmp3lame")  # encoders that make a whole frame of their last


def tones(seconds: float, bursts: list[float], channels: int = 1) -> np.ndarray:
    """Silence with a tone of 20 ms at each of some times, (channels, samples)."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = np.zeros(len(time), np.float32)
    for begin in bursts:
        inside = (time >= begin) & (time < begin + 0.02)
        wave[inside] = 0.5 * np.sin(2 * np.pi * 1000 * time[inside])
    return np.repeat(wave[None], channels, 0)


def film(path: Path, codec: str, sound: np.ndarray, layout: str = "mono", rate: int = RATE, seconds: float = 2) -> Path:
    """A file of moving pictures and a track of sound, (channels, samples) in -1...1."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("mpeg4" if path.suffix in (".avi", ".asf") else "libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        if codec.startswith("wma"):
            stream.codec_context.bit_rate = 128_000
        stream.codec_context.open(strict=False)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T).reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, layout, rate, context.frame_size or 1024)
        for picture in moving(round(seconds * 25)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        for part in resampler.resample(frame) + resampler.resample(None):
            if part.samples == (context.frame_size or part.samples) or codec in PADDING:
                container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


def heard(path: Path) -> np.ndarray:
    """The first channel of a file's first sound track as a player plays it, at RATE, from time 0 on."""
    out = np.zeros(RATE * 60, np.float32)
    last = 0
    with av.open(str(path)) as container:
        resampler: Any = None
        for frame in container.decode(audio=0):
            resampler = resampler or av.AudioResampler("fltp", frame.layout, RATE)
            for part in resampler.resample(frame):
                samples = part.to_ndarray()[0]
                begin = last if part.pts is None else round(part.pts * part.time_base * RATE)
                first = max(0, -begin)
                out[begin + first : begin + len(samples)] = samples[first:]
                last = begin + len(samples)
    return out[:last]


def onsets(samples: np.ndarray) -> list[int]:
    """Where each tone of :func:`tones` begins, to about a millisecond."""
    loud = np.flatnonzero(np.abs(samples) > 0.2)
    return [int(n) for k, n in enumerate(loud) if k == 0 or n - loud[k - 1] > RATE // 20]


def beats(path: Path) -> list[float]:
    """Seconds from the first picture to each tone."""
    with av.open(str(path)) as container:
        first = next(float(f.pts * f.time_base) for f in container.decode(video=0) if f.pts is not None)
    return [n / RATE - first for n in onsets(heard(path))]
