"""`BatchedExecutor`: batches of jobs, and errors."""

from __future__ import annotations

import threading

import pytest

from dfccodec.runtime.batched_executor import MAX_PENDING_BYTES, BatchedExecutor


@pytest.mark.parametrize("size", [MAX_PENDING_BYTES, MAX_PENDING_BYTES // 3])
def test_jobs_run_in_full_batches(size: int) -> None:
    done: list[int] = []
    with BatchedExecutor(3 if size == MAX_PENDING_BYTES else 1, size) as jobs:
        for number in range(7):
            jobs.add(lambda number=number: done.append(number))  # type: ignore[misc]
            assert len(done) == (number + 1) // 3 * 3
    assert sorted(done) == list(range(7))


def test_jobs_run_concurrently() -> None:
    barrier = threading.Barrier(2, timeout=20)  # passes only if two threads wait
    with BatchedExecutor(2, MAX_PENDING_BYTES) as jobs:
        jobs.add(barrier.wait)
        jobs.add(barrier.wait)


def test_an_error_in_a_job_is_raised_and_ends_the_threads() -> None:
    before = set(threading.enumerate())
    with BatchedExecutor(2, MAX_PENDING_BYTES) as jobs:
        jobs.add(lambda: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            jobs.add(lambda: None)
    assert set(threading.enumerate()) <= before


def test_an_error_in_the_caller_discards_pending_jobs() -> None:
    done: list[int] = []

    def interrupted_batch() -> None:
        with BatchedExecutor(9, MAX_PENDING_BYTES) as jobs:
            jobs.add(lambda: done.append(1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_batch()
    assert done == []
