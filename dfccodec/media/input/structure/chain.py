"""Base of the scanners: follows the chain of a container's elements and records where it breaks.

Every element states its size, so the start of the next one is known. If no element starts there, bytes are missing or
overwritten, and the scanner searches for the next element. A break is recorded only if the chain continues after it:
data after the end of a video, which some cameras append, is no damage. Imports no PyAV.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO, ClassVar

INVALID = 0
"""Result of :meth:`ChainScanner.measure`: no element starts here."""
NEED_MORE = -1
"""Result of :meth:`ChainScanner.measure`: more bytes are needed."""
REST = 1 << 62
"""Size of an element that goes on to the end of the file, whose size is not known."""

_MAX_BREAKS = 1000
"""Maximum number of breaks that are recorded; the scan then ends."""
_MAX_ELEMENTS = 10_000_000
"""Maximum number of elements that are read; a film has about one million. The scan then ends."""
_MAX_UNKNOWN = 4
"""Maximum number of consecutive unknown elements; more are a break."""
_MAX_BUFFER = 1 << 20
"""Maximum number of bytes that an element may need before its size is known."""
_MAX_PLACE = (1 << 63) - 1
"""Largest position that a file can have."""
_NEVER = re.compile(rb"(?!)")


@dataclass(frozen=True)
class Break:
    """A place where the chain is not intact.

    Attributes:
        start: byte position at which an element should start and does not.
        end: byte position from which the chain continues.
        certain: whether the place is damaged for sure. An uncertain one only explains missing frames.
        within: whether the damage is within one element, and no timestamps show what is missing.
    """

    start: int
    end: int
    certain: bool = True
    within: bool = False


class ChainScanner:
    """Scanner of one container; it gets the bytes in order and may skip the payloads.

    Args:
        place: byte position of the first byte. If it is not 0, the scanner first searches for an element.

    Attributes:
        breaks: breaks found so far, in order.
        ended: whether no more bytes are needed.
        open_ended: set by :meth:`measure` if the element goes on to the end of the file.
        unknown: set by :meth:`measure` if the element is well-formed but not known.
    """

    PATTERN: re.Pattern[bytes] = _NEVER
    """What an element starts with, for the search after a break."""
    PATTERN_SIZE: ClassVar[int] = 1
    """Number of bytes that the pattern matches."""
    CONFIRM: ClassVar[int] = 3
    """Number of consecutive elements after which the chain is intact again."""
    READ_SIZE: ClassVar[int] = 4096
    """Number of bytes to read at once from a file."""

    def __init__(self, place: int = 0) -> None:
        self.breaks: list[Break] = []
        self.ended = self.unknown = self.open_ended = False
        self._place = self._buffer_place = place  # positions of the next element and of the buffer's first byte
        self._buffer = b""
        self._searching = place > 0
        self._broken: int | None = None  # start of a break that is not recorded yet
        self._resumed = 0  # possible end of that break
        self._intact = 0  # number of consecutive elements since then
        self._unknown: list[int] = []  # positions of the unknown elements since the last known one
        self._elements = 0

    def measure(self, data: bytes, at: int) -> int:
        """Return the size of the element at `data[at]`, `INVALID`, or `NEED_MORE`.

        Of an element that has children, the size is that of its header.
        """
        raise NotImplementedError

    @property
    def wanted(self) -> int:
        """Byte position of the next byte that is needed."""
        return max(self._place, self._buffer_place + len(self._buffer))

    def feed(self, place: int, data: bytes) -> None:
        """Process the bytes at position `place`; there is none between :attr:`wanted` and `place`."""
        if self._place >= place + len(data) or self.ended:
            self._buffer, self._buffer_place = b"", place + len(data)
            return
        if self._buffer_place + len(self._buffer) == place:
            self._buffer += data
        else:
            self._buffer, self._buffer_place = data, place
        while not self.ended and self._advance():
            pass
        used = max(0, self._place - self._buffer_place)
        self._buffer, self._buffer_place = self._buffer[used:], self._buffer_place + min(used, len(self._buffer))
        if len(self._buffer) > _MAX_BUFFER:
            self.ended = True

    def reaches(self, seconds: Fraction) -> bool:
        """Return whether the elements, of any stream, go on for `seconds`. False if the container does not tell."""
        return False

    @property
    def ends_early(self) -> bool:
        """Whether the container, read to its end, states more elements than there are, and no break explains it."""
        return False

    def finish(self) -> None:
        """End the scan at the end of the source."""
        end = self._buffer_place + len(self._buffer)
        complete = self._place == end or self.open_ended
        if self._broken is not None and self._intact and not self._searching and complete:
            self._record(self._broken, self._resumed)
        self.ended = True

    @property
    def is_searching(self) -> bool:
        """Whether a break was found and not yet the place where the chain continues."""
        return self._broken is not None

    def _advance(self) -> bool:
        """Process one element; return whether to go on."""
        at = self._place - self._buffer_place
        if at >= len(self._buffer):
            return False
        if self._searching:
            found = self.PATTERN.search(self._buffer, at)
            if found is None:
                self._place = max(self._place, self._buffer_place + len(self._buffer) - self.PATTERN_SIZE + 1)
                return False
            at = found.start()
            self._place = self._resumed = self._buffer_place + at
        self.unknown = False
        size = self.measure(self._buffer, at)
        if size == NEED_MORE:
            return False
        self._elements += 1
        self.ended |= self._elements >= _MAX_ELEMENTS
        intact = not self._searching and self._broken is None and len(self._unknown) < _MAX_UNKNOWN
        if size == INVALID or (self.unknown and not intact):
            self._lose()
        else:
            self._accept(size)
        return True

    def _lose(self) -> None:
        if self._broken is None and (self._intact or not self._searching):
            self._broken = self._unknown[0] if self._unknown else self._place
        self._unknown, self._intact, self._searching = [], 0, True
        self._place += 1

    def _accept(self, size: int) -> None:
        self._searching = False
        self._unknown = [*self._unknown, self._place] if self.unknown else []
        self._place += size
        self._intact += 1
        if self._broken is not None and self._intact >= self.CONFIRM:
            self._record(self._broken, self._resumed)

    def _record(self, start: int, end: int, certain: bool = True, within: bool = False) -> None:
        self.breaks.append(Break(start, end, certain, within))
        if certain:
            self._broken = None
        self.ended |= len(self.breaks) >= _MAX_BREAKS


def scan_file(scanner: ChainScanner, stream: BinaryIO, end: int | None) -> None:
    """Scan the bytes of a file up to position `end`; None is the end of the file."""
    while not scanner.ended and (end is None or scanner.wanted < end):
        place = scanner.wanted
        stream.seek(min(place, _MAX_PLACE))
        data = stream.read(scanner.READ_SIZE)
        if not data:
            scanner.finish()
        else:
            scanner.feed(place, data)
