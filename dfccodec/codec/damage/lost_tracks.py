"""What damage cost of sound and subtitles, as far as the bytes tell. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dfccodec.container.chunks import PACKETS, STREAM, Damage


@dataclass(frozen=True)
class LostTracks:
    """Bytes of sound and subtitles that are gone.

    Args:
        bytes: of chunks that held packets or declared a track, for certain.
        unattributed: of stretches of which nobody can say what they held.
    """

    bytes: int = 0
    unattributed: int = 0

    @classmethod
    def of(cls, damage: Iterable[Damage], tracks: bool) -> LostTracks:
        """From the faults of a file; `tracks`: whether it is known to have any."""
        bad = [d for d in damage if not d.repaired]
        sure = sum(d.size for d in bad if d.chunk in (PACKETS, STREAM))
        return cls(sure, sum(d.size for d in bad if not d.chunk) if tracks or sure else 0)

    def notes(self) -> list[str]:
        """Lines for people."""
        sure = [f"{self.bytes} bytes of sound or subtitles are lost"] if self.bytes else []
        return sure + (
            [f"{self.unattributed} damaged bytes may have held sound or subtitles"] if self.unattributed else []
        )

    def record(self) -> dict[str, int]:
        """For JSON."""
        return {"bytes": self.bytes, "maybe": self.unattributed}
