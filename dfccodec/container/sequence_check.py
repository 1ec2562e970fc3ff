"""How the records of a file follow one another (SPEC.md 3.4, 4.3, 6.4, 8): what no single chunk's checksum can tell."""

from __future__ import annotations

from collections.abc import Iterator

from dfccodec.container.chunks import FOOT, Chunk, Damage
from dfccodec.container.pack import unpack_foot
from dfccodec.container.reader import ClipAt, IndexAt, Item, Packets
from dfccodec.container.records import IndexEntry, StreamInfo
from dfccodec.limits import MAX_STREAMS

Fault = tuple[str, str]
"""Reason, and class of error (SPEC.md 2.1)."""


class SequenceChecker:
    """Judges items as `StreamReader` gives them.

    Attributes:
        lost: set it when something before the next clip was lost: then its number may be greater than expected, and
            what index and footer say is not compared with what is there.
    """

    def __init__(self) -> None:
        self.lost = False
        self._whole = True  # nothing was lost or wrong so far
        self._entries: list[IndexEntry] = []
        self._streams: set[int] = set()
        self._index_at = -1
        self._next = 0
        self._time: int | None = None

    def faults(self, item: Item) -> list[Fault]:
        """What is wrong with the place of an item; none for damage, which is wrong in itself."""
        self._whole &= not self.lost
        found = list(self._faults(item))
        self._whole &= not found
        self.lost |= bool(found)
        return found

    def accept(self, at: ClipAt) -> None:
        """A clip whose place was judged is whole in itself, too."""
        clip, self.lost = at.clip, False
        self._next = clip.first_frame + clip.frames
        kept = int(clip.kept.sum())
        self._entries.append(IndexEntry(at.offset, at.size, clip.first_frame, clip.first_pts, clip.frames, kept))

    def _faults(self, item: Item) -> Iterator[Fault]:
        if isinstance(item, Damage):
            return
        kind = item.type if isinstance(item, Chunk) else b""
        if self._index_at >= 0 and kind != FOOT:
            what = f"chunk {kind.decode()}" if kind else type(item).__name__
            yield f"{what} after the index: only the footer may follow it", "damaged"
        if isinstance(item, ClipAt):
            yield from self._clip(item)
        elif isinstance(item, StreamInfo):
            if item.id in self._streams:
                yield f"stream {item.id} is declared twice", "damaged"
            self._streams.add(item.id)
            if len(self._streams) > MAX_STREAMS:
                yield f"{len(self._streams)} streams, at most {MAX_STREAMS}", "limit"
        elif isinstance(item, Packets):
            if item.stream not in self._streams:
                yield f"packets of stream {item.stream} come before its declaration", "damaged"
        elif isinstance(item, IndexAt):
            yield from self._index(item)
        elif isinstance(item, Chunk) and kind == FOOT:
            where = unpack_foot(item.payload)
            if self._index_at >= 0 and where != self._index_at:
                yield f"footer says the index is at byte {where}, it is at {self._index_at}", "damaged"

    def _clip(self, at: ClipAt) -> Iterator[Fault]:
        clip = at.clip
        if clip.first_frame < self._next or (clip.first_frame > self._next and not self.lost):
            yield f"clip begins at frame {clip.first_frame}, {self._next} expected", "damaged"
        stamps = clip.timestamps
        if self._time is not None and stamps[0] < self._time:
            yield f"clip begins at tick {stamps[0]}, before the one ahead of it ends", "damaged"
        self._time = stamps[-1]

    def _index(self, at: IndexAt) -> Iterator[Fault]:
        self._index_at = at.offset
        if not self._whole:
            return  # clips are missing already; that the index names them is right
        for wanted, found in zip(at.index.clips, self._entries, strict=False):
            if wanted != found:
                yield f"index says {wanted}, the clip is {found}", "damaged"
        if len(at.index.clips) != len(self._entries):
            yield f"index lists {len(at.index.clips)} clips, the file holds {len(self._entries)}", "damaged"
