"""`dfc compare --html`: the page of a comparison, and pictures of other outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import av
import pytest
from command import run
from support import moving_square, write_video

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel

FRAMES = moving_square(12, 48, 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mini: LoadedModel) -> Path:
    """A source without loss, a .dfc file of it and a video of x264 that lacks its last frames."""
    made = tmp_path_factory.mktemp("compare-page")
    write_video(made / "in.mkv", FRAMES, codec="ffv1")
    write_video(made / "x264.mp4", FRAMES[:9])
    dfc.encode(made / "in.mkv", made / "a.dfc", model=mini, budget="4", refine=0)
    return made


def data_of(page: Path) -> tuple[dict[str, Any], list[list[str | None]]]:
    """The data and the pictures of a page."""
    found = re.findall(r'<script type="application/json" id="\w+">(.*?)</script>', page.read_text("utf-8"), re.S)
    return json.loads(found[0]), json.loads(found[1])


def test_a_page_of_two_videos_and_a_budget(folder: Path, tmp_path: Path) -> None:
    result = run(
        "compare", "in.mkv", "a.dfc", "x264.mp4", "--budgets", "1", "--html", tmp_path / "r.html", "--metrics", "psnr",
        "--dtype", "float32", "--json", cwd=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr.decode()
    data, pictures = data_of(tmp_path / "r.html")
    figures = json.loads(result.stdout)["coded"]
    assert data["title"] == "in.mkv and 3 coded videos"
    assert [video["name"] for video in data["videos"]] == ["a.dfc", "x264.mp4", "budget 1"]
    assert [video["caption"] for video in data["videos"]] == ["a.dfc", "x264.mp4", "Top-1"]
    assert [len(row) for row in pictures] == [4] * 12
    assert [row[2] is None for row in pictures] == [False] * 9 + [True] * 3
    assert data["seconds"][3] == pytest.approx(3 / 25)
    ours, other, _ = data["videos"]
    assert ours["summary"]["psnr"] == pytest.approx(figures[0]["psnr"], abs=1e-4)
    with dfc.open(folder / "a.dfc") as file:
        assert ours["kept"] == file[0].kept.tolist()
    assert sum(ours["parts"].values()) == ours["bytes"] == (folder / "a.dfc").stat().st_size
    assert other["quality"]["psnr"][9:] == other["bits"][9:] == [None] * 3
    assert None not in other["bits"][:9]
    assert other["kept"] == other["importance"] == []
    assert set(ours["quality"]) == {"psnr"}
    assert any("3 source frames have no coded frame" in note for note in data["notes"])
    assert any(pair[0] == "command" and "--budgets 1" in pair[1] for pair in data["versions"])


def test_equal_frames_are_said(folder: Path, tmp_path: Path) -> None:
    result = run("compare", "in.mkv", "in.mkv", "--html", tmp_path / "r.html", "--metrics", "psnr", cwd=folder)
    assert result.returncode == 0, result.stderr.decode()
    (video,) = data_of(tmp_path / "r.html")[0]["videos"]
    assert video["equal"] == list(range(12))
    assert video["summary"]["equal"]
    assert video["quality"] == {}


def test_a_divided_video_of_another_height(folder: Path, tmp_path: Path) -> None:
    result = run(
        "compare", "in.mkv", "a.dfc", "-o", tmp_path / "w.gif", "--wipe", "--height", "24", "--metrics", "psnr",
        cwd=folder,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr.decode()
    with av.open(str(tmp_path / "w.gif")) as video:
        frames = list(video.decode(video=0))
    assert (len(frames), frames[0].width, frames[0].height) == (12, 32, 24 + 12 + 8)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--html", "-"], 2, "--html - is no file"),
        (["--html", "r.txt"], 2, "--html r.txt is a page: name it r.html"),
        (["--html", "x.mp4", "-o", "x.mp4"], 2, "-o and --html both name x.mp4: name two files"),
        (["--html", "a.dfc"], 6, "a.dfc exists"),
        (["--html", "none/r.html"], 1, "none"),
        (["--wipe"], 2, "--wipe is about -o: name a picture or a video with -o"),
        (["--height", "90"], 2, "--height is about -o"),
    ],
)
def test_bad_options_are_one_line(folder: Path, options: list[str], code: int, words: str) -> None:
    result = run("compare", "in.mkv", "a.dfc", "--metrics", "psnr", *options, cwd=folder)
    assert (result.returncode, result.stderr.decode().count("\n")) == (code, 1), result.stderr.decode()
    assert words in result.stderr.decode()
    assert sorted(path.name for path in folder.iterdir()) == ["a.dfc", "in.mkv", "x264.mp4"]
