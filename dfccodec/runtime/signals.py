"""SIGINT and SIGTERM: deferred in critical sections, and as an end like Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def defer_signals() -> Iterator[None]:
    """Defer SIGINT and SIGTERM to the end of the block.

    Outside the main thread, where Python cannot handle signals, this does nothing.

    Raises:
        KeyboardInterrupt: at the end of the block, if a signal arrived.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if arrived:
        raise KeyboardInterrupt


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """Handler of SIGTERM that ends a process as Ctrl-C does, so that temporary files are removed."""
    raise KeyboardInterrupt
