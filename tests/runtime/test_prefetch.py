"""A stage in a thread of its own: the same items, a bounded number of them, errors where they are used."""

import threading
import time
from collections.abc import Iterator

import pytest

from dfccodec.runtime.prefetch import prefetch


@pytest.mark.parametrize("room", [1, 3])
def test_the_same_items_and_never_more_than_there_is_room_for(room: int) -> None:
    made, most = 0, 0

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(50):
            made += 1
            yield number

    found: list[int] = []
    for item in prefetch(items(), room):
        time.sleep(0.001)
        most = max(most, made - len(found))
        found.append(item)
    assert found == list(range(50))
    assert 1 < most <= room + 1  # the one in use and those that wait


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("three")

    reader = prefetch(items())
    assert [next(reader), next(reader)] == [1, 2]
    with pytest.raises(ValueError, match="three"):
        next(reader)


def test_the_thread_ends_with_its_reader_and_closes_what_it_reads() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    before = threading.active_count()
    reader = prefetch(items())
    assert next(reader) == 0
    reader.close()
    assert closed.wait(5)
    assert threading.active_count() == before


def test_items_that_never_come_do_not_hold_the_end_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfccodec.runtime.prefetch._JOIN_SECONDS", 0.05)
    gate = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        gate.wait(30)

    reader = prefetch(items())
    assert next(reader) == 1
    begun = time.monotonic()
    reader.close()
    assert time.monotonic() - begun < 10
    gate.set()
