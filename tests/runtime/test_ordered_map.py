"""`ordered_map`: results in order of the items, from several threads."""

import threading
import time
from collections.abc import Iterator

import pytest

from dfccodec.runtime.ordered_map import ordered_map


def test_results_come_in_order_of_the_items() -> None:
    def work(item: int) -> int:
        time.sleep(0.01 * (item % 3 == 0))  # these are overtaken
        return item * item

    assert list(ordered_map(work, range(20), 3)) == [n * n for n in range(20)]


def test_items_are_worked_on_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=10)  # fails if one thread works alone
    assert list(ordered_map(lambda item: together.wait() >= 0, range(4), 2)) == [True] * 4


@pytest.mark.parametrize("threads", [1, 3])
def test_items_are_taken_only_as_far_as_needed(threads: int) -> None:
    taken: list[int] = []
    results = ordered_map(lambda item: item, (taken.append(n) or n for n in range(50)), threads)  # type: ignore[func-returns-value]
    assert next(results) == 0
    assert len(taken) == threads + 1
    results.close()


def test_each_thread_starts_once_before_its_first_item() -> None:
    started: list[str] = []

    def work(item: int) -> bool:
        time.sleep(0.002)
        return threading.current_thread().name in started

    assert all(ordered_map(work, range(12), 3, lambda: started.append(threading.current_thread().name)))
    assert len(started) == len(set(started)) <= 3


def test_an_error_comes_after_the_results_before_it_and_cancels_the_rest() -> None:
    cancelled = threading.Event()

    def work(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        return item

    results = ordered_map(work, range(10**9), 2, cancel=cancelled.set)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)
    assert cancelled.is_set()


def test_close_cancels_and_leaves_no_thread() -> None:
    cancelled, before = threading.Event(), set(threading.enumerate())

    def work(item: int) -> int:
        return item if item == 0 else int(cancelled.wait(30))

    results = ordered_map(work, range(10), 2, cancel=cancelled.set)
    assert next(results) == 0
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 20
    assert set(threading.enumerate()) <= before


def test_a_complete_map_is_not_cancelled() -> None:
    assert list(ordered_map(str, range(3), 2, cancel=lambda: pytest.fail("cancelled"))) == ["0", "1", "2"]


def test_an_error_of_the_items_comes_after_all_results() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise ValueError("three")

    results = ordered_map(lambda item: item, items(), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
