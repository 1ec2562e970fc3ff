"""Makes frame timestamps increase: fills in missing ones, corrects wrong ones, and joins concatenated parts.

Transport streams and VOB files can be concatenated. The timestamps then restart in every part. Each part is shifted to
follow the previous one, and its audio is shifted with the video (`Splice`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from av.video.frame import VideoFrame

from dfccodec.errors import InputError

_MIN_PART_FRAMES = 8
"""Number of consecutive frames with non-increasing timestamps that is taken as a new part, not as an error."""
_MAX_REORDER = Fraction(1, 5)
"""Maximum reordering of packets within one stream, in seconds."""
_MAX_INTERVAL = 10
"""Maximum interval between frames in seconds; after a longer one, the earlier frame has the wrong timestamp."""


@dataclass(frozen=True)
class Splice:
    """A point where the timestamps of the source restart. All values are in seconds.

    Args:
        position: position in the output at which the new part begins.
        backstep: decrease of the source's timestamps.
        shift: offset to add to the source's timestamps from here on.
    """

    position: Fraction
    backstep: Fraction
    shift: Fraction


class IncreasingTimestamps:
    """Assigns increasing timestamps. A missing timestamp is extrapolated from the last two.

    Args:
        time_base: time base of the result in seconds.
        frame_duration: default frame duration in time-base units.
        name: name of the source in messages.
        on_note: called once with a message if parts are joined.

    Attributes:
        splices: the joins so far.
        last: timestamp of the last frame; None before the first.
    """

    def __init__(self, time_base: Fraction, frame_duration: int, name: str, on_note: Callable[[str], None]) -> None:
        self._base, self._name, self._on_note = time_base, name, on_note
        self._interval, self._shift = frame_duration, 0
        self.last: int | None = None
        self._highest: int | None = None  # highest timestamp of the source so far
        self.splices: list[Splice] = []

    def assign(self, frames: Iterable[VideoFrame]) -> Iterator[tuple[VideoFrame, int]]:
        """Yield the frames in display order, each with its timestamp.

        Raises:
            InputError: the timestamps do not increase, or decrease after a large step.
        """
        late: list[tuple[VideoFrame, int]] = []  # frames with non-increasing timestamps: an error, or a new part
        for frame in frames:
            pts = self._to_time_base(frame)
            if pts is not None and self._highest is not None and pts <= self._highest:
                late.append((frame, pts))
                if len(late) == _MIN_PART_FRAMES:
                    yield from self._start_part(late)
                    late = []
                continue
            for early, wrong in late:  # only a few: correct them
                yield early, self._accept(wrong)
            late = []
            yield frame, self._accept(pts)
            self._highest = self.last if pts is None else pts
        if len(late) > 1:
            yield from self._start_part(late)
        else:
            yield from ((frame, self._accept(pts)) for frame, pts in late)

    def _to_time_base(self, frame: VideoFrame) -> int | None:
        if frame.pts is None:
            return None
        pts = round(frame.pts * Fraction(frame.time_base or self._base) / self._base)  # filters set their own time base
        return pts + self._shift

    def _accept(self, pts: int | None) -> int:
        if self.last is None:
            self.last = pts or 0
            return self.last
        following = self.last + self._interval if pts is None else max(pts, self.last + 1)
        self._interval, self.last = following - self.last, following
        return following

    def _start_part(self, late: list[tuple[VideoFrame, int]]) -> Iterator[tuple[VideoFrame, int]]:
        """Begin a new part where timestamps go back, as in files joined end to end; it follows the previous one.

        Args:
            late: the first frames of the new part, with their timestamps.

        Returns:
            the frames, with timestamps shifted to continue those of the previous part.
        """
        assert self.last is not None
        assert self._highest is not None
        first, back = late[0][1], self._highest - late[0][1]
        if late[-1][1] <= first or self._interval * self._base > _MAX_INTERVAL:
            problem = "do not increase" if not back else f"go back by {float(back * self._base):.2f} s"
            raise InputError(
                f"timestamps in {self._name} {problem} and cannot be corrected: assign new ones first, as with "
                "ffmpeg -i IN -vf setpts=N/25/TB -r 25 -c:v ffv1 OUT.mkv"
            )
        if not self.splices:
            self._on_note(
                f"timestamps go back by {float(back * self._base):.2f} s at {float(self.last * self._base):.2f} s, "
                "as in concatenated files: each part is shifted to follow the previous one"
            )
        offset = self.last + self._interval - first
        self._shift += offset
        self.splices.append(Splice((first + offset) * self._base, back * self._base, self._shift * self._base))
        for frame, pts in late:
            yield frame, self._accept(pts + offset)
        self._highest = late[-1][1] + offset


class SplicedTimestamps:
    """Shifts the timestamps of audio and subtitles to match the joined video.

    Args:
        splices: joins of the video; the list grows while the video is read.
    """

    def __init__(self, splices: list[Splice]) -> None:
        self._splices = splices
        self._part: dict[int, int] = {}
        self._last: dict[int, Fraction] = {}

    def shift(self, stream: int, seconds: Fraction) -> Fraction | None:
        """Return the offset in seconds for a packet; None if the video has not reached the packet's part yet.

        Args:
            stream: index of the packet's stream; its packets come in order.
            seconds: timestamp of the packet in the source.
        """
        part, last = self._part.get(stream, 0), self._last.get(stream)
        backstep = Fraction(0) if last is None else last - seconds
        if part < len(self._splices):
            if backstep > self._splices[part].backstep / 2:
                self._part[stream] = part = part + 1
        elif backstep > _MAX_REORDER:
            return None
        self._last[stream] = seconds
        return self._splices[part - 1].shift if part else Fraction(0)

    def accept(self, stream: int, seconds: Fraction) -> None:
        """Accept a decreasing timestamp that does not belong to a join of the video."""
        self._last[stream] = seconds
