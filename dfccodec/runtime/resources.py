"""What this process may use of the machine: memory and threads. Loads no torch."""

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
    """Bytes this process can still have: what the system and the cgroup leave; None where neither says."""
    left = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
        left.append(1024 * int(line.split()[1]))
    with contextlib.suppress(OSError, ValueError):  # no cgroup v2, or `max`: the system alone decides
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text() for name in ("memory.max", "memory.current"))
        left.append(max(int(limit) - int(used), 0))
    return min(left, default=None)


@lru_cache(maxsize=1)
def _trim() -> Callable[[int], int] | None:
    """glibc's `malloc_trim`; None where the C library is another."""
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # TypeError: CDLL(None) on Windows
        return None
    return found


def malloc_trim() -> None:
    """Between clips, and between stages of one: hand memory that has been freed back to the system.

    glibc keeps it, in pieces that what comes next may not fit into: at 640×360 up to 100 MB of 760 were such
    pieces, and peaks of equal runs differed by 4 %. Costs no time that can be measured.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


def available_cpus() -> int:
    """Cores this process may really use: affinity and the cgroup's quota, not what the machine prints.

    More threads than free cores make torch 30 times slower, so a container's quota must count.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if "OMP_NUM_THREADS" in os.environ and os.environ["OMP_NUM_THREADS"].isdigit():
        cores = min(cores, max(1, int(os.environ["OMP_NUM_THREADS"])))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no cgroup v2: affinity alone decides
    return cores


_inside = threading.Lock()
_depth = 0
_limit: Any = None


@lru_cache(maxsize=1)
def _numpy_blas() -> Any:
    """NumPy's own BLAS, if it is the OpenBLAS of its wheels; else nothing to limit."""
    import threadpoolctl  # here: what never multiplies need not load it

    return threadpoolctl.ThreadpoolController().select(prefix="libscipy_openblas")


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Within, as a context or a decorator, NumPy's products of matrices take one thread each, in every thread.

    Ours are small, and many threads make them. OpenBLAS would split each among all cores, and its threads wait for the
    next one by spinning on cores that torch and the other workers need: a fifth of all time on an idle machine, and
    several times as long on a busy one. As it was before, afterwards.
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
