"""Where a finished file goes: into what a link leads to, as whom it was, and never over a pipe or a device."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from support import flat_model, moving

import dfccodec as dfc
from dfccodec.errors import UsageError
from dfccodec.runtime.atomic_output import replacing, resolve_target

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links, pipes and modes are those of POSIX")


def write(target: Path) -> None:
    with replacing(target) as stream:
        stream.write(b"new")


def encode(target: Path) -> None:
    dfc.encode(moving(2), target, model=flat_model(), budget="1", fill="token")


def encode_at_once(target: Path) -> None:
    """A target for the size is tried first: what is done so far is nothing to go on with."""
    dfc.encode(moving(2), target, model=flat_model(), fill="token", target_size=4000)


WAYS = pytest.mark.parametrize("make", [write, encode, encode_at_once])


@WAYS
def test_a_link_stays_and_what_it_leads_to_is_new(make: object, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    real, link = tmp_path / "folder" / "real.dfc", tmp_path / "link.dfc"
    real.write_bytes(b"old")
    link.symlink_to(real)
    make(link)  # type: ignore[operator]
    assert link.is_symlink()
    assert real.read_bytes() != b"old"
    assert sorted(p.name for p in (tmp_path / "folder").iterdir()) == ["real.dfc"]


def test_a_link_to_nothing_makes_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "new")
    write(tmp_path / "link")
    assert (tmp_path / "new").read_bytes() == b"new"


@WAYS
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664])
def test_a_file_keeps_its_mode(make: object, mode: int, tmp_path: Path) -> None:
    target = tmp_path / "a.dfc"
    target.write_bytes(b"old")
    target.chmod(mode)
    make(target)  # type: ignore[operator]
    assert stat.S_IMODE(target.stat().st_mode) == mode


@WAYS
def test_a_new_file_has_the_mode_of_any(make: object, tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    make(tmp_path / "a.dfc")  # type: ignore[operator]
    assert (tmp_path / "a.dfc").stat().st_mode == (tmp_path / "plain").stat().st_mode


@WAYS
def test_a_pipe_is_not_replaced(make: object, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"pipe is a pipe or a device: write to standard output, -o - > "):
        make(tmp_path / "pipe")  # type: ignore[operator]
    assert (tmp_path / "pipe").is_fifo()
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_a_device_is_not_replaced() -> None:
    with pytest.raises(UsageError, match="device"):
        resolve_target(Path(os.devnull))


@WAYS
@pytest.mark.parametrize("name", ["a" * 255, "ж" * 125 + ".dfc"])
def test_a_name_as_long_as_the_file_system_takes(make: object, name: str, tmp_path: Path) -> None:
    make(tmp_path / name)  # type: ignore[operator]
    assert [p.name for p in tmp_path.iterdir()] == [name]
