"""Check everything that needs no model: every checksum, count, order, integer and the whole-stream hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from dfccodec.codec import fill
from dfccodec.codec.integers import decode_clip_integers
from dfccodec.container.chunks import FOOT, Chunk, Damage
from dfccodec.container.pack import unpack_foot
from dfccodec.container.reader import ClipAt, IndexAt, Packets, Preamble, StreamReader
from dfccodec.container.records import IndexEntry, StreamInfo
from dfccodec.container.writer import LatentHash
from dfccodec.errors import DamagedError, UnsupportedError
from dfccodec.limits import MAX_STREAMS


@dataclass
class Verdict:
    """What `verify` found; true for a sound file, whose `faults` are none.

    Attributes:
        preamble: header, model, steps, tags.
        clips, frames, kept: counts of what is whole.
        faults: every fault with its place.
        latent_hash: SHA-256 over the integers of all whole clips.
    """

    preamble: Preamble
    clips: int = 0
    frames: int = 0
    kept: int = 0
    faults: list[Damage] = field(default_factory=list)
    latent_hash: bytes = b""

    def __bool__(self) -> bool:
        """Whether the file is sound."""
        return not self.faults


def verify(stream: BinaryIO, progress: Callable[[int], None] | None = None) -> Verdict:
    """Read a file to its end and judge it as a strict reader (SPEC.md 2).

    Raises:
        DfcError: header, model or steps are unreadable; everything later is a fault in the verdict, up to a critical
            chunk of unknown type, behind which nothing can be judged.
    """
    reader = StreamReader(stream)
    check = _Check(Verdict(reader.preamble), reader)
    try:
        for item in reader:
            check.item(item)
            if progress:
                progress(check.verdict.frames)
    except UnsupportedError as error:
        check.add(Damage.of(error, *reader.place))
    check.verdict.latent_hash = check.hash.digest()
    return check.verdict


class _Check:
    def __init__(self, verdict: Verdict, reader: StreamReader) -> None:
        self.verdict, self.reader = verdict, reader
        self.hash = LatentHash()
        self.entries: list[IndexEntry] = []
        self.streams: set[int] = set()
        self.index_at = -1
        self.next = 0  # number of the frame expected next
        self.lost = False  # whether something was lost since the last whole clip
        self.time: int | None = None

    def fault(self, reason: str, kind: str = "damaged") -> None:
        """Something is wrong with what the reader gave last."""
        self.add(Damage(*self.reader.place, reason, kind))

    def add(self, damage: Damage) -> None:
        self.verdict.faults.append(damage)
        self.lost = True

    def item(self, item: object) -> None:
        if self.index_at >= 0 and not isinstance(item, Damage) and not (isinstance(item, Chunk) and item.type == FOOT):
            what = type(item).__name__ if not isinstance(item, Chunk) else f"chunk {item.type.decode()}"
            self.fault(f"{what} after the index: only the footer may follow it")
        if isinstance(item, Damage):
            self.add(item)
        elif isinstance(item, ClipAt):
            self.clip(item)
        elif isinstance(item, StreamInfo):
            if item.id in self.streams:
                self.fault(f"stream {item.id} is declared twice")
            self.streams.add(item.id)
            if len(self.streams) > MAX_STREAMS:
                self.fault(f"{len(self.streams)} streams, at most {MAX_STREAMS}", "limit")
        elif isinstance(item, Packets):
            if item.stream not in self.streams:
                self.fault(f"packets of stream {item.stream} come before its declaration")
        elif isinstance(item, IndexAt):
            self.index(item)
        elif isinstance(item, Chunk) and item.type == FOOT:
            where = unpack_foot(item.payload)
            if self.index_at < 0 and not self.verdict.faults:
                self.fault("footer without an index")
            elif self.index_at >= 0 and where != self.index_at:
                self.fault(f"footer says the index is at byte {where}, it is at {self.index_at}")

    def clip(self, at: ClipAt) -> None:
        clip, verdict = at.clip, self.verdict
        if clip.first_frame < self.next or (clip.first_frame > self.next and not self.lost):
            self.fault(f"clip begins at frame {clip.first_frame}, {self.next} expected")
        stamps = clip.timestamps
        if self.time is not None and stamps[0] < self.time:
            self.fault(f"clip begins at tick {stamps[0]}, before the one ahead of it ends")
        self.time = stamps[-1]
        try:
            fill.policy(clip.fill).check(clip, verdict.preamble.header)
            values = decode_clip_integers(clip, verdict.preamble.header)
        except (DamagedError, UnsupportedError) as error:
            self.add(Damage.of(error, at.offset, at.size))
            return
        self.next, self.lost = clip.first_frame + clip.frames, False
        self.hash.update(values)
        kept = int(clip.kept.sum())
        self.entries.append(IndexEntry(at.offset, at.size, clip.first_frame, clip.first_pts, clip.frames, kept))
        verdict.clips += 1
        verdict.frames += clip.frames
        verdict.kept += kept

    def index(self, at: IndexAt) -> None:
        index, self.index_at = at.index, at.offset
        if self.verdict.faults:
            return  # clips are missing already; that the index names them is right
        for wanted, found in zip(index.clips, self.entries, strict=False):
            if wanted != found:
                self.fault(f"index says {wanted}, the clip is {found}")
        if len(index.clips) != len(self.entries):
            self.fault(f"index lists {len(index.clips)} clips, the file holds {len(self.entries)}")
        elif index.latent_hash != self.hash.digest():
            self.fault(f"latent hash is {self.hash.digest().hex()}, the index says {index.latent_hash.hex()}")
