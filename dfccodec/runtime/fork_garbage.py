"""Garbage in forked processes. A codec of ffmpeg has threads, which a forked process lacks.

If its garbage collector frees a codec that the parent left in a reference cycle, it waits for these threads forever.
"""

from __future__ import annotations

import gc
import os
from functools import lru_cache


@lru_cache(maxsize=1)
def keep_garbage_in_forks() -> None:
    """In processes forked from now on, exclude the objects of the parent from garbage collection.

    Call this before a codec is opened. `gc.freeze` also leaves the pages of these objects shared with the parent.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=gc.freeze)
