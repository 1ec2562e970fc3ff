"""`dfc encode --resume` as a person uses it: processes that are killed."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import DFC, ENV, run
from support import moving, write_av

OPTIONS = ("--fill", "token", "--budget", "4", "--refine", "0", "--dtype", "float32")


def encode(source: Path, target: Path | str, *more: str) -> subprocess.CompletedProcess[bytes]:
    return run("encode", source, "-o", target, *OPTIONS, *more)


def killed_when_there(source: Path, target: Path, size: int, kind: int, *more: str) -> tuple[int, str]:
    """Send an encode a signal as soon as its part has so many bytes; the exit code and standard error."""
    command = [*DFC, "encode", str(source), "-o", str(target), *OPTIONS, *more]
    process = subprocess.Popen(command, env=ENV, stderr=subprocess.PIPE)
    part = target.with_name(f".{target.name}.part")
    while process.poll() is None and not (part.exists() and part.stat().st_size >= size):
        time.sleep(0.002)
    process.send_signal(kind)
    _, text = process.communicate(timeout=60)
    return process.returncode, text.decode()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_av(
        tmp_path_factory.mktemp("in") / "in.mkv", moving(400, 96, 128), ["aac"], "subrip", tags={"title": "T"}
    )


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    target = tmp_path_factory.mktemp("whole") / "a.dfc"
    assert encode(source, target).returncode == 0
    return target.read_bytes()


def test_killed_and_interrupted_encodes_go_on_to_the_same_bytes(source: Path, whole: bytes, tmp_path: Path) -> None:
    rng, target, part = random.Random(256), tmp_path / "a.dfc", tmp_path / ".a.dfc.part"
    target.write_bytes(b"old")
    size = 0
    for kind in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        size = max(size, part.stat().st_size if part.exists() else 0) + rng.randrange(len(whole) // 8)
        code, text = killed_when_there(source, target, size, kind, "-y", "--resume")
        assert target.read_bytes() == b"old"
        assert code == (130 if kind != signal.SIGKILL else -signal.SIGKILL)
        if kind != signal.SIGKILL:
            assert "the same command with --resume continues from there" in text
    done = encode(source, target, "-y", "--resume")
    assert done.returncode == 0, done.stderr
    assert b"resuming" in done.stderr
    assert target.read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == ["a.dfc"]


def test_resume_needs_a_file_and_a_plain_encode_says_what_it_drops(source: Path, whole: bytes, tmp_path: Path) -> None:
    piped = encode(source, "-", "--resume")
    assert piped.returncode == 2
    assert b"--resume needs an output file" in piped.stderr
    target = tmp_path / "a.dfc"
    killed_when_there(source, target, len(whole) // 4, signal.SIGKILL)
    other = encode(source, target, "--resume", "--qp", "30")
    assert other.returncode == 2
    was, now = (f"--budget 4 --qp {qp} --fill token --refine 0" for qp in (24, 30))
    assert f"options was '{was}', is '{now}'" in other.stderr.decode()
    again = encode(source, target)
    assert b"starting from the beginning; --resume would continue it" in again.stderr
    assert target.read_bytes() == whole
