"""Errors that new users meet first: each message suggests the next command."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import run
from support import moving_square, write_video


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("first")
    write_video(path / "in.mp4", moving_square(2))
    return path


MESSAGES = [
    (["encode"], "As in: dfc encode in.mp4 -o out.dfc"),
    (["trim"], "As in: dfc trim in.dfc -o small.dfc --budget 4"),
    (["encode", "in.mp4"], "no output for in.mp4: give -o in.dfc"),
    (["encode", "in.mp4", "out.dfc"], "write -o out.dfc to name the output"),
    (["encode", "-i", "in.mp4", "-o", "out.dfc"], "inputs need no option"),
    (["in.mp4", "out.dfc"], "a video is encoded with: dfc encode in.mp4 -o in.dfc"),
    (["a.dfc"], "a file is decoded with: dfc decode a.dfc -o a.mp4"),
    (["decdoe", "a.dfc"], "did you mean decode? the commands are encode, decode"),
    (["help"], "the commands are encode, decode"),
    (["decode", "in.mp4", "-o", "b.mp4"], "in.mp4 is not a .dfc file"),
    (["decode", "in.mp4", "-o", "b.mp4"], "dfc encode makes one from a video"),
    (["inspect", "in.mp4"], "dfc encode makes one from a video"),
    (["encode", "in.mp4", "-o", "no/a.dfc"], "make it first, or name another output"),
    (["encode", "in.mp4", "-o", "a.dfc", "--budget", "33"], "budget 33 is out of range (kept frames of 32)"),
    (["encode", ".", "-o", "a.dfc"], ". is a folder: name a file in it"),
    (["decode", "in.mp4", "-o", "b.mp4", "--crf", "20"], "dfc has no such option"),
]


@pytest.mark.parametrize(("arguments", "message"), MESSAGES)
def test_error_messages_suggest_the_next_command(arguments: list[str], message: str, folder: Path) -> None:
    result = run(*arguments, cwd=folder)
    assert result.returncode in (1, 2, 3)
    assert message in " ".join(result.stderr.decode().split())
    assert sorted(p.name for p in folder.iterdir()) == ["in.mp4"]
