"""Make a valid file of what is whole in a damaged one, without a model: clips, sound, tags, a new index."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO

from dfccodec.codec import fill
from dfccodec.codec.damage.lost_tracks import LostTracks
from dfccodec.container.chunks import CLIP, FOOT, PACKETS, STREAM, Chunk, Damage
from dfccodec.container.reader import SIGNATURE_SEARCH_BYTES, ClipAt, IndexAt, Item, Packets, Preamble, StreamReader
from dfccodec.container.records import VERSION, Clip, StreamInfo
from dfccodec.container.writer import Writer
from dfccodec.entropy.latent_coding import decode_clip_integers
from dfccodec.errors import DamagedError, NotDfcError, UnsupportedError
from dfccodec.limits import MAX_PAIRS, MAX_STREAMS
from dfccodec.version import __version__


@dataclass(frozen=True)
class Lost:
    """Frames that are not in the new file.

    Args:
        first, count: their numbers in the damaged one.
        start, end: seconds from where to where the new file has a gap; `end` is None where nothing comes after it.
    """

    first: int
    count: int
    start: Fraction
    end: Fraction | None


@dataclass
class Recovered:
    """What `recover` saved, and what it did not.

    Attributes:
        preamble: of the damaged file.
        clips, frames, kept, packets: counts of what is in the new one.
        lost: stretches of frames that were there once, by numbers and an index that may be wrong themselves.
        lost_tracks: what is known of lost sound and subtitles.
        ended: whether the damaged file said how many frames it had; if not, more than `lost` may be missing at its end.
        faults: everything that was wrong, with its place; `mended` says what was put right.
        size: bytes of the new file.
    """

    preamble: Preamble
    clips: int = 0
    frames: int = 0
    kept: int = 0
    packets: int = 0
    lost: list[Lost] = field(default_factory=list)
    lost_tracks: LostTracks = field(default_factory=LostTracks)
    ended: bool = False
    faults: list[Damage] = field(default_factory=list)
    size: int = 0


def recover(stream: BinaryIO, out: BinaryIO, progress: Callable[[int], None] | None = None) -> Recovered:
    """Rewrite a truncated or damaged file into a valid one.

    Clips, packets and ancillary chunks that are whole are copied as they are; chunks with one wrong byte are put right
    first (`container.mend`). Frames are numbered anew from 0, as the format wants it; timestamps stay, so that sound
    stays in step and lost clips leave a gap in time, in which a player shows the frame before it longer. Index, latent
    hash and footer are made anew.

    Args:
        stream: the file; need not seek.
        out: where the new one goes; need not seek. Nothing is written before a clip is found whole.
        progress: told the number of frames read.

    Raises:
        NotDfcError: the signature is missing: no header follows where it should be, and it does not stand later.
        DamagedError: header, model or steps are lost, without which no clip can be read; or no clip is whole.
        UnsupportedError: the file needs a newer reader.
    """
    try:
        reader = StreamReader(stream, repair=True)
    except NotDfcError as error:
        raise NotDfcError(
            f"{error}; no header follows, and no signature in the first {SIGNATURE_SEARCH_BYTES >> 20} MiB: there is "
            "nothing to recover"
        ) from None
    except DamagedError as error:
        raise DamagedError(
            f"{error}; without header, model and steps no clip can be read, and no other chunk repeats them: nothing "
            "can be recovered"
        ) from None
    work = _Work(reader, out)
    for item in reader:
        work.item(item)
        if progress:
            progress(work.next)
    return work.finish()


class _Work:
    def __init__(self, reader: StreamReader, out: BinaryIO) -> None:
        self.reader, self.out = reader, out
        self.found = Recovered(reader.preamble)
        self.writer: Writer | None = None
        self.waiting: list[StreamInfo | Packets | Chunk] = []  # what stands before the first whole clip
        self.streams: set[int] = set()
        self.next = 0  # number of the frame expected next, in the damaged file
        self.known = 0  # faults before the last whole clip
        self.last: Clip | None = None
        header = reader.preamble.header
        self.tick = Fraction(header.time_base.num, header.time_base.den)

    def fault(self, reason: str, chunk: bytes, size: int | None = None) -> None:
        place, whole = self.reader.place
        self.found.faults.append(Damage(place, whole if size is None else size, reason, chunk=chunk))

    def item(self, item: Item) -> None:
        if isinstance(item, Damage):
            self.found.faults.append(item)
        elif isinstance(item, ClipAt):
            self.clip(item.clip)
        elif isinstance(item, IndexAt):
            self.found.ended = True
            if item.index.frames > self.next:
                self.gap(item.index.frames, None)
        elif isinstance(item, StreamInfo):
            if item.id in self.streams or len(self.streams) == MAX_STREAMS:
                self.fault(f"stream {item.id} is declared twice, or is one more than {MAX_STREAMS}", STREAM)
                return
            self.streams.add(item.id)
            self.pass_on(item)
        elif isinstance(item, Packets):
            if item.stream not in self.streams:
                self.fault(f"packets of stream {item.stream}, whose declaration is lost", PACKETS)
                return
            self.found.packets += len(item.packets)
            self.pass_on(item)
        elif item.type != FOOT:
            self.pass_on(item)

    def pass_on(self, item: StreamInfo | Packets | Chunk) -> None:
        """Copy what is no clip; before the first clip it waits, since without one there is to be no file."""
        if self.writer is None:
            self.waiting.append(item)
        elif isinstance(item, StreamInfo):
            self.writer.stream(item)
        elif isinstance(item, Packets):
            self.writer.packets(item.stream, item.packets)
        else:
            self.writer.chunk(item.type, item.payload)

    def clip(self, clip: Clip) -> None:
        found, header = self.found, self.reader.preamble.header
        if clip.first_frame < self.next:
            self.fault(f"clip begins at frame {clip.first_frame}, {self.next} expected", CLIP)
            return
        if self.last is not None and clip.first_pts < self.last.timestamps[-1]:
            self.fault(f"clip begins at tick {clip.first_pts}, before the one ahead of it ends", CLIP)
            return
        try:
            fill.policy(clip.fill).check(clip, header)
            values = decode_clip_integers(clip, header)
        except (DamagedError, UnsupportedError) as error:
            found.faults.append(Damage.of(error, *self.reader.place, CLIP))
            return
        if clip.first_frame > self.next:
            self.gap(clip.first_frame, clip)
        self.known = len(found.faults)
        if self.writer is None:
            self.begin()
        assert self.writer is not None
        self.writer.clip(dataclasses.replace(clip, first_frame=found.frames), values)
        found.clips, found.frames, found.kept = found.clips + 1, found.frames + clip.frames, found.kept + len(values)
        self.next, self.last = clip.first_frame + clip.frames, clip

    def begin(self) -> None:
        old = self.found.preamble
        tool = [*old.tool[: MAX_PAIRS - 1], ("recover", f"dfc {__version__}")]
        header = dataclasses.replace(old.header, version=VERSION)
        self.writer = Writer(self.out, header, old.model, old.steps, tool, old.tags)
        for item in self.waiting:
            self.pass_on(item)
        self.waiting.clear()

    def gap(self, until: int, after: Clip | None) -> None:
        """Note that the frames from the one expected to `until` are missing."""
        last = self.last
        end = None if after is None else after.first_pts * self.tick
        durations = () if last is None else last.durations * (last.frames if len(last.durations) == 1 else 1)
        start = Fraction(0) if last is None else (last.first_pts + sum(durations)) * self.tick
        if last is None and after is not None:
            start = min(start, after.first_pts * self.tick)
        if len(self.found.faults) == self.known:  # all that is there is whole: somebody left a clip out
            self.fault(f"frames {self.next} to {until - 1} are missing", CLIP, size=0)
        self.found.lost.append(Lost(self.next, until - self.next, start, end))
        self.next = until

    def finish(self) -> Recovered:
        """End the file; what was found and lost.

        Raises:
            DamagedError: no clip was whole.
        """
        if self.writer is None:
            reason = next((f.reason for f in self.found.faults), "it has none")
            raise DamagedError(f"no clip of the file is whole: {reason}; nothing can be recovered")
        self.writer.finish()
        self.found.lost_tracks = LostTracks.of(self.found.faults, bool(self.streams))
        self.found.size = self.writer.offset
        return self.found
