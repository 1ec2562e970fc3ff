"""Processes forked off one that has run a model: `multiprocessing.Pool` on Linux up to Python 3.13, web servers.

torch's threads (libgomp's) do not come along into a forked process, which then waits for them for ever. One thread
needs no other, so a forked process runs models on one.
"""

from __future__ import annotations

import multiprocessing
import os
from functools import lru_cache

import torch


def survive_forks() -> None:
    """Before a model runs: let processes that are forked off this one run it, too.

    Where torch ran before dfc did and the process is a forked child of `multiprocessing`, it takes one thread as well.
    """
    _watch()
    if type(multiprocessing.current_process()).__name__ == "ForkProcess":
        torch.set_num_threads(1)


def is_forked() -> bool:
    """Whether this process was forked off one that had run a model, so that it must stay with one thread."""
    return os.getpid() != _watch()


@lru_cache(maxsize=1)
def _watch() -> int:
    """Look after processes forked from now on; the process that began to."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
    return os.getpid()
