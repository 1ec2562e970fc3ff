"""Counts damaged video and audio packets. Like a player, dfc decodes what it can and skips the rest."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

_PICTURE_CODECS, _PICTURE_START = ("mpeg1video", "mpeg2video"), b"\0\0\1\0"
_MIN_PICTURE = 64
"""Minimum number of bytes of a packet that should hold a picture; a shorter one may hold the end of a sequence."""


def lacks_picture(codec: str, data: bytes) -> bool:
    """Return whether a packet of MPEG-1 or MPEG-2 has no picture. Ffmpeg then returns no frame, but no error either."""
    return codec in _PICTURE_CODECS and len(data) >= _MIN_PICTURE and _PICTURE_START not in data


class DecodeErrorCounter:
    """Count decode errors and keep one note per kind of error up to date.

    Args:
        notes: messages for the user; this object appends and updates its own.
        content: what the packets contain, for the messages.

    Attributes:
        first_error: ffmpeg's message for the first packet that did not decode; empty if all did.
    """

    def __init__(self, notes: list[str], content: str = "the picture") -> None:
        self._notes, self._content = notes, content
        self._note_index: dict[str, int] = {}
        self._undecodable = self._truncated = self._damaged = 0
        self._gaps: list[tuple[Fraction, int]] = []
        self.first_error = ""

    def add(self, why: str) -> None:
        """Count a packet that does not decode."""
        self.first_error = self.first_error or why
        self._undecodable += 1
        what = f"packets of {self._content} do not decode and are"
        what = what if self._undecodable > 1 else f"packet of {self._content} does not decode and is"
        self._update_note("lost", f"{self._undecodable} {what} skipped: {self.first_error}")

    def add_truncated(self) -> None:
        """Count a packet that the demuxer marks as corrupt or truncated."""
        self._truncated += 1
        what = f"packets of {self._content} are" if self._truncated > 1 else f"packet of {self._content} is"
        self._update_note("cut", f"{self._truncated} {what} truncated or damaged: the parts that decode are kept")

    def add_damaged_frame(self) -> None:
        """Count a frame that was decoded with errors or without its reference frames."""
        self._damaged += 1
        what = "frames are damaged and kept as" if self._damaged > 1 else "frame is damaged and kept as"
        self._update_note("damaged", f"{self._damaged} {what} decoded")

    def add_missing_frames(self, second: Fraction, frames: int) -> None:
        """Count an estimated number of frames that a damaged source lacks at `second`."""
        self._gaps.append((second, frames))
        places, total = len(self._gaps), sum(frames for _, frames in self._gaps)
        where = f"in {places} places, the first at" if places > 1 else "at"
        what = f"about {total} frames are" if total > 1 else "about 1 frame is"
        self._update_note("missing", f"the source is damaged {where} {float(self._gaps[0][0]):.2f} s: {what} missing")

    def set_broken_places(self, places: Sequence[int], at_end: bool, within: bool) -> None:
        """Set the byte positions at which the structure of the source is broken and no frame is known to be missing.

        Args:
            places: byte positions, at least one.
            at_end: whether no packet of the video comes after the first one.
            within: whether all of them are within frames.
        """
        where = f"in {len(places)} places, the first near byte" if len(places) > 1 else "near byte"
        what = "frames may be damaged or lost there" if within else "frames, audio or subtitles may be lost there"
        what = "no frame after it can be read" if at_end else what
        self._update_note("broken", f"the source is damaged {where} {places[0]}: {what}")

    def _update_note(self, kind: str, line: str) -> None:
        if kind not in self._note_index:
            self._note_index[kind] = len(self._notes)
            self._notes.append("")
        self._notes[self._note_index[kind]] = line


def describe_error(error: Exception) -> str:
    """Return the message of an ffmpeg error in one line, without Python's error number."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
