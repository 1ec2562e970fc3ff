"""Labels and pictures side by side."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dfccodec.errors import UsageError
from dfccodec.report.glyphs import HEIGHT, WIDTH, draw_text
from dfccodec.report.picture_writer import PictureWriter, is_picture
from dfccodec.report.pictures import DROPPED, KEPT, TEXT, SideBySide


def test_letters() -> None:
    assert ["".join(".#"[int(x)] for x in row) for row in draw_text("T1")] == [
        "#####...#...",
        "#.#.#..##...",
        "..#.....#...",
        "..#.....#...",
        "..#.....#...",
        "..#.....#...",
        "..#....###..",
        "............",
    ]


def test_every_letter_differs_and_others_are_question_marks() -> None:
    masks = {draw_text(chr(code)).tobytes() for code in range(32, 127)}
    assert len(masks) == 95
    assert (draw_text("é") == draw_text("?")).all()
    assert draw_text("ab", 2).shape == (2 * HEIGHT, 4 * WIDTH)


def test_names_frames_and_bars_are_drawn() -> None:
    drawing = SideBySide(["a", "a very long name of a file.mp4"], 40, 30)
    assert all(side % 2 == 0 for side in drawing.size)
    picture = drawing.draw([np.full((30, 40, 3), 100, np.uint8), None], [True, False])
    assert picture.shape == (drawing.size[1], drawing.size[0], 3)
    for colour, count in ((100, 1200 * 3), (KEPT[0], 0), (DROPPED[0], 0)):
        assert (picture == colour).sum() >= count
    assert (picture == np.array(KEPT, np.uint8)).all(axis=2).sum() == 4 * 40
    assert (picture == np.array(DROPPED, np.uint8)).all(axis=2).sum() == 4 * 40
    assert (picture == np.array(TEXT, np.uint8)).all(axis=2).any()


@pytest.mark.parametrize(("name", "frames"), [("side.mp4", 5), ("side.gif", 5), ("side.png", 1)])
def test_a_video_or_a_picture_is_written(tmp_path: Path, name: str, frames: int) -> None:
    drawing = SideBySide(["a", "b"], 40, 30)
    with PictureWriter(tmp_path / name, drawing.size, Fraction(25)) as writer:
        assert is_picture(tmp_path / name) == (frames == 1)
        for value in range(frames):
            grey = np.full((30, 40, 3), 40 * value, np.uint8)
            writer.write(drawing.draw([grey, grey], [None, None]))
    with av.open(str(tmp_path / name)) as container:
        assert sum(1 for _ in container.decode(video=0)) == frames


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    drawing = SideBySide(["a"], 40, 30)
    writer = PictureWriter(tmp_path / "side.mp4", drawing.size, Fraction(25)).__enter__()
    writer.write(drawing.draw([None], [None]))
    writer.__exit__(RuntimeError, RuntimeError(), None)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="txt"):
        PictureWriter(tmp_path / "side.txt", drawing.size, Fraction(25))
