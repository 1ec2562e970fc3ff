"""Matches the frames of coded videos with those of the source by time.

Frame numbers say nothing if a coded video lacks a frame, has another rate or starts later. A coded video whose
timestamps are all shifted by the same time, as many containers start at 0, is matched after subtracting the shift.
Whether it is shifted or lacks its first frames is decided by the pictures.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import numpy as np
import numpy.typing as npt

from dfccodec.report.videos import TimedFrame

_PROBED = 8
"""Number of frames of each video by which a shift is decided."""

Fit = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]
Later = Callable[[Fraction, int], list[TimedFrame]]


@dataclass
class Matches:
    """What was matched in one coded video.

    Attributes:
        shift: seconds that were subtracted from its timestamps.
        matched: number of matched frames.
        missing: number of source frames without a coded frame.
        extra: number of coded frames without a source frame.
    """

    shift: Fraction = Fraction(0)
    matched: int = 0
    missing: int = 0
    extra: int = 0


class Matcher:
    """Finds the frames of one coded video for the frames of the source, which come in order.

    Args:
        coded: frames of the coded video.
        first: the first frames of the source.
        tolerance: maximum difference of times in seconds.
        fit: scales a coded picture to the size of the source.
        later: returns frames of the source from a time on, at most so many, before their turn. They tell whether a
            video that lacks all of `first` is shifted.

    Attributes:
        found: counts so far.
    """

    def __init__(
        self, coded: Iterable[TimedFrame], first: list[TimedFrame], tolerance: Fraction, fit: Fit,
        later: Later,
    ) -> None:  # fmt: skip
        frames = iter(coded)
        self._waiting = deque(islice(frames, _PROBED))
        self._rest, self._tolerance, self._fit = frames, tolerance, fit
        self.found = Matches()
        if first and self._waiting:
            self.found.shift = self._choose_shift(first, later)

    def find(self, seconds: Fraction) -> TimedFrame | None:
        """Return the coded frame at the time of a source frame, in the size of the source; None if there is none."""
        while frame := self._next():
            place = frame.seconds - self.found.shift
            if place > seconds + self._tolerance:
                break
            self._waiting.popleft()
            if place >= seconds - self._tolerance:
                self.found.matched += 1
                return dataclasses.replace(frame, rgb=self._fit(frame.rgb))
            self.found.extra += 1
        self.found.missing += 1
        return None

    def finish(self) -> Matches:
        """Count the coded frames after the last one of the source and return all counts."""
        self.found.extra += len(self._waiting) + sum(1 for _ in self._rest)
        self._waiting.clear()
        return self.found

    def _next(self) -> TimedFrame | None:
        if not self._waiting:
            self._waiting.extend(islice(self._rest, 1))
        return self._waiting[0] if self._waiting else None

    def _choose_shift(self, first: list[TimedFrame], later: Later) -> Fraction:
        begin = self._waiting[0].seconds
        shift = begin - first[0].seconds
        if abs(shift) <= self._tolerance:
            return Fraction(0)
        lacking = begin > first[-1].seconds + self._tolerance
        there = later(begin - self._tolerance, _PROBED) if lacking else first
        return shift if self._error(first, shift) <= self._error(there, Fraction(0)) else Fraction(0)

    def _error(self, first: list[TimedFrame], shift: Fraction) -> float:
        """Mean squared error of the first frames if the timestamps are shifted; infinite if no times match."""
        found = []
        for source in first:
            for coded in self._waiting:
                if abs(coded.seconds - shift - source.seconds) <= self._tolerance:
                    difference = self._fit(coded.rgb).astype(np.float32) - source.rgb
                    found.append(float(np.mean(difference * difference)))
                    break
        return sum(found) / len(found) if found else float("inf")


def tolerance(rates: Iterable[Fraction]) -> Fraction:
    """Maximum difference of times: half a frame of the fastest video; 20 ms if no rate is known."""
    fastest = max((rate for rate in rates if rate), default=Fraction(25))
    return 1 / (2 * fastest)


def peek(frames: Iterator[TimedFrame]) -> tuple[list[TimedFrame], Iterator[TimedFrame]]:
    """Return the first frames, and all frames."""
    first = list(islice(frames, _PROBED))

    def every() -> Iterator[TimedFrame]:
        yield from first
        yield from frames

    return first, every()
