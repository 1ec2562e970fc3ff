"""Frames are matched by time: shifts, missing and extra frames, other rates."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfccodec.report.match import Matcher, peek, tolerance
from dfccodec.report.videos import TimedFrame

RATE = Fraction(25)
HALF = tolerance([RATE])


def video(numbers: Iterable[int], shift: Fraction = Fraction(0), kept: bool | None = None) -> list[TimedFrame]:
    """Frames at 25 frames/s; every sample is the number of its frame, scaled, so that pictures tell frames apart."""
    return [TimedFrame(np.full((2, 2, 3), 7 * n % 251, np.uint8), n / RATE + shift, kept) for n in numbers]


def match(source: list[TimedFrame], coded: list[TimedFrame]) -> tuple[Matcher, list[TimedFrame | None]]:
    first, frames = peek(iter(source))

    def later(seconds: Fraction, count: int) -> list[TimedFrame]:
        return [frame for frame in source if frame.seconds >= seconds][:count]

    matcher = Matcher(coded, first, HALF, lambda rgb: rgb, later)
    return matcher, [matcher.find(frame.seconds) for frame in frames]


@given(st.sets(st.integers(0, 39), max_size=20), st.integers(-30000, 30000).filter(lambda ms: abs(ms) != 20))
def test_every_frame_finds_its_own(lost: set[int], milliseconds: int) -> None:
    """Frames that are lost in the middle, and any shift, leave every other frame with its own picture.

    At exactly half a frame, two are equally near.
    """
    numbers = [n for n in range(40) if n not in lost or n < 8]
    coded = video(numbers, Fraction(milliseconds, 1000))
    matcher, found = match(video(range(40)), coded)
    assert [None if f is None else f.rgb[0, 0, 0] for f in found] == [
        7 * n % 251 if n in numbers else None for n in range(40)
    ]
    counts = matcher.finish()
    assert (counts.matched, counts.missing, counts.extra) == (len(numbers), 40 - len(numbers), 0)
    assert abs(counts.shift - Fraction(milliseconds, 1000)) <= HALF


def test_missing_first_frames_are_no_shift() -> None:
    """A video that lacks its first frames starts later, too; its pictures tell."""
    matcher, found = match(video(range(20)), video(range(3, 20)))
    assert matcher.finish().shift == 0
    assert [f is None for f in found] == [True] * 3 + [False] * 17


def test_a_lower_rate_and_extra_frames() -> None:
    matcher, found = match(video(range(20)), video([*range(0, 20, 2), 20, 21, 22]))
    counts = matcher.finish()
    assert (counts.matched, counts.missing, counts.extra) == (10, 10, 3)
    assert [f is None for f in found] == [False, True] * 10


def test_extra_frames_between() -> None:
    """Coded frames at times without a source frame are skipped."""
    matcher, found = match(video(range(0, 20, 4)), video(range(20)))
    assert all(f is not None and f.rgb[0, 0, 0] == 7 * 4 * n % 251 for n, f in enumerate(found))
    assert matcher.finish().extra == 15


@pytest.mark.parametrize("empty", ["source", "coded"])
def test_an_empty_video(empty: str) -> None:
    matcher, found = match(video([] if empty == "source" else range(3)), video([] if empty == "coded" else range(3)))
    assert found == ([] if empty == "source" else [None] * 3)
    counts = matcher.finish()
    assert (counts.matched, counts.missing, counts.extra) == (0, len(found), 3 - len(found))


def test_tolerance_is_half_a_frame_of_the_fastest() -> None:
    assert tolerance([Fraction(25), Fraction(50), Fraction(0)]) == Fraction(1, 100)
    assert tolerance([Fraction(0)]) == Fraction(1, 50)


@pytest.mark.parametrize("begin", [7, 8, 9, 25])
def test_a_video_that_lacks_all_probed_frames_is_not_shifted(begin: int) -> None:
    matcher, found = match(video(range(40)), video(range(begin, 40)))
    assert [f and f.rgb[0, 0, 0] for f in found] == [None] * begin + [7 * n % 251 for n in range(begin, 40)]
    assert matcher.found.shift == 0


def test_a_video_that_starts_after_all_probed_frames_can_be_shifted() -> None:
    matcher, _ = match(video(range(40)), video(range(20), shift=Fraction(1)))
    assert matcher.found.shift == 1
    assert matcher.finish().matched == 20
