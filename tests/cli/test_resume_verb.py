"""`dfc encode --resume` after the process was killed."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import DFC, ENV, run
from support import moving_square, write_av

OPTIONS = ("--fill", "token", "--budget", "4", "--refine", "0", "--dtype", "float32")


def encode(source: Path, target: Path | str, *more: str) -> subprocess.CompletedProcess[bytes]:
    return run("encode", source, "-o", target, *OPTIONS, *more)


def encode_and_kill(source: Path, target: Path, size: int, signum: int, *more: str) -> tuple[int, str]:
    """Signal an encode once its partial output has `size` bytes; return the exit code and standard error."""
    command = [*DFC, "encode", str(source), "-o", str(target), *OPTIONS, *more]
    process = subprocess.Popen(command, env=ENV, stderr=subprocess.PIPE)
    partial = target.with_name(f".{target.name}.part")
    while process.poll() is None and not (partial.exists() and partial.stat().st_size >= size):
        time.sleep(0.002)
    process.send_signal(signum)
    _, text = process.communicate(timeout=60)
    return process.returncode, text.decode()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_av(
        tmp_path_factory.mktemp("in") / "in.mkv", moving_square(400, 96, 128), ["aac"], "subrip", tags={"title": "T"}
    )


@pytest.fixture(scope="module")
def complete(source: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    target = tmp_path_factory.mktemp("complete") / "a.dfc"
    assert encode(source, target).returncode == 0
    return target.read_bytes()


def test_killed_encodes_resume_to_the_same_bytes(source: Path, complete: bytes, tmp_path: Path) -> None:
    rng, target, partial = random.Random(256), tmp_path / "a.dfc", tmp_path / ".a.dfc.part"
    target.write_bytes(b"old")
    size = 0
    for signum in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        size = max(size, partial.stat().st_size if partial.exists() else 0) + rng.randrange(len(complete) // 8)
        code, text = encode_and_kill(source, target, size, signum, "-y", "--resume")
        assert target.read_bytes() == b"old"
        assert code == (130 if signum != signal.SIGKILL else -signal.SIGKILL)
        if signum != signal.SIGKILL:
            assert "the same command with --resume continues from there" in text
    result = encode(source, target, "-y", "--resume")
    assert result.returncode == 0, result.stderr
    assert b"resuming" in result.stderr
    assert target.read_bytes() == complete
    assert [p.name for p in tmp_path.iterdir()] == ["a.dfc"]


def test_resume_needs_a_file_and_restarts_are_reported(source: Path, complete: bytes, tmp_path: Path) -> None:
    piped = encode(source, "-", "--resume")
    assert piped.returncode == 2
    assert b"--resume needs an output file" in piped.stderr
    target = tmp_path / "a.dfc"
    encode_and_kill(source, target, len(complete) // 4, signal.SIGKILL)
    rejected = encode(source, target, "--resume", "--qp", "30")
    assert rejected.returncode == 2
    was, now = (f"--budget 4 --qp {qp} --fill token --refine 0" for qp in (24, 30))
    assert f"options was '{was}', is '{now}'" in rejected.stderr.decode()
    restarted = encode(source, target)
    assert b"starting from the beginning; --resume would continue it" in restarted.stderr
    assert target.read_bytes() == complete
