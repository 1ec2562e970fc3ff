"""Ctrl-C while dfc waits for a pipe: it ends at once with one line and leaves at most a partial output."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import DFC, ENV
from support import moving_square

from dfccodec.container.records import Header, Ratio
from dfccodec.media.output.sink import VideoSink


def test_an_interrupt_does_not_wait_for_more_pipe_data(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "in.y4m", Header(64, 48, Ratio(25, 1), Ratio(1, 25))) as sink:
        for number, frame in enumerate(moving_square(40)):
            sink.write(frame, number, 1)
    command = [*DFC, "encode", "-", "-o", str(tmp_path / "a.dfc"), "--fill", "token"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write((tmp_path / "in.y4m").read_bytes())
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".*.part")) and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        lines = process.stderr.read().decode().splitlines()
    assert lines.pop() == "dfc: error: interrupted"
    assert all("--resume continues from there" in line for line in lines)  # if the first clip was complete
    remaining = {path.name for path in tmp_path.iterdir()}
    assert remaining == {"in.y4m"} | ({".a.dfc.part", ".a.dfc.part.log"} if lines else set())


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_does_not_wait_for_the_first_pipe_data(signum: signal.Signals, tmp_path: Path) -> None:
    command = [*DFC, "encode", "-", "-o", str(tmp_path / "a.dfc")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV) as process:
        assert process.stderr
        deadline = time.monotonic() + 60
        while not _is_reading_from(process.pid, 0) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signum)
        assert process.wait(30) == 130
        assert process.stderr.read().decode().splitlines() == ["dfc: error: interrupted"]
    assert not list(tmp_path.iterdir())


def test_an_interrupt_inside_exec_gives_exit_code_130(tmp_path: Path) -> None:
    """Dataclasses use exec at import. An interrupt there once ended `python -m` by SIGINT."""
    (tmp_path / "interrupted.py").write_text(
        "import dfccodec.cli.main as cli\n"
        "def main():\n"
        "    try:\n"
        "        exec('raise KeyboardInterrupt')\n"
        "    except KeyboardInterrupt:\n"
        "        return 130\n"
        "cli.main = main\n"
        "cli.run()\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    command = [sys.executable, "-m", "interrupted"]
    assert subprocess.run(command, env={**ENV, "PYTHONPATH": paths}, cwd=tmp_path).returncode == 130


def _is_reading_from(process: int, file: int) -> bool:
    """Return whether a process is blocked reading from a descriptor. Without /proc, sleep and return True."""
    try:
        call = Path(f"/proc/{process}/syscall").read_text().split()
    except OSError:
        time.sleep(5)
        return True
    return call[0] in ("0", "63") and int(call[1], 16) == file  # read, on x86-64 and on ARM
