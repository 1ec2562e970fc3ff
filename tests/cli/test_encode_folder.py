"""`dfc encode FOLDER` and `--jobs` of several inputs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from support import moving_square, write_video

from dfccodec.cli import encode_batch, folders
from dfccodec.cli.main import main
from dfccodec.errors import UsageError

FAST = ["--fill", "token", "--refine", "0"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with videos and other files in the folder `in`."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("one.mp4", "two.MOV", "below/one.mp4", "below/.hidden.mp4", ".trash/x.mp4")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path.with_suffix(path.suffix.lower()), moving_square(2 + number, 32, 32)).rename(path)
    for name in ("notes.txt", "below/old.dfc"):
        (tmp_path / "in" / name).touch()
    return tmp_path


def outputs(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_means_its_videos(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "in", "--output-dir", "out", *FAST]) == 0
    assert outputs(folder / "out") == ["one.dfc", "two.dfc"]
    assert main(["encode", "in/", "--recursive", "--output-dir", "out", "--resume", *FAST]) == 0
    assert "3 of 3 done" in capsys.readouterr().err
    assert outputs(folder / "out") == ["below/one.dfc", "one.dfc", "two.dfc"]
    assert main(["encode", "in/below", "in/two.MOV", "--keep-tree", "--output-dir", "tree", *FAST]) == 0
    assert outputs(folder / "tree") == ["below/one.dfc", "two.dfc"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in"], "input in is a folder: give --output-dir FOLDER for its videos"),
        (["in/one.mp4", "--output-dir", "out", "--recursive"], "--recursive needs a folder as input"),
        (
            ["empty", "--output-dir", "out"],
            "input empty is a folder without videos, such as .mp4: name their",
        ),
        (
            ["in", "in/below", "--output-dir", "out"],
            "in/one.mp4 and in/below/one.mp4 would both become out/one",
        ),
        (["in", "in/one.mp4", "--output-dir", "out"], "input in/one.mp4 is given twice"),
        (
            ["--manifest", "l.jsonl", "--output-dir", "out", "--recursive"],
            "--manifest l.jsonl and --recursive are given",
        ),
    ],
)
def test_invalid_folders(arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "empty").mkdir()
    assert main(["encode", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (folder / "out").exists()


def test_folders_are_read_in_order_of_names(folder: Path) -> None:
    files, inside = folders.expand(["x.mp4", "in"], recursive=True)
    assert files == ["x.mp4", "in/below/one.mp4", "in/one.mp4", "in/two.MOV"]
    assert inside["in/below/one.mp4"] == "below/one.mp4"
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=r"is a folder without videos, such as \.mp4: name their files$"):
        folders.expand(["empty"], recursive=True)


def test_several_processes(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "in" / "bad.mp4").write_bytes(b"no video")
    command = ["encode", "in", "--recursive", "--output-dir", "out", "--jobs", "2", "--json", *FAST]
    assert main(command) == 3
    found = capfd.readouterr()
    assert "3 of 4 done; failed: in/bad.mp4" in found.err
    assert "out/one.dfc: 2 frames, 1 kept in 1 clip, " in found.err
    assert [row.get("frames") for row in json.loads(found.out)] == [None, 4, 2, 3]
    assert outputs(folder / "out") == ["below/one.dfc", "one.dfc", "two.dfc"]
    assert main(command) == 6
    (folder / "in" / "bad.mp4").unlink()
    assert main([*command, "--resume"]) == 0  # nothing left, so no process is started
    assert capfd.readouterr().err.count("exists already: skipped") == 3


def _end(*arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_costs_one_file(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode_batch, "encode_in_child", _end)
    assert main(["encode", "in", "--output-dir", "out", "--jobs", "2", *FAST]) == 1
    error = capfd.readouterr().err
    assert "in/one.mp4: its process ended by signal 9, as when memory is short; the same command with --resume" in error
    assert "0 of 2 done" in error
