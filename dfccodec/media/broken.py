"""Packets of pictures that do not decode: passed over, as players do, and counted in a note."""

from __future__ import annotations


class Broken:
    """What did not decode so far.

    Args:
        notes: lines for people, to which one is added that is kept up to date.

    Attributes:
        count: packets passed over.
        why: of the first of them.
    """

    def __init__(self, notes: list[str]) -> None:
        self._notes, self._place = notes, 0
        self.count, self.why = 0, ""

    def add(self, why: str) -> None:
        """One more."""
        if not self.count:
            self.why, self._place = why, len(self._notes)
            self._notes.append("")
        self.count += 1
        what = "packets do not decode and are" if self.count > 1 else "packet does not decode and is"
        self._notes[self._place] = f"{self.count} of the picture's {what} passed over: {self.why}"
