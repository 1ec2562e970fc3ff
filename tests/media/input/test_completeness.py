"""Lengths and durations that a container states."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from support import Pipe

from dfccodec.media.input.completeness import count_missing_bytes
from dfccodec.media.input.source import VideoSource


@pytest.mark.parametrize("size", [1 << 62, 1 << 63, (1 << 64) - 1])
def test_box_of_impossible_size(size: int) -> None:
    data = b"\0\0\0\x20ftyp" + bytes(24) + b"\0\0\0\1free" + size.to_bytes(8, "big") + bytes(50)
    assert count_missing_bytes(io.BytesIO(data)) == 32 + size - len(data)


def make_file(kind: str, numbers: Sequence[int], audio_seconds: int = 0) -> bytes:
    """Return a file with frames at 25 per second, but only those with the given numbers."""
    out, draw = io.BytesIO(), np.random.default_rng(0)
    with av.open(out, "w", format=kind) as container:
        video: Any = container.add_stream("libx264", rate=25, options={"bf": "3", "g": "50"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio: Any = container.add_stream("libmp3lame", rate=44100, layout="mono") if audio_seconds else None
        packets = []
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(draw.integers(0, 255, (48, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        for number in range(audio_seconds * 44100 // 1152):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 44100, number * 1152, Fraction(1, 44100)
            packets += audio.encode(samples)
        packets += audio.encode(None) if audio else []
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return out.getvalue()


def read_notes(source: Any) -> list[str]:
    """Return the notes."""
    with VideoSource(source) as video:
        list(video)
        return video.notes


RECORDING = [n for n in range(300) if n % 50 < 12 or n % 17 == 3]
"""Frames of a screen recording: pauses, and few frames at the end."""


@pytest.mark.parametrize("way", [io.BytesIO, Pipe])
@pytest.mark.parametrize("kind", ["asf", "flv"])
@pytest.mark.parametrize(("numbers", "seconds"), [(RECORDING, 0), (RECORDING, 12), (range(50), 5)])
def test_complete_source_with_an_early_last_frame(kind: str, numbers: Sequence[int], seconds: int, way: Any) -> None:
    """Audio goes on after the last frame, or the timestamps of ASF, which has one per packet, are early."""
    assert read_notes(way(make_file(kind, numbers, seconds))) == []


@pytest.mark.parametrize("way", [io.BytesIO, Pipe])
@pytest.mark.parametrize("kind", ["asf", "flv"])
@pytest.mark.parametrize("tail", [0, 1])
def test_partial_source(kind: str, tail: int, way: Any) -> None:
    """The end is missing, or filled with zeros."""
    data = make_file(kind, RECORDING, 12)
    half = len(data) // 2
    notes = read_notes(way(data[:half] + bytes(tail * half)))
    assert any("ends early" in note for note in notes)
