"""Atomic output: symlinks are resolved, file modes are kept, and pipes and devices are never replaced."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from support import flat_model, moving_square

import dfccodec as dfc
from dfccodec.errors import UsageError
from dfccodec.runtime.atomic_output import replacing, resolve_target

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="tests symlinks, pipes and modes of POSIX")


def write_file(target: Path) -> None:
    with replacing(target) as stream:
        stream.write(b"new")


def encode_file(target: Path) -> None:
    dfc.encode(moving_square(2), target, model=flat_model(), budget="1", fill="token")


def encode_with_target(target: Path) -> None:
    """Encode with a target size. Such an encode writes no partial output, because it cannot be resumed."""
    dfc.encode(moving_square(2), target, model=flat_model(), fill="token", target_size=4000)


WRITERS = pytest.mark.parametrize("write", [write_file, encode_file, encode_with_target])


@WRITERS
def test_a_symlink_stays_and_its_destination_is_replaced(write: object, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    destination, link = tmp_path / "folder" / "real.dfc", tmp_path / "link.dfc"
    destination.write_bytes(b"old")
    link.symlink_to(destination)
    write(link)  # type: ignore[operator]
    assert link.is_symlink()
    assert destination.read_bytes() != b"old"
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == ["real.dfc"]


def test_a_dangling_symlink_creates_its_destination(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "new")
    write_file(tmp_path / "link")
    assert (tmp_path / "new").read_bytes() == b"new"


@WRITERS
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_a_replaced_file_keeps_its_mode(write: object, mode: int, tmp_path: Path) -> None:
    target = tmp_path / "a.dfc"
    target.write_bytes(b"old")
    target.chmod(mode)
    write(target)  # type: ignore[operator]
    assert stat.S_IMODE(target.stat().st_mode) == mode


@WRITERS
def test_a_new_file_has_the_default_mode(write: object, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write(tmp_path / "a.dfc")  # type: ignore[operator]
    assert (tmp_path / "a.dfc").stat().st_mode == (tmp_path / "plain").stat().st_mode


@WRITERS
def test_a_named_pipe_is_not_replaced(write: object, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"pipe is a pipe or a device: write to standard output, -o - > "):
        write(tmp_path / "pipe")  # type: ignore[operator]
    assert (tmp_path / "pipe").is_fifo()
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(UsageError, match="device"):
        resolve_target(Path(os.devnull))


@WRITERS
@pytest.mark.parametrize("name", ["a" * 255, "ж" * 125 + ".dfc"])
def test_file_names_of_the_maximum_length(write: object, name: str, tmp_path: Path) -> None:
    write(tmp_path / name)  # type: ignore[operator]
    assert [p.name for p in tmp_path.iterdir()] == [name]
