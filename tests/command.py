"""`dfc` in a process of its own, as a person runs it, without two seconds for loading torch each time.

Processes are forked off one that has loaded it and nothing more (`multiprocessing`'s fork server). Each has its own
standard streams, working directory and exit code. What a start from nothing does differently, closed streams, signals,
imports, is tested with `DFC` and `subprocess`.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

DFC = [sys.executable, "-m", "dfccodec"]
MORE = {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}
ENV = {**os.environ, **MORE}
PRELOADED = [
    "torch",
    "av",
    "dfccodec.codec.api",
    "dfccodec.cli.encode",
    "dfccodec.cli.decode",
    "dfccodec.media.output.sink",
]


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run(
    *arguments: object, input: bytes = b"", cwd: Path | None = None, timeout: float = 300
) -> CompletedProcess[bytes]:
    """Run a command line to its end.

    Args:
        arguments: of `dfc`.
        input: what it reads from standard input.
        cwd: where it runs; where the test runs, if None.
        timeout: seconds, after which it is killed.

    Returns:
        exit code and what was written to standard output and standard error.
    """
    command = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("in", "out", "err")]
        for stream, data in zip(streams, (input, b"", b""), strict=True):
            stream.write_bytes(data)
        process: BaseProcess = _context().Process(target=_command, args=(command, str(cwd or Path.cwd()), streams))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"dfc {' '.join(command)} did not end in {timeout} s")
        return CompletedProcess(command, process.exitcode, *(stream.read_bytes() for stream in streams[1:]))


def _command(arguments: list[str], cwd: str, streams: list[Path]) -> None:
    """What the new process does."""
    for descriptor, (stream, mode) in enumerate(zip(streams, (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)):
        os.dup2(os.open(stream, mode), descriptor)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    os.environ.update(MORE)
    os.chdir(cwd)
    sys.argv = ["dfc", *arguments]
    from dfccodec.cli.main import run as dfc

    dfc()


def imports(
    *arguments: object, input: bytes = b"", cwd: Path | None = None
) -> tuple[CompletedProcess[bytes], set[str]]:
    """What a start from nothing gives, and the packages it has loaded."""
    command = [sys.executable, "-X", "importtime", "-m", "dfccodec", *map(str, arguments)]
    done = subprocess.run(command, input=input, capture_output=True, env=ENV, cwd=cwd)
    lines = [line for line in done.stderr.decode().splitlines() if "|" in line]
    found = {line.split("|")[-1].strip().split(".")[0] for line in lines}
    assert "dfccodec" in found
    return done, found
