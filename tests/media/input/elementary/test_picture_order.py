"""Numbers in display order: every number that was taken out is found, and nothing in a complete stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfccodec.media.input.elementary.picture_order import PictureNumber, PictureOrder

GROUP = 12


def decoding_order(frames: int, step: int, modulus: int) -> list[PictureNumber]:
    """Return numbers of one sequence in which two of three pictures come after one that they precede."""
    order = [n for start in range(0, frames, 3) for n in (start + 2, start, start + 1) if n < frames]
    return [PictureNumber(n * step % modulus, modulus, index == 0) for index, n in enumerate(order)]


def count(pictures: list[PictureNumber]) -> list[tuple[int, int]]:
    """Return what is found in the whole stream."""
    order = PictureOrder()
    found = [item for position, picture in enumerate(pictures) for item in order.add(picture, position)]
    return found + order.finish()


@given(st.integers(12, 400), st.sampled_from([1, 2, 4]), st.sampled_from([64, 256, 1024]))
def test_complete_stream(frames: int, step: int, modulus: int) -> None:
    """Nothing is missing, however long the stream is and often its numbers wrap."""
    assert count(decoding_order(frames, step, modulus)) == []


@given(st.integers(30, 400), st.sampled_from([1, 2]), st.sampled_from([64, 256]), st.data())
def test_missing_pictures(frames: int, step: int, modulus: int, data: st.DataObject) -> None:
    """Pictures missing in one place are counted, at the packet after the gap in display order."""
    pictures = decoding_order(frames, step, modulus)
    first = data.draw(st.integers(3, frames - 12))
    lost = data.draw(st.integers(1, min(6, frames - 4 - first)))
    gone = {(n * step) % modulus for n in range(first, first + lost)}
    kept = [p for at, p in enumerate(pictures) if not (p.value in gone and abs(at - first) < 8) or p.restarts]
    found = count(kept)
    assert sum(n for _, n in found) == len(pictures) - len(kept)
    assert all(kept[position].value == (first + lost) * step % modulus for position, _ in found)


def test_restart_without_its_first_picture() -> None:
    """Numbers that begin again without a new sequence are a picture that is missing."""
    group = [PictureNumber(2 * n, 64, n == 0) for n in range(GROUP)]
    assert count(group + group[1:]) == [(GROUP, 1)]
    assert count(group + group) == []


def test_first_number() -> None:
    """A sequence that must begin with 0 and does not lacks its first pictures."""
    group = [PictureNumber(n, 1024, n == 0, 0) for n in range(GROUP)]
    cut = [PictureNumber(n, 1024, n == 3, 0) for n in range(3, GROUP)]
    assert count(group + cut) == [(GROUP, 3)]


@pytest.mark.parametrize("numbers", [[0, 2, 6, 8, 14, 18, 20, 26, 28, 34], [0, 2, 4, 8, 10]])
def test_not_judged(numbers: list[int]) -> None:
    """A stream with irregular steps, or with few pictures, is not judged."""
    assert count([PictureNumber(n, 256, n == 0) for n in numbers]) == []


def test_wide_gap_is_a_restart() -> None:
    """A number that is far away is not thousands of missing pictures."""
    numbers = [*range(GROUP), *range(500, 500 + GROUP)]
    assert count([PictureNumber(n, 1024, n == 0) for n in numbers]) == [(GROUP, 1)]
