"""Ordered map: a function over items in several threads, results in order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int,
    start: Callable[[], None] = lambda: None, cancel: Callable[[], None] = lambda: None,
) -> Generator[Result, None, None]:  # fmt: skip
    """Yield `function(item)` of each item, in order. At most `threads` + 1 items are in work or wait for their turn.

    Args:
        function: called in the threads.
        items: iterated in the thread of the caller.
        threads: number of threads.
        start: called once in each thread before its first item.
        cancel: called if this generator is closed or an item fails, before it waits for the threads: a function that
            takes long should then end early, its result is not used.

    Raises:
        the exception of an item or of the iteration, after the results of the items before it.
    """
    pool, waiting, done = ThreadPoolExecutor(threads, "dfc-clip", start), deque[Future[Result]](), False
    failure: Exception | None = None
    iterator = iter(items)
    try:
        while failure is None:
            try:
                waiting.append(pool.submit(function, next(iterator)))
            except StopIteration:
                break
            except Exception as error:  # raised below
                failure = error
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if failure is not None:
            raise failure
        done = True
    finally:
        if not done:
            cancel()
        pool.shutdown(cancel_futures=True)
