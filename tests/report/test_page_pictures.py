"""Pictures of a page: evenly spaced, of bounded size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from dfccodec.report import page_pictures
from dfccodec.report.page_pictures import PagePictures
from dfccodec.report.videos import TimedFrame

NOISE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)


def frame(number: int) -> TimedFrame:
    return TimedFrame(np.roll(NOISE, number, axis=0), Fraction(number, 25), None, number)


@pytest.mark.parametrize("known", [0, 100])
def test_many_frames_stay_below_the_limit(known: int) -> None:
    pictures = PagePictures(known, max_bytes=20_000)
    for number in range(100):
        pictures.add([frame(number), None if number == 50 else frame(number)])
    sizes = [len(picture) for row in pictures.rows for picture in row if picture]
    assert 8_000 < sum(sizes) <= 20_000
    steps = np.diff(pictures.numbers)
    assert (steps == steps[0]).all()
    assert steps[0] in (8, 16, 32)
    assert len(pictures.seconds) == 100
    assert f"{len(pictures.numbers)} of 100 frames have pictures, every {steps[0]}th" in pictures.note()


def test_all_frames_of_a_short_clip_have_pictures() -> None:
    pictures = PagePictures(5)
    for number in range(5):
        pictures.add([frame(number), None])
    assert pictures.numbers == [0, 1, 2, 3, 4]
    assert pictures.rows[0][1] is None
    assert pictures.note().startswith("all frames have pictures; they are lossy copies")


def test_large_pictures_are_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_pictures, "MAX_SIDE", 24)
    pictures = PagePictures()
    pictures.add([frame(0)])
    assert "scaled to 24 pixels at most" in pictures.note()
