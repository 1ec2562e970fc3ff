"""Rows of `speed.compare` that were not measured again stay."""

from __future__ import annotations

from benchmarks.speed.compare import with_others


def row(size: str, task: str, value: float) -> dict[str, object]:
    return {"size": size, "task": task, "seconds": [value, value]}


def test_rows_are_replaced_in_place_and_new_ones_come_last() -> None:
    before = [row("a", "encode", 1), row("a", "decode", 2), row("b", "encode", 3)]
    found = [row("c", "encode", 6), row("a", "decode", 5)]
    assert with_others(found, before) == [before[0], found[1], before[2], found[0]]
    assert with_others(found, []) == found
