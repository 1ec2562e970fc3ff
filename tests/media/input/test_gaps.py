"""A hole in the middle of a file: lost frames are counted, pauses of a recording are not."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support import Pipe

from dfccodec.media.input.source import VideoSource

STEADY = [4 * n for n in range(100)]
PAUSES = [4 * n + 700 * (n // 20) for n in range(60)]
JITTER = np.cumsum(np.random.default_rng(1).integers(1, 30, 60)).tolist()
FRAMES = np.random.default_rng(0).integers(0, 255, (100, 48, 64, 3), np.uint8)


def write_frames_at(path: Path, times: Sequence[int]) -> Path:
    """Write frames at times in units of 0.01 s, with audio, and subtitles if the container supports them."""
    with av.open(str(path), "w") as container:
        codecs = ("libvpx", "libopus") if path.suffix == ".webm" else ("libx264", "aac")
        video: Any = container.add_stream(codecs[0], rate=25, options={"bf": "2", "g": "12"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio: Any = container.add_stream(codecs[1], rate=48000, layout="mono")
        text = container.add_mux_stream("subrip") if path.suffix == ".mkv" else None
        packets = []
        for frame, time in zip(FRAMES, times, strict=False):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = time, Fraction(1, 100)
            packets += video.encode(picture)
        packets += video.encode(None)
        for number in range(times[-1] * 480 // 1024):
            silence = av.AudioFrame(audio.format.name, "mono", 1024)
            for plane in silence.planes:
                plane.update(bytes(plane.buffer_size))
            silence.sample_rate, silence.pts, silence.time_base = 48000, number * 1024, Fraction(1, 48000)
            packets += audio.encode(silence)
        packets += audio.encode(None)
        for number in range(times[-1] // 100 if text else 0):
            packet: Any = av.Packet(b"hello")
            packet.pts = packet.dts = number * 1000
            packet.duration, packet.time_base, packet.stream, packet.is_keyframe = 500, Fraction(1, 1000), text, True
            packets.append(packet)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


def read_all(source: Any) -> tuple[int, list[str]]:
    """Return the number of frames and the notes."""
    with VideoSource(source) as video:
        return len(list(video)), video.notes


def make_holes(data: bytes, size: int = 30 * 188) -> list[bytes]:
    """Return a file with a hole in its middle: once filled with zeros, once removed."""
    place = len(data) // 2 // 188 * 188 + 188
    return [data[:place] + bytes(size) + data[place + size :], data[:place] + data[place + size :]]


def parse_missing_note(notes: Sequence[str]) -> tuple[float, int]:
    """Return the second and the number of frames in the note on missing frames."""
    (note,) = (
        note for note in notes if "missing" in note and "at" in note and note.startswith("the source is damaged")
    )
    words = note.removeprefix("the source is damaged at ").split()
    assert (words[1], words[2], words[-1]) == ("s:", "about", "missing")
    return float(words[0]), int(words[3])


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".ts"])
def test_frames_lost_in_hole_are_counted(suffix: str, tmp_path: Path) -> None:
    path = write_frames_at(tmp_path / f"in{suffix}", STEADY)
    assert read_all(path) == (100, [])
    for data in make_holes(path.read_bytes()):
        (tmp_path / "bad").write_bytes(data)
        count, notes = read_all(tmp_path / "bad")
        second, frames = parse_missing_note(notes)
        assert 1.5 < second < 2.5
        assert 95 <= count + frames + sum("not decode" in note for note in notes) <= 103
        assert parse_missing_note(read_all(io.BytesIO(data))[1]) == (second, frames)


def test_stream_found_in_damaged_data_is_ignored(tmp_path: Path) -> None:
    """In an FLV with a hole, ffmpeg finds an additional stream, which PyAV does not expect."""
    zeros, gone = (
        read_all(io.BytesIO(data)) for data in make_holes(write_frames_at(tmp_path / "in.flv", STEADY).read_bytes())
    )
    assert parse_missing_note(zeros[1]) == (1.96, 4)
    assert zeros[0] == gone[0] == 96


def test_frames_lost_in_hole_are_counted_in_pipe(tmp_path: Path) -> None:
    data = make_holes(write_frames_at(tmp_path / "in.ts", STEADY).read_bytes())[0]
    assert parse_missing_note(read_all(Pipe(data))[1]) == parse_missing_note(read_all(io.BytesIO(data))[1])


@pytest.mark.parametrize("times", [PAUSES, JITTER], ids=["pauses", "jitter"])
@pytest.mark.parametrize("options", [{}, {"live": "1"}, {"cluster_size_limit": "3000"}], ids=["", "live", "clusters"])
def test_pauses_are_not_damage(times: list[int], options: dict[str, str], tmp_path: Path) -> None:
    path = write_frames_at(tmp_path / "in.mkv", times)
    with av.open(str(path)) as source, av.open(str(tmp_path / "out.mkv"), "w", options=options) as container:
        streams = {s.index: container.add_stream_from_template(s, opaque=True) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                container.mux(packet)
    assert read_all(tmp_path / "out.mkv") == (60, [])


def test_pauses_in_damaged_recording_are_not_gaps(tmp_path: Path) -> None:
    """An undecodable frame that is not near a pause."""
    data = bytearray(write_frames_at(tmp_path / "in.mkv", PAUSES).read_bytes())
    with av.open(io.BytesIO(bytes(data))) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place, size = packets[31].pos + 4, packets[31].size
    data[place + 4 : place + size] = b"\xff" * (size - 4)
    (tmp_path / "bad.mkv").write_bytes(data)
    notes = read_all(tmp_path / "bad.mkv")[1]
    assert notes
    assert not any("missing" in note for note in notes)
