"""Run `dfc` in its own process, as a user does, but without the two seconds that importing torch takes.

The processes are forked from a process that has imported torch and nothing else (`multiprocessing`'s fork server). Each
process has its own standard streams, working directory and exit code. Tests of closed streams, signals and imports need
a new interpreter: they use `DFC` and `subprocess`.
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
EXTRA_ENV = {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "HF_HUB_OFFLINE": "1"}
ENV = {**os.environ, **EXTRA_ENV}
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
        arguments: the arguments of `dfc`.
        input: the bytes on standard input.
        cwd: the working directory. If None, the process inherits that of the test.
        timeout: the process is killed after this number of seconds.

    Returns:
        the exit code, standard output and standard error.
    """
    command = [str(argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("in", "out", "err")]
        for stream, data in zip(streams, (input, b"", b""), strict=True):
            stream.write_bytes(data)
        process = start(command, cwd or Path.cwd(), streams)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"dfc {' '.join(command)} did not end in {timeout} s")
        return CompletedProcess(command, process.exitcode, *(stream.read_bytes() for stream in streams[1:]))


def start(arguments: list[str], cwd: Path, streams: list[Path]) -> BaseProcess:
    """Start a command line, with files for standard input, output and error."""
    process: BaseProcess = _context().Process(target=_run_in_child, args=(arguments, str(cwd), streams))
    process.start()
    return process


def _run_in_child(arguments: list[str], cwd: str, streams: list[Path]) -> None:
    """Run `dfc` in the child process."""
    for descriptor, (stream, mode) in enumerate(zip(streams, (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)):
        os.dup2(os.open(stream, mode), descriptor)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")
    os.environ.update(EXTRA_ENV)
    os.chdir(cwd)
    sys.argv = ["dfc", *arguments]
    from dfccodec.cli.main import run as dfc

    dfc()


def run_and_list_imports(
    *arguments: object, input: bytes = b"", cwd: Path | None = None
) -> tuple[CompletedProcess[bytes], set[str]]:
    """Run `dfc` in a new interpreter; return the result and the names of the imported packages."""
    command = [sys.executable, "-X", "importtime", "-m", "dfccodec", *map(str, arguments)]
    result = subprocess.run(command, input=input, capture_output=True, env=ENV, cwd=cwd)
    lines = [line for line in result.stderr.decode().splitlines() if "|" in line]
    found = {line.split("|")[-1].strip().split(".")[0] for line in lines}
    assert "dfccodec" in found
    return result, found
