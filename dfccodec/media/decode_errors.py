"""Damaged packets of pictures and sound: passed over or shown as far as they decode, as players do, and counted."""

from __future__ import annotations

from fractions import Fraction


class DecodeErrorCounter:
    """What did not decode so far.

    Args:
        notes: lines for people, to which one of each kind is added that is kept up to date.
        whose: the packets are, for people.

    Attributes:
        why: of the first packet that did not decode.
    """

    def __init__(self, notes: list[str], whose: str = "the picture") -> None:
        self._notes, self._whose = notes, whose
        self._places: dict[str, int] = {}
        self._lost = self._cut = self._damaged = 0
        self._gaps: list[tuple[Fraction, int]] = []
        self.why = ""

    def add(self, why: str) -> None:
        """One more packet does not decode."""
        self.why = self.why or why
        self._lost += 1
        what = f"packets of {self._whose} do not decode and are"
        what = what if self._lost > 1 else f"packet of {self._whose} does not decode and is"
        self._say("lost", f"{self._lost} {what} passed over: {self.why}")

    def cut(self) -> None:
        """One more packet is not whole, by the container's word."""
        self._cut += 1
        what = f"packets of {self._whose} are" if self._cut > 1 else f"packet of {self._whose} is"
        self._say("cut", f"{self._cut} {what} cut short or damaged: what decodes of it is kept")

    def damaged(self) -> None:
        """One more frame came out with errors, or without what it refers to."""
        self._damaged += 1
        what = "frames are damaged and shown as they" if self._damaged > 1 else "frame is damaged and shown as it"
        self._say("damaged", f"{self._damaged} {what} decode{'' if self._damaged > 1 else 's'}")

    def missing(self, second: Fraction, frames: int) -> None:
        """A number of frames, about, is lost where the source is damaged, at a second of it."""
        self._gaps.append((second, frames))
        places, total = len(self._gaps), sum(frames for _, frames in self._gaps)
        where = f"in {places} places, the first at" if places > 1 else "at"
        what = f"about {total} frames are" if total > 1 else "about 1 frame is"
        self._say("missing", f"the source is damaged {where} {float(self._gaps[0][0]):.2f} s: {what} missing")

    def _say(self, kind: str, line: str) -> None:
        if kind not in self._places:
            self._places[kind] = len(self._notes)
            self._notes.append("")
        self._notes[self._places[kind]] = line


def reason(error: Exception) -> str:
    """An ffmpeg error in one line, without Python's numbering."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
