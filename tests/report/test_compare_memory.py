"""Memory of a comparison does not grow with the number of frames."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from dfccodec.report.compare import compare
from dfccodec.report.drawing import Drawing
from dfccodec.report.page_pictures import PagePictures
from dfccodec.report.videos import TimedFrame

SIZE = (96, 160, 3)


class Video(SimpleNamespace):
    """A video that is made while it is read."""

    def __iter__(self) -> Iterator[TimedFrame]:
        for number in range(self.frames):
            yield TimedFrame(np.full(SIZE, (number + self.shade) % 256, np.uint8), Fraction(number, 25), None, number)

    def from_time(self, seconds: Fraction, count: int) -> list[TimedFrame]:
        raise AssertionError("both videos begin at 0")


def peak(folder: Path, frames: int) -> int:
    """Highest number of bytes of Python and NumPy during a comparison of videos of that length."""
    videos: list[Any] = [
        Video(name=name, caption=name, rate=Fraction(25), frames=frames, bytes=1, notes=[], shade=shade)
        for shade, name in enumerate(("in", "a"))
    ]
    pictures = PagePictures(0, max_bytes=5_000)
    tracemalloc.start()
    try:
        with Drawing(folder / f"{frames}.mkv", videos[0], videos[1:]) as drawing:
            (result,) = compare(videos[0], videos[1:], metrics=("psnr",), sinks=[drawing, pictures])
        assert result.matches.matched == frames
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_times_the_frames_take_no_more_memory(tmp_path: Path) -> None:
    peak(tmp_path, 8)  # imports and caches
    short, long = peak(tmp_path, 40), peak(tmp_path, 400)
    frame = int(np.prod(SIZE))
    assert long - short < 4 * frame + 360 * 600  # a few hundred bytes of figures for each frame
    assert long < 60 * frame
