"""Timestamps of a source's frames made to rise: missing ones filled in, wrong ones put right, parts laid end to end.

Transport streams and VOB files may be joined by putting one behind the other: time begins anew with every part, and
each part is laid behind the one before. Sound follows the pictures of its part (`Splice`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from av.video.frame import VideoFrame

from dfccodec.errors import InputError

_LATE = 8
"""Frames in a row that come no later than one before them, and that are no accident."""
_BACK = Fraction(1, 5)
"""Seconds by which packets of one stream are out of order at the most."""
_LEAP = 10
"""Seconds from one frame to the next beyond which the first of them, not those behind it, has the wrong time."""


@dataclass(frozen=True)
class Splice:
    """Where time begins anew; all in seconds.

    Args:
        at: of the output, where the next part begins.
        back: how far the source's time goes back there.
        shift: to be added to the source's times from there on.
    """

    at: Fraction
    back: Fraction
    shift: Fraction


class RisingTimes:
    """Frames with timestamps that rise; where the source has none, the last two say how it goes on.

    Args:
        time_base: seconds per tick of what is given back.
        nominal: ticks from one frame to the next, where nothing else says.
        name: of the source, for messages.
        say: told once that parts are laid end to end.

    Attributes:
        splices: where that was done, so far.
        last: timestamp of the last frame given; None before the first.
    """

    def __init__(self, time_base: Fraction, nominal: int, name: str, say: Callable[[str], None]) -> None:
        self._base, self._name, self._say = time_base, name, say
        self._step, self._shift = nominal, 0
        self.last: int | None = None
        self._top: int | None = None  # latest one of the source's own
        self.splices: list[Splice] = []

    def rising(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[VideoFrame, int]]:
        """The frames, in order of display, each with its timestamp.

        Raises:
            InputError: time stands still, or goes back after a leap.
        """
        late: list[tuple[VideoFrame, int]] = []  # not after the latest: an accident, or another part
        for frame in frames:
            pts = self._stamp(frame)
            if pts is not None and self._top is not None and pts <= self._top:
                late.append((frame, pts))
                if len(late) == _LATE:
                    yield from self._spliced(late)
                    late = []
                continue
            for early, wrong in late:  # frames with a wrong time are put right
                yield early, self._next(wrong)
            late = []
            yield frame, self._next(pts)
            self._top = self.last if pts is None else pts
        if len(late) > 1:
            yield from self._spliced(late)
        else:
            yield from ((frame, self._next(pts)) for frame, pts in late)

    def _stamp(self, frame: VideoFrame) -> int | None:
        if frame.pts is None:
            return None
        pts = round(frame.pts * Fraction(frame.time_base or self._base) / self._base)  # a filter has ticks of its own
        return pts + self._shift

    def _next(self, pts: int | None) -> int:
        if self.last is None:
            self.last = pts or 0
            return self.last
        following = self.last + self._step if pts is None else max(pts, self.last + 1)
        self._step, self.last = following - self.last, following
        return following

    def _spliced(self, late: list[tuple[VideoFrame, int]]) -> Iterator[tuple[VideoFrame, int]]:
        """Frames of another part, behind the one before."""
        assert self.last is not None
        assert self._top is not None
        first, back = late[0][1], self._top - late[0][1]
        if late[-1][1] <= first or self._step * self._base > _LEAP:
            goes = "stands still" if not back else f"goes back by {float(back * self._base):.2f} s"
            raise InputError(
                f"time in {self._name} {goes}, and not as in files joined end to end: give frames times of their own "
                "first, as with ffmpeg -i IN -vf setpts=N/25/TB -r 25 -c:v ffv1 OUT.mkv"
            )
        if not self.splices:
            self._say(
                f"time goes back by {float(back * self._base):.2f} s at {float(self.last * self._base):.2f} s, "
                "as in files joined end to end: what follows is laid behind"
            )
        more = self.last + self._step - first
        self._shift += more
        self.splices.append(Splice((first + more) * self._base, back * self._base, self._shift * self._base))
        for frame, pts in late:
            yield frame, self._next(pts + more)
        self._top = late[-1][1] + more


class FollowingTimes:
    """Times of other streams, laid end to end with the pictures.

    Args:
        splices: of the pictures, a list that grows as they are read.
    """

    def __init__(self, splices: list[Splice]) -> None:
        self._splices = splices
        self._part: dict[int, int] = {}
        self._last: dict[int, Fraction] = {}

    def shift(self, stream: int, seconds: Fraction) -> Fraction | None:
        """Seconds to add to a packet's time; None while the pictures have not come to where time begins anew.

        Args:
            stream: number of the packet's stream; packets come in order.
            seconds: the packet's time by the source.
        """
        part, last = self._part.get(stream, 0), self._last.get(stream)
        back = Fraction(0) if last is None else last - seconds
        if part < len(self._splices):
            if back > self._splices[part].back / 2:
                self._part[stream] = part = part + 1
        elif back > _BACK:
            return None
        self._last[stream] = seconds
        return self._splices[part - 1].shift if part else Fraction(0)

    def accept(self, stream: int, seconds: Fraction) -> None:
        """The packet's time goes back by itself, not with the pictures."""
        self._last[stream] = seconds
