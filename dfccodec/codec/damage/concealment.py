"""Error concealment: frames for the clips that are missing between two intact clips."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

import numpy as np

from dfccodec.codec.damage import partial_decode
from dfccodec.container.chunks import CHUNK_OVERHEAD, Damage
from dfccodec.container.records import Clip, Header
from dfccodec.media.picture import Picture

MAX_SALVAGE_BYTES = 1 << 26
"""Maximum bytes of damaged data, between two intact clips, that are searched for kept frames."""

MIN_CLIP_BYTES = CHUNK_OVERHEAD + 34
"""Bytes of the smallest clip chunk: framing, head, one byte of kept bits, one of importance, one duration."""


class Origin(enum.IntEnum):
    """Where the picture of a frame comes from."""

    DECODED = 0
    """An intact clip."""
    REPEATED = 1
    """Another frame, because its own is lost."""
    SALVAGED = 2
    """A damaged clip: the frame is probably right (`codec.damage.partial_decode`)."""


OutputFrame = tuple[Picture, Origin]
"""A picture and its origin."""


class ClipConcealer:
    """Collects the damage since the last intact clip and makes frames for the gap.

    Args:
        header: header of the file.
        reconstruct: decodes a clip and its integers to frames (T, H, W, 3) uint8.

    Attributes:
        damaged_bytes: damaged bytes since the last intact clip.
        last: last picture of that clip.
    """

    def __init__(self, header: Header, reconstruct: Callable[[Clip, np.ndarray], np.ndarray]) -> None:
        self._header, self._reconstruct = header, reconstruct
        self._stretches: list[bytes] = []
        self.damaged_bytes = 0
        self.last: Picture | None = None

    def add(self, damage: Damage) -> None:
        """Add damage, with its bytes if they are known."""
        self.damaged_bytes += damage.size
        held = sum(map(len, self._stretches))
        if damage.data and not damage.repaired and len(damage.data) + held <= MAX_SALVAGE_BYTES:
            self._stretches.append(damage.data)

    def reset(self) -> None:
        """Forget the damage: an intact clip has been read."""
        self.damaged_bytes = 0
        self._stretches.clear()

    def is_plausible_gap(self, count: int) -> bool:
        """Whether the damaged bytes can have held `count` frames.

        Frame numbers in a file are untrusted: a false one must not make a decoder produce four billion frames.
        """
        return count <= self._header.clip_frames * (self.damaged_bytes // MIN_CLIP_BYTES + 1)

    def frames(self, first: int, end: int, start_pts: int, after: Picture | None) -> Iterator[OutputFrame] | None:
        """Frames for a gap, salvaged (decoded from a damaged clip) or repeated, evenly spaced over the missing time.

        Args:
            first, end: frame numbers, `end` exclusive.
            start_pts: timestamp of frame `first`.
            after: the picture after the gap; None at the end of the file.

        Returns:
            an iterator over the frames; None if no picture of the file is known.
        """
        salvaged = partial_decode.salvaged_frames(self._stretches, self._header, self._reconstruct, first, end)
        number, rgb = next(salvaged, (end, None))
        known = self.last or after
        held = known.rgb if known else rgb
        if held is None:
            return None
        count = end - first
        end_pts = after.pts if after else start_pts + count * nominal_duration(self._header)

        def generate(held: np.ndarray, number: int, rgb: np.ndarray | None) -> Iterator[OutputFrame]:
            for i in range(count):
                good = None
                if first + i == number:
                    good, (number, rgb) = rgb, next(salvaged, (end, None))
                    held = held if good is None else good
                pts, next_pts = (start_pts + (end_pts - start_pts) * n // count for n in (i, i + 1))
                yield Picture(held, pts, max(next_pts - pts, 1)), Origin.REPEATED if good is None else Origin.SALVAGED

        return generate(held, number, rgb)


def nominal_duration(header: Header) -> int:
    """Duration of a frame in ticks, by the frame rate of the header."""
    if not header.rate.num:
        return 1
    return max(1, round(header.rate.den * header.time_base.den / (header.rate.num * header.time_base.num)))
