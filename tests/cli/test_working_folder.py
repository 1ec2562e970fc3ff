"""A working folder that has been deleted: every verb works with absolute paths, and says what is wrong with others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import DFC, ENV
from support import moving, write_video

CODE = Path(__file__).parents[2]


def in_deleted_folder(command: list[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a folder that is gone."""
    gone = folder / "gone"
    gone.mkdir()
    script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    return subprocess.run(
        ["sh", "-c", script, "sh", str(gone), *command], capture_output=True, env={**ENV, "PYTHONPATH": str(CODE)}
    )


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not delete a folder that is in use")
def test_absolute_paths_work(tmp_path: Path) -> None:
    source, coded, video = write_video(tmp_path / "in.mp4", moving(3)), tmp_path / "a.dfc", tmp_path / "out.mkv"
    for command in (["encode", source, "-o", coded], ["verify", coded], ["decode", coded, "-o", video]):
        done = in_deleted_folder([*DFC, *map(str, command)], tmp_path)
        assert (done.returncode, b"rror" in done.stderr) == (0, False), done.stderr
    assert video.stat().st_size > 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not delete a folder that is in use")
def test_relative_paths_are_one_line(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", moving(3))
    done = in_deleted_folder([*DFC, "encode", str(source), "-o", "a.dfc"], tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(b"dfc: error: the working folder has been deleted: ")
    assert done.stderr.count(b"\n") == 1
    assert os.listdir(tmp_path) == ["in.mp4"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not delete a folder that is in use")
def test_the_python_interface_works(tmp_path: Path) -> None:
    done = in_deleted_folder([sys.executable, "-c", "import dfccodec; print(dfccodec.load_model)"], tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
