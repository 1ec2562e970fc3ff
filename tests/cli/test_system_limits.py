"""Pipes by name, full disks, file size limits and too little memory."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command import DFC, ENV
from support import moving_square, write_av, write_video

from dfccodec.cli import main as cli
from dfccodec.runtime.atomic_output import NamedStream

QUICK = ["--fill", "token", "--refine", "0", "--budget", "2"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in the file system")


def run_in_shell(command: str, cwd: Path, timeout: float = 100) -> subprocess.CompletedProcess[bytes]:
    env = {**ENV, "DFC": " ".join(DFC), "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(["bash", "-c", command], cwd=cwd, capture_output=True, env=env, timeout=timeout)


@pytest.mark.parametrize(
    "command",
    [
        "mkfifo p; cat in.ts > p & $DFC encode p -o out.dfc",
        "$DFC encode <(cat in.ts) -o out.dfc",
        "cat in.ts | $DFC encode /dev/stdin -o out.dfc",
        "cat in.ts | $DFC encode - -o out.dfc",
    ],
    ids=["named-pipe", "substitution", "dev-stdin", "dash"],
)
def test_encode_reads_every_kind_of_pipe(command: str, tmp_path: Path) -> None:
    write_av(tmp_path / "in.ts", moving_square(6), ["mp2"])
    result = run_in_shell(f"{command} {' '.join(QUICK)}", tmp_path)
    assert result.returncode == 0, result.stderr
    assert b"6 frames" in result.stderr


@pytest.mark.parametrize(
    "command", ["inspect", "verify", "decode -o b.y4m", "trim --budget 1 -o b.dfc", "recover -o b.dfc"]
)
def test_other_commands_read_pipes_by_name(command: str, tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", moving_square(3))
    assert run_in_shell(f"$DFC encode {source} -o a.dfc {' '.join(QUICK)}", tmp_path).returncode == 0
    verb, _, more = command.partition(" ")
    result = run_in_shell(f"$DFC {verb} <(cat a.dfc) {more}", tmp_path)
    assert result.returncode == 0, result.stderr


def test_sigterm_ends_the_wait_for_a_pipe_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")
    process = subprocess.Popen(
        [*DFC, "encode", "p", "-o", "a.dfc"], cwd=tmp_path, stderr=subprocess.PIPE,
        env={**ENV, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    time.sleep(2)  # dfc is now blocked in open()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, b"interrupted" in err) == (130, True)
    assert os.listdir(tmp_path) == ["p"]


def test_an_empty_pipe_is_reported(tmp_path: Path) -> None:
    result = run_in_shell("true | $DFC encode - -o a.dfc", tmp_path)
    assert (result.returncode, result.stderr.count(b"\n")) == (3, 1)
    assert b"standard input is empty: no data came through the pipe" in result.stderr


def test_a_full_disk_error_names_the_file(tmp_path: Path) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        stream = NamedStream(full, tmp_path / "a.dfc")
        with pytest.raises(OSError, match=r"a\.dfc") as raised:
            stream.write(b"x")
    assert raised.value.errno == errno.ENOSPC
    text = cli._system_error(raised.value)
    assert text.startswith("cannot write ")
    assert "a.dfc: No space left on device; free some space there, or name another output" in text


@pytest.mark.parametrize("verb", ["encode", "decode", "trim"])
def test_every_command_names_an_output_over_the_size_limit(verb: str, tmp_path: Path) -> None:
    """`ulimit -f` limits the file size, in blocks of 512 or 1024 bytes, and so simulates a full disk."""
    noise = np.random.default_rng(0).integers(0, 255, (4, 96, 128, 3), np.uint8)
    write_video(tmp_path / "in.mp4", noise)
    assert (
        run_in_shell("$DFC encode in.mp4 -o in.dfc --fill token --refine 0 --budget all --qp 0", tmp_path).returncode
        == 0
    )
    commands = {
        "encode": "$DFC encode in.mp4 -o out.dfc --fill token --refine 0 --budget all --qp 0",
        "decode": "$DFC decode in.dfc -o out.mkv",
        "trim": "$DFC trim in.dfc -o out.dfc --frames 0:4",
    }
    before = set(os.listdir(tmp_path))
    result = run_in_shell(f"ulimit -f 8; {commands[verb]}", tmp_path)
    assert result.returncode == 1
    assert re.search(rb"dfc: error: cannot write .*out\.(dfc|mkv): File too large", result.stderr), result.stderr
    assert not {"out.dfc", "out.mkv"} & set(os.listdir(tmp_path)) - before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs ulimit -v of Linux")
def test_out_of_memory_is_a_one_line_error(tmp_path: Path) -> None:
    write_video(tmp_path / "in.mp4", moving_square(3))
    result = run_in_shell("ulimit -v 500000; $DFC encode in.mp4 -o a.dfc", tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(b"dfc: error: out of memory")
    assert result.stderr.count(b"\n") == 1


def test_a_missing_shared_library_is_reported() -> None:
    error = ImportError("libfoo.so.1: cannot open shared object file", name="foo")
    assert cli._library_error(error).startswith("a library does not load (libfoo.so.1")
    assert cli._library_error(ImportError("cannot import name 'x'", name="dfccodec.codec")) == ""
    assert cli._library_error(RuntimeError("shapes do not match")) == ""
