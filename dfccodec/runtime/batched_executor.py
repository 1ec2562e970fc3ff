"""Batch small CPU jobs and run them between calls of the network, which itself uses all cores."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

MAX_PENDING_BYTES = 1 << 25
"""Maximum bytes held by pending jobs. The network's threads spin for a while after each call, so every switch costs
time: with two cores and 256×256 pixels, few long batches make an encode a fifth faster than many short ones."""


class BatchedExecutor:
    """Runs jobs in batches: when enough are pending, and when the context is left without an error.

    Args:
        threads: number of threads; a batch has at least this many jobs.
        size: bytes held by one pending job.

    Attributes:
        pool: the thread pool, for other work; it ends with the context.
    """

    def __init__(self, threads: int, size: int) -> None:
        self._batch_size = max(threads, MAX_PENDING_BYTES // size)
        self._pending: list[Callable[[], object]] = []
        self.pool = ThreadPoolExecutor(threads)  # starts threads only when there is work

    def __enter__(self) -> BatchedExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self.pool:
            if error is None:
                self.finish()

    def add(self, job: Callable[[], object]) -> None:
        """Add a job; run all pending jobs if there are enough.

        Raises:
            the exception of a job that runs now.
        """
        self._pending.append(job)
        if len(self._pending) >= self._batch_size:
            self.finish()

    def finish(self) -> None:
        """Run all pending jobs."""
        pending, self._pending = self._pending, []
        list(self.pool.map(lambda job: job(), pending))
