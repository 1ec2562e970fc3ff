"""Models in forked processes: `multiprocessing.Pool` on Linux up to Python 3.13, web servers.

The OpenMP threads of torch do not exist in a forked process, which would wait for them forever. So a forked process
runs models with one thread.
"""

from __future__ import annotations

import multiprocessing
import os
from functools import lru_cache

import torch


def enable_forks() -> None:
    """Make sure that processes forked from this one can run models. Call this before a model runs.

    A forked child of `multiprocessing` gets one thread as well, because its parent may have run torch before dfc.
    """
    _limit_forked_threads()
    if type(multiprocessing.current_process()).__name__ == "ForkProcess":
        torch.set_num_threads(1)


def is_forked() -> bool:
    """Whether this process was forked from one that had run a model, so that it must use one thread."""
    return os.getpid() != _limit_forked_threads()


@lru_cache(maxsize=1)
def _limit_forked_threads() -> int:
    """Limit threads in processes forked from now on; returns the number of the process that first called this."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
    return os.getpid()
