"""Prefetch: run a stage of a pipeline in a thread, a few items ahead of its consumer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")

_JOIN_SECONDS = 2.0
"""Seconds to wait for the thread when the generator is closed early; the thread may be blocked on an idle pipe."""


@dataclass(frozen=True)
class _End:
    """Last entry in the queue, with the error that ended the iteration, if any."""

    error: BaseException | None = None


def prefetch(items: Iterable[Item], depth: int = 1) -> Generator[Item, None, None]:
    """Yield the items in order; a thread produces the next one while the current one is in use.

    Args:
        items: iterated in the thread only; a generator is closed there too.
        depth: maximum number of items produced ahead.

    Raises:
        the exception of the iteration, after the items before it. If this generator is closed early, the thread ends
        after the current item, nearly always before this returns. Callers that close the thread's input must expect
        that the thread may still be reading it.
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
        except BaseException as caught:  # re-raised in the consumer
            error = caught
        finally:
            if isinstance(iterator, Generator):
                iterator.close()
            ready.put(_End(error))

    thread = threading.Thread(target=work, name="dfc-prefetch", daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _End):
            free.release()
            yield item
            del item  # otherwise it stays in memory until the next one arrives
        if item.error is not None:
            raise item.error
    finally:
        left.set()
        free.release()
        thread.join(_JOIN_SECONDS)
