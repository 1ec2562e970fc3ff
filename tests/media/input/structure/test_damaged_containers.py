"""A hole of 3 kB in a file of each container: no frame is lost without a note, from a file and from a pipe."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import av
import numpy as np
import pytest
from support import Pipe

from dfccodec.errors import InputError
from dfccodec.media.input.source import VideoSource

FRAMES = np.random.default_rng(0).integers(0, 255, (60, 48, 64, 3), np.uint8)
HOLE = 3000
CONTAINERS = {
    "ogg": ("ogg", "libvpx", "libopus", {}),
    "asf": ("asf", "wmv2", "libmp3lame", {}),
    "flv": ("flv", "libx264", "libmp3lame", {}),
    "mkv": ("matroska", "mpeg4", "libmp3lame", {"cluster_size_limit": "20000"}),
    "webm": ("webm", "libvpx", "libopus", {"cluster_size_limit": "20000"}),
    "avi": ("avi", "mpeg4", "libmp3lame", {}),
    "mp4 in fragments": ("mp4", "libx264", "aac", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "mov in fragments": ("mov", "mjpeg", "aac", {"movflags": "frag_every_frame+empty_moov"}),
    "ts": ("mpegts", "libx264", "aac", {}),
    "m2ts": ("mpegts", "libx264", "aac", {"mpegts_m2ts_mode": "1"}),
    "mxf": ("mxf", "mpeg2video", "", {}),
    "nut": ("nut", "libx264", "libmp3lame", {}),
    "rm": ("rm", "rv20", "ac3", {}),
    "swf": ("swf", "flv", "", {}),
    "gif": ("gif", "gif", "", {}),
    "apng": ("apng", "apng", "", {}),
}
"""Name: format, codec of the video, codec of the audio, options."""
PIXELS = {"mjpeg": "yuvj420p", "gif": "rgb8", "apng": "rgb24"}


@cache
def make_file(name: str, pauses: bool = False) -> bytes:
    """Return a file of 60 frames of noise with audio; with pauses, every 15 frames one of 4 s."""
    kind, codec, sound, options = CONTAINERS[name]
    out = io.BytesIO()
    with av.open(out, "w", format=kind, options=options) as container:
        video: Any = container.add_stream(codec, rate=25, options={"g": "12", "bf": "0", "b": "900000"})
        video.width, video.height, video.pix_fmt = 64, 48, PIXELS.get(codec, "yuv420p")
        audio: Any = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        packets = []
        for number, frame in enumerate(FRAMES):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = number + (number // 15 * 100 if pauses else 0), Fraction(1, 25)
            packets += video.encode(picture)
        packets += video.encode(None)
        size = 960 if sound == "libopus" else 1024
        for number in range(60 * 1920 // size if sound else 0):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, size), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 48000, number * size, Fraction(1, 48000)
            packets += audio.encode(samples)
        packets += audio.encode(None) if sound else []
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return out.getvalue()


def read_notes(source: Any) -> tuple[int, list[str]]:
    """Return the number of frames and the notes on damage."""
    with VideoSource(source) as video:
        return len(list(video)), [note for note in video.notes if "stored as flac" not in note]


def make_holes(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield copies with a hole: cut out, filled with zeros, filled with garbage."""
    draw = random.Random(1)
    for part in (0.4, 0.6):
        place = int(len(data) * part) + draw.randrange(300)
        start, end = data[:place], data[place + HOLE :]
        yield f"cut at {place}", start + end
        yield f"zeros at {place}", start + bytes(HOLE) + end
        yield f"garbage at {place}", start + draw.randbytes(HOLE) + end


@pytest.mark.parametrize("name", CONTAINERS)
def test_healthy_file_has_no_note(name: str) -> None:
    data = make_file(name)
    assert read_notes(io.BytesIO(data)) == (60, [])
    assert read_notes(Pipe(data)) == (60, [])


