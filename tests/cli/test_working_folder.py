"""A deleted working folder: absolute paths work, and relative paths give a clear error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import DFC, ENV
from support import moving_square, write_video

REPOSITORY = Path(__file__).parents[2]


def run_in_deleted_folder(command: list[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a folder that has been deleted."""
    deleted = folder / "gone"
    deleted.mkdir()
    script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    return subprocess.run(
        ["sh", "-c", script, "sh", str(deleted), *command],
        capture_output=True,
        env={**ENV, "PYTHONPATH": str(REPOSITORY)},
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux deletes a folder that is in use")
def test_absolute_paths_work(tmp_path: Path) -> None:
    source, coded, video = write_video(tmp_path / "in.mp4", moving_square(3)), tmp_path / "a.dfc", tmp_path / "out.mkv"
    for command in (["encode", source, "-o", coded], ["verify", coded], ["decode", coded, "-o", video]):
        result = run_in_deleted_folder([*DFC, *map(str, command)], tmp_path)
        assert (result.returncode, b"rror" in result.stderr) == (0, False), result.stderr
    assert video.stat().st_size > 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux deletes a folder that is in use")
def test_relative_paths_give_a_one_line_error(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", moving_square(3))
    result = run_in_deleted_folder([*DFC, "encode", str(source), "-o", "a.dfc"], tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(b"dfc: error: the working folder has been deleted: ")
    assert result.stderr.count(b"\n") == 1
    assert os.listdir(tmp_path) == ["in.mp4"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux deletes a folder that is in use")
def test_the_python_api_works(tmp_path: Path) -> None:
    result = run_in_deleted_folder([sys.executable, "-c", "import dfccodec; print(dfccodec.load_model)"], tmp_path)
    assert (result.returncode, result.stderr) == (0, b"")
