"""Rules between the records of a file (SPEC.md 3.4, 4.3, 6.4, 8), which no checksum of a single chunk covers."""

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
    """Checks the sequence of the items of a `StreamReader`.

    Attributes:
        data_lost: set it if data before the next clip was lost. Then the clip's first frame may be greater than
            expected, and the index is not compared with the clips.
    """

    def __init__(self) -> None:
        self.data_lost = False
        self._complete = True  # no data lost and no fault so far
        self._entries: list[IndexEntry] = []
        self._streams: set[int] = set()
        self._index_offset = -1
        self._next = 0
        self._last_timestamp: int | None = None

    def faults(self, item: Item) -> list[Fault]:
        """Return the sequence faults of an item; none for a `Damage`, which is a fault already."""
        self._complete &= not self.data_lost
        found = list(self._faults(item))
        self._complete &= not found
        self.data_lost |= bool(found)
        return found

    def accept(self, at: ClipAt) -> None:
        """Register a valid clip after its `faults` were checked."""
        clip, self.data_lost = at.clip, False
        self._next = clip.first_frame + clip.frames
        kept = int(clip.kept.sum())
        self._entries.append(IndexEntry(at.offset, at.size, clip.first_frame, clip.first_pts, clip.frames, kept))

    def _faults(self, item: Item) -> Iterator[Fault]:
        if isinstance(item, Damage):
            return
        kind = item.type if isinstance(item, Chunk) else b""
        if self._index_offset >= 0 and kind != FOOT:
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
            if self._index_offset >= 0 and where != self._index_offset:
                yield f"footer declares the index at byte {where}, it is at {self._index_offset}", "damaged"

    def _clip(self, at: ClipAt) -> Iterator[Fault]:
        clip = at.clip
        if clip.first_frame < self._next or (clip.first_frame > self._next and not self.data_lost):
            yield f"clip begins at frame {clip.first_frame}, {self._next} expected", "damaged"
        stamps = clip.timestamps
        if self._last_timestamp is not None and stamps[0] < self._last_timestamp:
            yield f"clip begins at timestamp {stamps[0]}, before the last frame of the previous clip", "damaged"
        self._last_timestamp = stamps[-1]

    def _index(self, at: IndexAt) -> Iterator[Fault]:
        self._index_offset = at.offset
        if not self._complete:
            return  # clips are missing, so the index correctly lists more
        for wanted, found in zip(at.index.clips, self._entries, strict=False):
            if wanted != found:
                yield f"index declares {wanted}, the clip is {found}", "damaged"
        if len(at.index.clips) != len(self._entries):
            yield f"index lists {len(at.index.clips)} clips, the file holds {len(self._entries)}", "damaged"