@pytest.mark.parametrize("name", sorted(set(CONTAINERS) - {"gif", "apng"}))
def test_pauses_have_no_note(name: str) -> None:
    data = make_file(name, pauses=True)
    found = read_notes(io.BytesIO(data))
    assert found[1] == []
    assert read_notes(Pipe(data)) == found


@pytest.mark.parametrize("name", CONTAINERS)
def test_frames_lost_in_hole_are_noted(name: str) -> None:
    for what, data in make_holes(make_file(name)):
        for source in (io.BytesIO(data), Pipe(data)):
            with contextlib.suppress(InputError):  # refused, as ffmpeg does with some APNG
                count, notes = read_notes(source)
                assert count == 60 or notes, what


@pytest.mark.parametrize("name", ["ogg", "asf", "flv", "mkv", "webm"])
def test_number_of_lost_frames(name: str) -> None:
    counts = []
    for _, data in make_holes(make_file(name)):
        count, notes = read_notes(Pipe(data))
        about = [int(n.split("about ")[1].split()[0]) for n in notes if "s: about" in n]
        skipped = [int(n.split()[0]) for n in notes if "not decode" in n]
        counts += [60 - count - sum(about + skipped)] if about else []
    assert counts
    assert max(map(abs, counts)) <= 1


def test_animation_that_ends_at_hole() -> None:
    """Ffmpeg reads no GIF after damage, and reports no error."""
    for _, data in make_holes(make_file("gif")):
        count, (note,) = read_notes(Pipe(data))
        assert count < 60
        assert note.endswith("no frame after it can be read")


@pytest.mark.parametrize("pauses", [False, True])
def test_damaged_picture_of_animation(pauses: bool) -> None:
    """The sizes of the sub-blocks stay, and ffmpeg reports no error. A pause near it is no gap."""
    data = make_file("gif", pauses)
    with av.open(io.BytesIO(data)) as container:
        places = [p.pos for p in container.demux(video=0) if p.size]
    place = places[31] + 19 + 256  # in the second sub-block
    data = data[: place + 20] + random.Random(2).randbytes(200) + data[place + 220 :]
    for source in (io.BytesIO(data), Pipe(data)):
        count, (note,) = read_notes(source)
        assert count == 60
        near = int(note.removeprefix("the source is damaged near byte ").split(":")[0])
        assert place + 20 <= near < place + 60
        assert note.endswith(": frames may be damaged or lost there")


def test_part_of_animation() -> None:
    data = make_file("gif")
    for source in (io.BytesIO(data[:50_000]), Pipe(data[:50_000])):
        count, (note,) = read_notes(source)
        assert note == f"the source ends early, like a partial download: it has {count} frames"


def test_film_that_ends_at_damaged_tag() -> None:
    """Ffmpeg skips an SWF tag of 2 GB to the end of the file, and reports no error."""
    data = make_file("swf")
    with av.open(io.BytesIO(data)) as container:
        places = [p.pos for p in container.demux(video=0) if p.size]
    place = data.rindex(b"\x40\0", 0, places[30])  # the tag that shows the frame before
    data = data[:place] + b"\x7f\x0f\xff\xff\xff\x7f" + data[place + 6 :]
    for source in (io.BytesIO(data), Pipe(data)):
        count, notes = read_notes(source)
        assert count == 30
        assert notes == [f"the source is damaged near byte {place}: no frame after it can be read"]


def test_hole_in_audio_is_noted_by_its_position() -> None:
    """All frames arrive, but audio is lost."""
    data = make_file("flv")
    with av.open(io.BytesIO(data)) as container:
        places = [p.pos for p in container.demux(audio=0) if p.size]
    place = places[len(places) // 2]
    data = data[:place] + bytes(15) + data[place + 15 :]
    count, notes = read_notes(io.BytesIO(data))
    assert count == 60
    (note,) = notes
    assert note.startswith(f"the source is damaged near byte {place - 4}: ")
