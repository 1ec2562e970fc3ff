"""Points and ranges of time as people write them: seconds, hh:mm:ss.ms, or #frame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from dfccodec.errors import UsageError

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", re.ASCII)
_PLAIN = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_FRAME = re.compile(r"#(\d+)", re.ASCII)


@dataclass(frozen=True)
class Point:
    """A number of frames, or an exact number of seconds, from some frame on."""

    seconds: Fraction = Fraction(0)
    frame: int | None = None

    @classmethod
    def parse(cls, text: str) -> Point:
        """`90`, `1.5`, `1:30`, `00:01:30.250` or `#2250`.

        Raises:
            UsageError: it is none of these.
        """
        text = text.strip()
        if match := _FRAME.fullmatch(text):
            return cls(frame=int(match[1]))
        if match := _CLOCK.fullmatch(text):
            return cls(int(match[1] or 0) * 3600 + int(match[2]) * 60 + Fraction(match[3]))
        if _PLAIN.fullmatch(text):
            return cls(Fraction(text))
        raise UsageError(f"time {text!r} is not understood: give seconds as 90 or 1.5, hh:mm:ss.ms, or #frame")

    def passed(self, number: int, seconds: Fraction) -> bool:
        """Whether frame `number`, which begins at `seconds`, lies at this point or behind it."""
        return number >= self.frame if self.frame is not None else seconds >= self.seconds


@dataclass(frozen=True)
class Span:
    """A range: frames that begin at `start` or behind it, before `end`, within `duration` of the first of them."""

    start: Point = Point()
    end: Point | None = None
    duration: Point | None = None

    @classmethod
    def parse(cls, start: str | None = None, end: str | None = None, duration: str | None = None) -> Span:
        """From the texts of options; None or empty stands for none.

        Raises:
            UsageError: one is not understood, end and duration are both given, or the range is empty.
        """
        if end and duration:
            raise UsageError(f"--end {end} and --duration {duration} say the same thing: give one of them")
        points = [Point.parse(text) if text else None for text in (start, end, duration)]
        span = cls(points[0] or Point(), points[1], points[2])
        if span.empty:
            raise UsageError(f"--start {start or 0} to {end or 'a duration of ' + str(duration)} holds no frame")
        return span

    @property
    def empty(self) -> bool:
        """Whether it can be seen to hold nothing: points of one kind, the last not behind the first."""
        first, last = (Point(), self.duration) if self.duration else (self.start, self.end)
        if last is None:
            return False
        if last.frame is not None:
            return last.frame <= (first.frame or 0)
        return first.frame is None and last.seconds <= first.seconds

    @property
    def whole(self) -> bool:
        """Whether this is everything."""
        return self == Span()

    @property
    def ends(self) -> bool:
        """Whether it ends before the video does."""
        return self.end is not None or self.duration is not None


class RangeCursor:
    """Follows a range frame by frame.

    Attributes:
        first: (number, second) of the first frame inside; None until it was met.
        over: whether the range has ended.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self.first: tuple[int, Fraction] | None = None
        self.over = False

    def behind(self, number: int, seconds: Fraction) -> bool:
        """Whether the range has ended before a frame; if so it is over."""
        span = self._span
        if span.end is not None and span.end.passed(number, seconds):
            self.over = True
        if span.duration is not None and self.first is not None:
            self.over |= span.duration.passed(number - self.first[0], seconds - self.first[1])
        return self.over

    def holds(self, number: int, seconds: Fraction) -> bool:
        """Whether a frame is inside; frames come in order, `seconds` after the video's first."""
        if self.over or self.behind(number, seconds):
            return False
        if self.first is None:
            if not self._span.start.passed(number, seconds):
                return False
            self.first = number, seconds
        return True
