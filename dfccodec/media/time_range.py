"""Points in time and time ranges in user notation: seconds, hh:mm:ss.ms, or #frame."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from dfccodec.errors import UsageError
from dfccodec.runtime.renamed import OldName

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", re.ASCII)
_PLAIN = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_FRAME = re.compile(r"#(\d+)", re.ASCII)


@dataclass(frozen=True)
class Point:
    """A number of frames or an exact number of seconds, counted from some frame."""

    seconds: Fraction = Fraction(0)
    frame: int | None = None

    @classmethod
    def parse(cls, text: str) -> Point:
        """Parse `90`, `1.5`, `1:30`, `00:01:30.250` or `#2250`.

        Raises:
            UsageError: the text has none of these forms.
        """
        text = text.strip()
        if match := _FRAME.fullmatch(text):
            return cls(frame=int(match[1]))
        if match := _CLOCK.fullmatch(text):
            return cls(int(match[1] or 0) * 3600 + int(match[2]) * 60 + Fraction(match[3]))
        if _PLAIN.fullmatch(text):
            return cls(Fraction(text))
        raise UsageError(f"time {text!r} is not understood: give seconds as 90 or 1.5, hh:mm:ss.ms, or #frame")

    def is_reached(self, number: int, seconds: Fraction) -> bool:
        """Return whether frame `number`, which begins at `seconds`, is at or after this point."""
        return number >= self.frame if self.frame is not None else seconds >= self.seconds


@dataclass(frozen=True)
class Span:
    """A range of frames: those that begin at or after `start`, before `end`, and within `duration` of the first."""

    start: Point = Point()
    end: Point | None = None
    duration: Point | None = None

    whole = OldName[bool]("unlimited")
    ends = OldName[bool]("has_end")

    @classmethod
    def parse(cls, start: str | None = None, end: str | None = None, duration: str | None = None) -> Span:
        """Parse the texts of the options; None or an empty text is an unset option.

        Raises:
            UsageError: a text is not valid, end and duration are both given, or the range is empty.
        """
        if end and duration:
            raise UsageError(f"--end {end} and --duration {duration} both set the end: give only one of them")
        points = [Point.parse(text) if text else None for text in (start, end, duration)]
        span = cls(points[0] or Point(), points[1], points[2])
        if span.empty:
            raise UsageError(
                f"--start {start or 0} to {end or 'a duration of ' + str(duration)} is an empty range: "
                "give a later end or a longer duration"
            )
        return span

    @property
    def empty(self) -> bool:
        """Whether the range is certainly empty: its end is not after its start. Frames and seconds do not compare."""
        first, last = (Point(), self.duration) if self.duration else (self.start, self.end)
        if last is None:
            return False
        if last.frame is not None:
            return last.frame <= (first.frame or 0)
        return first.frame is None and last.seconds <= first.seconds

    @property
    def unlimited(self) -> bool:
        """Whether the range is the complete video."""
        return self == Span()

    @property
    def has_end(self) -> bool:
        """Whether the range has an end or a duration."""
        return self.end is not None or self.duration is not None


class RangeCursor:
    """Track a range frame by frame.

    Attributes:
        first: (number, second) of the first frame inside the range; None until it is found.
        ended: whether the range has ended.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self.first: tuple[int, Fraction] | None = None
        self.ended = False

    def check_end(self, number: int, seconds: Fraction) -> bool:
        """Return whether the range ends before this frame; update `ended`."""
        span = self._span
        if span.end is not None and span.end.is_reached(number, seconds):
            self.ended = True
        if span.duration is not None and self.first is not None:
            self.ended |= span.duration.is_reached(number - self.first[0], seconds - self.first[1])
        return self.ended

    def contains(self, number: int, seconds: Fraction) -> bool:
        """Return whether a frame is in the range. Frames come in order; `seconds` counts from the video's first."""
        if self.ended or self.check_end(number, seconds):
            return False
        if self.first is None:
            if not self._span.start.is_reached(number, seconds):
                return False
            self.first = number, seconds
        return True
