"""Memory and CPUs available to this process. Loads no torch."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any


def available_memory() -> int | None:
    """Bytes of memory available to this process within system and cgroup limits; None if unknown."""
    left = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
        left.append(1024 * int(line.split()[1]))
    with contextlib.suppress(OSError, ValueError):  # no cgroup v2, or no limit
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text() for name in ("memory.max", "memory.current"))
        left.append(max(int(limit) - int(used), 0))
    return min(left, default=None)


_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of `mallopt`."""

MAX_FREE_MEMORY, MIN_MAPPING = 1 << 28, 1 << 25
"""Freed memory at the end of the heap that glibc keeps, instead of at most 64 MB; size from which blocks are mapped:
the maximum, up to which it grows by default."""


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Let the C library keep more freed memory for later use, until :func:`malloc_trim`; once per process.

    By default, glibc returns the memory of large tensors to the system again and again: at 1280×720 an eighth of the
    time of an encode without refinement is spent on getting it back. All threads use one heap: else each has its own,
    and what one has freed is no use to another (150 MB at 1280×720 with two clips at once).
    """
    change = _glibc("mallopt")
    if change is not None:
        change(_MMAP_THRESHOLD, MIN_MAPPING)
        change(_TRIM_THRESHOLD, MAX_FREE_MEMORY)
        change(_ARENA_MAX, 1)


@lru_cache(maxsize=2)
def _glibc(name: str) -> Callable[..., int] | None:
    """A function of glibc; None with another C library."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018
        found: Callable[..., int] = getattr(library, name)
    except (OSError, AttributeError, TypeError):  # TypeError: CDLL(None) on Windows
        return None
    return found


def malloc_trim() -> None:
    """Return freed memory to the system; called between clips and between stages of a clip.

    glibc keeps freed memory in fragments that later allocations may not fit into: at 640×360 up to 100 of 760 MB, and
    the peak memory of equal runs differed by 4 %. Getting the memory back costs a few percent of an encode, so it is
    called only between the stages that need most.
    """
    trim = _glibc("malloc_trim")
    if trim is not None:
        trim(0)


def available_cpus() -> int:
    """Number of CPUs available to this process: CPU affinity, cgroup quota and `OMP_NUM_THREADS`.

    More threads than available CPUs make torch 30 times slower, so the quota of a container must count.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "OMP_NUM_THREADS" in os.environ and os.environ["OMP_NUM_THREADS"].isdigit():
        cores = min(cores, max(1, int(os.environ["OMP_NUM_THREADS"])))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no cgroup v2
    return cores


def cpus_per_process(count: int) -> int:
    """Threads for each of several processes: `OMP_NUM_THREADS` if it is set, else an equal share of the CPUs."""
    return available_cpus() if os.environ.get("OMP_NUM_THREADS", "").isdigit() else max(1, available_cpus() // count)


_inside = threading.Lock()
_depth = 0
_limit: Any = None


@lru_cache(maxsize=1)
def _numpy_blas() -> Any:
    """Return the thread controls of the OpenBLAS in NumPy's wheels; they do nothing if NumPy has another BLAS."""
    import threadpoolctl  # imported here because many runs never need it

    return threadpoolctl.ThreadpoolController().select(prefix="libscipy_openblas")


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Context or decorator in which every NumPy matrix product uses one thread.

    Our products are small, and several threads compute them. OpenBLAS would split each among all cores, and its threads
    spin on cores that torch and other workers need: a fifth of the time on an idle machine, several times as much on a
    busy one. The previous limit is restored afterwards.
    """
    global _depth, _limit
    with _inside:
        if not _depth:
            _limit = _numpy_blas().limit(limits=1)
        _depth += 1
    try:
        yield
    finally:
        with _inside:
            _depth -= 1
            if not _depth:
                _limit.restore_original_limits()
