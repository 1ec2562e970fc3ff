"""NUT: packets with checksums, frames in between, and sync points that point back."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import av
import numpy as np
import pytest

from dfccodec.media.input.structure import nut
from dfccodec.media.input.structure.chain import Break
from dfccodec.media.input.structure.nut import NutScanner
from dfccodec.media.input.structure.ogg import page_checksum


@cache
def make_file(size: int = 48, codec: str = "mpeg4", **options: str) -> bytes:
    """Return a file of 40 frames of noise, with a key frame every 10 frames."""
    out, draw = io.BytesIO(), np.random.default_rng(0)
    with av.open(out, "w", format="nut", options=options) as container:
        stream: Any = container.add_stream(codec, rate=25, options={"g": "10", "bf": "0", "b": "2000000"})
        stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        for _ in range(40):
            frame = av.VideoFrame.from_ndarray(draw.integers(0, 255, (size, size, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return out.getvalue()


def scan(data: bytes) -> NutScanner:
    """Return the scanner at the end of the data."""
    scanner = NutScanner()
    scanner.feed(0, data)
    scanner.finish()
    return scanner


def sync_points(data: bytes) -> list[int]:
    """Return their positions."""
    return [n for n in range(len(data)) if data.startswith(nut._SYNC, n)]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": 300, "codec": "rawvideo"},  # frames that need a checksum
        {"write_index": "0"},
        {"syncpoints": "none", "strict": "experimental"},
        {"syncpoints": "timestamped", "strict": "experimental"},
    ],
)
def test_healthy_file(options: Any) -> None:
    data = make_file(**options)
    scanner = scan(data)
    assert (scanner.breaks, scanner.wanted, scanner.is_searching) == ([], len(data), False)
    assert scan(data + data).breaks == []
    assert scan(data + bytes(5000)).breaks == []


def test_break_is_between_sync_points() -> None:
    data = make_file()
    _, first, second, third = sync_points(data)[:4]
    place = (first + second) // 2
    assert scan(data[:place] + bytes(40) + data[place:]).breaks in (
        [Break(first, second + 40)],
        [Break(first, third + 40)],  # a false frame reaches over a sync point
    )
    damaged = data[:second] + b"x" + data[second + 1 :]
    assert scan(damaged).breaks[0].start == first


class RecordingScanner(NutScanner):
    """Records the positions of all elements."""

    def _accept(self, size: int) -> None:
        self.places = [*getattr(self, "places", []), self._place]
        super()._accept(size)


def test_lost_frames_between_two_sync_points() -> None:
    """Everything that is left is intact, but a sync point points back to a place that has none."""
    data = make_file()
    scanner = RecordingScanner()
    scanner.feed(0, data)
    for point in sync_points(data)[3:]:
        frame = scanner.places[scanner.places.index(point) - 1]
        (found,) = scan(data[:frame] + data[point:]).breaks
        assert (found.certain, found.end) == (False, frame)


def test_checksum_of_frame() -> None:
    data = make_file(size=300, codec="rawvideo")
    place = data.index(nut._SYNC)
    start = place + 9 + data[place + 8]
    assert scan(data).breaks == []
    damaged = data[: start + 1] + bytes([data[start + 1] ^ 1]) + data[start + 2 :]
    assert [b.start for b in scan(damaged).breaks] == [place]


@pytest.mark.parametrize(
    "body",
    [b"", b"\3", b"\xff" * 20, b"\3\1\x40" + b"\xff" * 9 + b"\1", b"\3\1\x40\0\0\1\0", b"\3\1\x40\0\0\7\0\1\0\0\0\2"],
)
def test_faulty_main_header(body: bytes) -> None:
    packet = nut._MAIN + bytes([len(body) + 4]) + body + page_checksum(body).to_bytes(4, "big")
    assert scan(nut.SIGNATURE + packet + bytes(500)).breaks == []
