"""Small jobs beside a model that has all cores while it runs: gathered meanwhile, then done on all cores at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

MAX_PENDING_BYTES = 1 << 25
"""Bytes that may wait. The model's threads go on turning for a while when it pauses, so every pause costs: with two
cores and 256×256 pixels, an encode of a few long ones takes a fifth less time than one of many short ones."""


class BatchedExecutor:
    """Jobs that are done once enough wait, and when the context is left without error.

    Args:
        threads: to work with; so many jobs wait at least.
        size: bytes that a job holds while it waits.

    Attributes:
        pool: those threads, for other work; gone with the context.
    """

    def __init__(self, threads: int, size: int) -> None:
        self._enough = max(threads, MAX_PENDING_BYTES // size)
        self._waiting: list[Callable[[], object]] = []
        self.pool = ThreadPoolExecutor(threads)  # starts a thread only once there is work for it

    def __enter__(self) -> BatchedExecutor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self.pool:
            if error is None:
                self.finish()

    def add(self, job: Callable[[], object]) -> None:
        """A job more.

        Raises:
            whatever one of the jobs that are done now raises.
        """
        self._waiting.append(job)
        if len(self._waiting) >= self._enough:
            self.finish()

    def finish(self) -> None:
        """Do all jobs that wait."""
        waiting, self._waiting = self._waiting, []
        list(self.pool.map(lambda job: job(), waiting))
