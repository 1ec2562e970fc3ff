"""`prefetch`: a producer in its own thread, with bounded depth and errors in the consumer."""

import threading
import time
from collections.abc import Iterator

import pytest

from dfccodec.runtime.prefetch import prefetch


@pytest.mark.parametrize("depth", [1, 3])
def test_prefetch_yields_all_items_and_respects_the_depth(depth: int) -> None:
    produced, max_ahead = 0, 0

    def items() -> Iterator[int]:
        nonlocal produced
        for number in range(50):
            produced += 1
            yield number

    consumed: list[int] = []
    for item in prefetch(items(), depth):
        time.sleep(0.001)
        max_ahead = max(max_ahead, produced - len(consumed))
        consumed.append(item)
    assert consumed == list(range(50))
    assert 1 < max_ahead <= depth + 1  # the current item and the prefetched ones


def test_an_error_is_raised_after_the_preceding_items() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("three")

    reader = prefetch(items())
    assert [next(reader), next(reader)] == [1, 2]
    with pytest.raises(ValueError, match="three"):
        next(reader)


def test_close_ends_the_thread_and_closes_the_producer() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    before = set(threading.enumerate())
    reader = prefetch(items())
    assert next(reader) == 0
    reader.close()
    assert closed.wait(5)
    assert set(threading.enumerate()) <= before


def test_close_does_not_wait_for_a_blocked_producer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfccodec.runtime.prefetch._JOIN_SECONDS", 0.05)
    gate = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        gate.wait(30)

    reader = prefetch(items())
    assert next(reader) == 1
    start = time.monotonic()
    reader.close()
    assert time.monotonic() - start < 10
    gate.set()
