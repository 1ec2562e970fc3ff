"""`dfc inspect --html`: the page of one file, without torch; pictures only on request."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from command import run, run_and_list_imports
from support import encode_source, flat_model, moving_square, write_av

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mini: LoadedModel) -> Path:
    """A file of `mini`, and one with sound of a model without a network."""
    made = tmp_path_factory.mktemp("inspect-page")
    dfc.encode(moving_square(12, 48, 64), made / "a.dfc", model=mini, budget="8", refine=0, frame_rate=25)
    source = write_av(made / "in.mkv", moving_square(8), audio=["aac"])
    (made / "sound.dfc").write_bytes(encode_source(source))
    dfc.encode(moving_square(40, 16, 32), made / "hurt.dfc", model=flat_model(), budget="8")
    data = bytearray((made / "hurt.dfc").read_bytes())
    data[-100] ^= 1
    (made / "hurt.dfc").write_bytes(data[:-40])
    return made


def data_of(page: Path) -> tuple[dict[str, Any], list[list[str]]]:
    """The data and the pictures of a page."""
    found = re.findall(r'<script type="application/json" id="\w+">(.*?)</script>', page.read_text("utf-8"), re.S)
    return json.loads(found[0]), json.loads(found[1])


def test_a_page_without_torch(folder: Path, tmp_path: Path) -> None:
    result, found = run_and_list_imports("inspect", folder / "a.dfc", "--html", tmp_path / "r.html", "--json")
    assert result.returncode == 0, result.stderr.decode()
    assert not found & {"torch", "av", "rich"}
    data, pictures = data_of(tmp_path / "r.html")
    record = json.loads(result.stdout)
    (video,) = data["videos"]
    assert data["kind"] == "inspect"
    assert pictures == []
    assert [i for i, kept in enumerate(video["kept"]) if kept] == record["clips"][0]["kept"]
    assert sum(video["bits"]) / 8 == pytest.approx(record["clips"][0]["bytes"], rel=0.2)
    assert data["seconds"][:2] == [0, 0.04]
    assert ["coding", record["clips"][0]["coding"]] in video["settings"]


def test_pictures_on_request(folder: Path, tmp_path: Path) -> None:
    result = run("inspect", folder / "a.dfc", "--html", tmp_path / "r.html", "--pictures")
    assert result.returncode == 0, result.stderr.decode()
    data, pictures = data_of(tmp_path / "r.html")
    assert data["shown"] == list(range(12))
    assert [len(row) for row in pictures] == [1] * 12


def test_standard_input_and_sound(folder: Path, tmp_path: Path) -> None:
    source = (folder / "sound.dfc").read_bytes()
    result = run("inspect", "-", "--html", tmp_path / "r.html", input=source)
    assert result.returncode == 0, result.stderr.decode()
    data, _ = data_of(tmp_path / "r.html")
    assert data["title"] == "standard input"
    assert data["videos"][0]["parts"]["sound"] > 0


def test_a_damaged_file_has_a_page_and_its_exit_code(folder: Path, tmp_path: Path) -> None:
    result = run("inspect", folder / "hurt.dfc", "--html", tmp_path / "r.html")
    assert result.returncode == 4
    data, _ = data_of(tmp_path / "r.html")
    assert any(note.startswith("damaged at byte") for note in data["notes"])


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["a.dfc", "sound.dfc", "--html", "r.html"], 2, "--html shows one file, and 2 are named"),
        (["a.dfc", "--html", "-"], 2, "--html - is no file"),
        (["a.dfc", "--html", "r.png"], 2, "name it r.html"),
        (["a.dfc", "--html", "a.dfc"], 2, "is the input"),
        (["a.dfc", "--html", "in.mkv"], 6, "in.mkv exists"),
        (["a.dfc", "--pictures"], 2, "--pictures is about --html"),
        (["-", "--html", "r.html", "--pictures"], 2, "--pictures reads the file twice"),
        (["none.dfc", "--html", "r.html"], 3, "none.dfc"),
        (["sound.dfc", "--html", "r.html", "--pictures"], 5, "which dfc does not know by name"),
    ],
)
def test_bad_options_are_one_line(folder: Path, options: list[str], code: int, words: str) -> None:
    before = sorted(folder.iterdir())
    result = run("inspect", *options, cwd=folder)
    assert (result.returncode, result.stderr.decode().count("\n")) == (code, 1), result.stderr.decode()
    assert words in result.stderr.decode()
    assert sorted(folder.iterdir()) == before
