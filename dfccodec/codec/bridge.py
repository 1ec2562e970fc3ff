"""Frames in the place of those that are missing between two good clips of a damaged file."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

import numpy as np

from dfccodec.codec import salvage
from dfccodec.container.chunks import FRAME_BYTES, Damage
from dfccodec.container.records import Clip, Header
from dfccodec.media.picture import Picture

MAX_WRECKS = 1 << 26
"""Bytes of damaged stretches, between two good clips, that are looked at for kept frames."""

MIN_CLIP_BYTES = FRAME_BYTES + 34
"""Bytes of the smallest clip chunk: framing, head, one byte of kept bits, one of importance, one duration."""


class Origin(enum.IntEnum):
    """Where the picture of a frame comes from."""

    DECODED = 0
    """An intact clip."""
    REPEATED = 1
    """Another frame: its own is lost."""
    SALVAGED = 2
    """A damaged clip: the frame is probably right (`codec.salvage`)."""


Stand = tuple[Picture, Origin]
"""A picture and its origin."""


class Bridge:
    """What is known of the damage since the last good clip, and the frames made of it.

    Args:
        header: of the file.
        show: a clip and its integers -> its frames (T, H, W, 3) uint8.

    Attributes:
        room: damaged bytes since the last good clip.
        last: the last picture of that clip.
    """

    def __init__(self, header: Header, show: Callable[[Clip, np.ndarray], np.ndarray]) -> None:
        self._header, self._show = header, show
        self._wrecks: list[bytes] = []
        self.room = 0
        self.last: Picture | None = None

    def note(self, damage: Damage) -> None:
        """Damage, with its bytes where they are at hand."""
        self.room += damage.size
        if damage.data and not damage.mended and len(damage.data) + sum(map(len, self._wrecks)) <= MAX_WRECKS:
            self._wrecks.append(damage.data)

    def forget(self) -> None:
        """A good clip was met."""
        self.room = 0
        self._wrecks.clear()

    def believes(self, count: int) -> bool:
        """Whether so many frames can be missing. A frame's number is only a claim: no more stand-ins than the damaged
        bytes can have held frames."""
        return count <= self._header.clip_frames * (self.room // MIN_CLIP_BYTES + 1)

    def frames(self, first: int, until: int, start: int, after: Picture | None) -> Iterator[Stand] | None:
        """Frames from `first` to `until`, salvaged or repeated, evenly over the time that is missing.

        Args:
            first, until: their numbers.
            start: timestamp of the first.
            after: the picture that follows; None at the end of the file.

        Returns:
            them; None where no picture of the file is known.
        """
        saved = salvage.pictures(self._wrecks, self._header, self._show, first, until)
        number, rgb = next(saved, (until, None))
        known = self.last or after
        held = known.rgb if known else rgb
        if held is None:
            return None
        count = until - first
        end = after.pts if after else start + count * nominal(self._header)

        def made(held: np.ndarray, number: int, rgb: np.ndarray | None) -> Iterator[Stand]:
            for i in range(count):
                good = None
                if first + i == number:
                    good, (number, rgb) = rgb, next(saved, (until, None))
                    held = held if good is None else good
                a, b = start + (end - start) * i // count, start + (end - start) * (i + 1) // count
                yield Picture(held, a, max(b - a, 1)), Origin.REPEATED if good is None else Origin.SALVAGED

        return made(held, number, rgb)


def nominal(header: Header) -> int:
    """Ticks a frame lasts by the header's rate."""
    if not header.rate.num:
        return 1
    return max(1, round(header.rate.den * header.time_base.den / (header.rate.num * header.time_base.num)))
