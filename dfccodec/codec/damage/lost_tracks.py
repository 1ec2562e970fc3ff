"""Bytes of audio and subtitles that damage has cost. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dfccodec.container.chunks import PACKETS, STREAM, Damage
from dfccodec.runtime.renamed import OldName


@dataclass(frozen=True)
class LostTracks:
    """Lost bytes of audio and subtitles.

    Args:
        bytes: bytes of damaged chunks that held packets or declared a track.
        unattributed: damaged bytes of unknown content.
    """

    bytes: int = 0
    unattributed: int = 0

    maybe = OldName[int]("unattributed")

    @classmethod
    def of(cls, damage: Iterable[Damage], tracks: bool) -> LostTracks:
        """Count the lost bytes in the damage of a file; `tracks` is whether the file is known to have tracks."""
        bad = [d for d in damage if not d.repaired]
        certain = sum(d.size for d in bad if d.chunk in (PACKETS, STREAM))
        return cls(certain, sum(d.size for d in bad if not d.chunk) if tracks or certain else 0)

    def notes(self) -> list[str]:
        """Messages for users."""
        lines = [f"{self.bytes} bytes of audio or subtitles are lost"] if self.bytes else []
        if self.unattributed:
            lines.append(f"{self.unattributed} damaged bytes may have held audio or subtitles")
        return lines

    def record(self) -> dict[str, int]:
        """The JSON form; `maybe` is the first name of `unattributed`."""
        return {"bytes": self.bytes, "unattributed": self.unattributed, "maybe": self.unattributed}
