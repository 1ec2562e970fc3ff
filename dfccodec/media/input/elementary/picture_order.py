"""Counts the numbers that are missing in the display order of a coded video sequence.

Every picture has a number in display order: its picture order count (H.264, HEVC) or temporal reference (MPEG-2), of
which the stream holds the low bits. Encoders number pictures in equal steps, so a missing number is a missing picture.
The standards allow other steps; streams with irregular ones are not judged.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class PictureNumber:
    """Number of a picture in display order.

    Attributes:
        value: the number, modulo `modulus`.
        modulus: the low bits of larger numbers are in the stream; this is the first number that they cannot hold.
        restarts: whether a new coded video sequence starts at this picture.
        first: the lowest number of a sequence, if every sequence has it.
    """

    value: int
    modulus: int
    restarts: bool = False
    first: int | None = None


_WINDOW, _REORDER = 96, 48
"""Maximum number of pictures that wait, and the number that stay, as later ones may precede them in display order."""
_MIN_PICTURES = 6
"""Minimum number of pictures by which the step is known."""
_MAX_MISSING = 250
"""Maximum number of pictures that are taken as missing in one gap."""
_MIN_REGULAR = 0.7
"""Minimum fraction of steps that are equal in a stream that is judged."""


class PictureOrder:
    """Finds missing pictures in a stream; see the module."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}  # waiting numbers, each with the position of its packet
        self._steps: Counter[int] = Counter()
        self._last: int | None = None  # last picture in decoding order
        self._ended: int | None = None  # the highest number that waits no longer
        self._first: int | None = None

    def add(self, picture: PictureNumber, position: int) -> list[tuple[int, int]]:
        """Process the next picture in decoding order; return the position and the number of missing pictures there.

        Args:
            picture: its number.
            position: of its packet, in any unit; the result has positions of packets after a gap.
        """
        found = []
        if picture.restarts:
            found = self._take(0)
            self._last = self._ended = None
            self._first = picture.first
        number = self._unwrap(picture)
        if number in self._numbers or (self._ended is not None and number <= self._ended):
            # The same number again, and no new sequence: its first picture is missing.
            found += [*self._take(0), (position, 1)]
            self._ended = None
        self._numbers[number], self._last = position, number
        return found + (self._take(_REORDER) if len(self._numbers) > _WINDOW else [])

    def finish(self) -> list[tuple[int, int]]:
        """Process the end of the stream; see :meth:`add`."""
        return self._take(0)

    def _unwrap(self, picture: PictureNumber) -> int:
        if self._last is None:
            return picture.value
        difference = (picture.value - self._last) % picture.modulus
        return self._last + difference - (picture.modulus if difference > picture.modulus // 2 else 0)

    def _take(self, keep: int) -> list[tuple[int, int]]:
        """Remove all but the `keep` highest numbers and return the gaps between them."""
        numbers = sorted(self._numbers)
        taken = numbers[: len(numbers) - keep]
        if not taken:
            return []
        before = self._ended if self._ended is not None else self._first
        pairs = list(pairwise(taken))
        self._steps.update(b - a for a, b in pairs)
        if self._ended is not None:
            pairs.insert(0, (self._ended, taken[0]))
        elif before is not None and taken[0] > before:
            pairs.insert(0, (before - self._step, taken[0]))
        found = [(self._numbers[b], self._count_missing(b - a)) for a, b in pairs if b - a > self._step]
        self._ended, self._first = taken[-1], None
        for number in taken:
            del self._numbers[number]
        return found if self._is_regular else []

    def _count_missing(self, step: int) -> int:
        """Return the number of pictures in a gap. A wide one is a restart whose first picture is missing."""
        missing = -(-step // self._step) - 1
        return missing if missing <= _MAX_MISSING else 1

    @property
    def _step(self) -> int:
        return self._steps.most_common(1)[0][0] if self._steps else 1

    @property
    def _is_regular(self) -> bool:
        total = self._steps.total()
        return total >= _MIN_PICTURES - 1 and self._steps[self._step] >= _MIN_REGULAR * total
