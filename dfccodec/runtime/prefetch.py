"""Work ahead: a stage of a pipeline in a thread of its own, never more than a few items before the next."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

_PATIENCE = 2.0
"""Seconds to wait for the thread at an early end; it may be reading from a pipe in which nothing comes."""


@dataclass(frozen=True)
class _End:
    """The last thing in a queue: why nothing follows."""

    error: BaseException | None = None


def prefetch(items: Iterable[Item], depth: int = 1) -> Generator[Item, None, None]:
    """The same items in the same order, each made in a thread while the one before is in use.

    Args:
        items: iterated over in that thread only, and closed there too, if it is a generator.
        depth: how many may be made before they are asked for.

    Raises:
        whatever the iteration raises, after the items before it. When this generator is closed early, the thread
        ends after the item in the making, and nearly always before this returns: whoever closes what the thread
        reads has to bear that it does not.
    """
    ready: queue.SimpleQueue[Item | _End] = queue.SimpleQueue()
    free, left = threading.Semaphore(depth), threading.Event()

    def work() -> None:
        error: BaseException | None = None
        iterator = iter(items)
        try:
            while free.acquire() and not left.is_set():
                ready.put(next(iterator))
        except StopIteration:
            pass
        except BaseException as caught:  # raised again where the items are used
            error = caught
        finally:
            if isinstance(iterator, Generator):
                iterator.close()
            ready.put(_End(error))

    thread = threading.Thread(target=work, name="dfc-ahead", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            free.release()
            yield item
            del item  # it would live on until the next one comes
        if item.error is not None:
            raise item.error
    finally:
        left.set()
        free.release()
        thread.join(_PATIENCE)
