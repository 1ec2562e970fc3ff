"""Videos and pictures of several videos: side by side, divided, scaled."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from dfccodec.report.drawing import Drawing
from dfccodec.report.pictures import TEXT, wipe
from dfccodec.report.videos import TimedFrame

BLACK, WHITE = np.zeros((40, 60, 3), np.uint8), np.full((40, 60, 3), 255, np.uint8)


def draw(path: Path, frames: int, **options: Any) -> np.ndarray:
    """The pictures of a file with a black source and two white coded videos, (T, H, W, 3)."""
    source, *coded = (SimpleNamespace(caption=name, rate=Fraction(25), frames=frames) for name in ("in", "a", "b"))
    with Drawing(path, source, coded, **options) as drawing:  # type: ignore[arg-type]
        for number in range(frames):
            drawing.add([TimedFrame(BLACK, Fraction(number), None), TimedFrame(WHITE, Fraction(0), True), None])
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_source_is_left_of_the_divider() -> None:
    out = wipe(BLACK, WHITE, 0.25)
    assert (out[:, :14] == 0).all()
    assert (out[:, 14:16] == TEXT).all()
    assert (out[:, 16:] == 255).all()
    for position in (0.0, 1.0):
        assert wipe(BLACK, WHITE, position).shape == BLACK.shape


@pytest.mark.parametrize(("name", "count"), [("out.mp4", 6), ("out.gif", 6), ("out.png", 1)])
def test_one_place_for_each_video(tmp_path: Path, name: str, count: int) -> None:
    pictures = draw(tmp_path / name, 6)
    assert pictures.shape[0] == count
    assert pictures.shape[2] == 3 * 60 + 2 * 4
    middle = pictures[0, 30]
    assert middle[20:50].max() < 20
    assert middle[80:110].min() > 235
    assert middle[150:].max() < 20


@pytest.mark.parametrize(("there", "shown"), [(range(9), 4), (range(3), 2), (range(7, 9), 7), (range(0), 4)])
def test_a_picture_is_the_frame_nearest_to_the_middle_that_all_have(tmp_path: Path, there: range, shown: int) -> None:
    source, coded = (SimpleNamespace(caption=name, rate=Fraction(25), frames=9) for name in ("in", "a"))
    with Drawing(tmp_path / "out.png", source, [coded]) as drawing:  # type: ignore[arg-type,list-item]
        for number in range(9):
            frame = TimedFrame(np.full((40, 60, 3), 20 * number, np.uint8), Fraction(number), None)
            drawing.add([frame, frame if number in there else None])
    with av.open(str(tmp_path / "out.png")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert picture[30, 30, 0] == 20 * shown


def test_the_divider_moves(tmp_path: Path) -> None:
    pictures = draw(tmp_path / "out.mkv", 48, wipe=True)
    assert pictures.shape[2] == 2 * 60 + 4
    black = [(frame[30, :60].mean(axis=-1) < 128).sum() for frame in pictures]
    assert black[0] < 6
    assert black[-1] > 50
    assert np.all(np.diff(black) >= 0)


def test_pictures_are_scaled(tmp_path: Path) -> None:
    assert draw(tmp_path / "out.png", 2, height=20).shape[1:3] == (12 + 20 + 8, 3 * 30 + 2 * 4)


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    source = SimpleNamespace(caption="in", rate=Fraction(25), frames=2)
    drawing = Drawing(tmp_path / "out.gif", source, []).__enter__()  # type: ignore[arg-type]
    drawing.add([TimedFrame(BLACK, Fraction(0), None)])
    drawing.__exit__(RuntimeError, RuntimeError(), None)
    assert not list(tmp_path.iterdir())
