"""Identity of a process, and whether a process of the same machine has ended.

A process number alone is not enough: numbers are used again, and containers have their own. The identity adds the boot
of the machine, the namespace of process numbers and the start time of the process, all from Linux's `/proc`. On other
systems nothing is certain, and `has_ended` returns False.
"""

from __future__ import annotations

import contextlib
import os
import socket
from functools import lru_cache
from pathlib import Path
from typing import Any

_PROC = Path("/proc")


def identify() -> dict[str, Any]:
    """Identity of this process as JSON: host, machine, pid, start time."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "machine": _machine(), "pid": pid, "started": _start_time(pid)}


def has_ended(identity: dict[str, Any]) -> bool:
    """Whether the process with an identity has certainly ended; False if it runs elsewhere or cannot be known."""
    machine, pid = identity.get("machine"), identity.get("pid")
    if not machine or machine != _machine() or not isinstance(pid, int):
        return False
    return _start_time(pid) != identity.get("started")


@lru_cache(maxsize=1)
def _machine() -> str:
    """Boot of this machine and namespace of process numbers; empty where there is no `/proc`."""
    with contextlib.suppress(OSError):
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    return ""


def _start_time(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty if it has ended, also if nobody has waited for it."""
    with contextlib.suppress(OSError):
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""
