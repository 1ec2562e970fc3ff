"""Recover the intact parts of a damaged file as a valid file, without a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO

from dfccodec.codec import fill
from dfccodec.codec.damage.lost_tracks import LostTracks
from dfccodec.codec.predict.order import check_pictures
from dfccodec.container.chunks import CLIP, FOOT, PACKETS, STREAM, Chunk, Damage
from dfccodec.container.reader import SIGNATURE_SEARCH_BYTES, ClipAt, IndexAt, Item, Packets, Preamble, StreamReader
from dfccodec.container.records import VERSION, Clip, StreamInfo
from dfccodec.container.writer import Writer
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.errors import DamagedError, NotDfcError, UnsupportedError
from dfccodec.limits import MAX_PAIRS, MAX_STREAMS
from dfccodec.version import __version__


@dataclass(frozen=True)
class Lost:
    """A run of frames that are not in the new file.

    Args:
        first, count: first frame number in the damaged file, and number of frames.
        start, end: the gap in the new file in seconds; `end` is None if nothing follows.
    """

    first: int
    count: int
    start: Fraction
    end: Fraction | None


@dataclass
class Recovered:
    """Result of `recover`.

    Attributes:
        preamble: header, model, steps and tags of the damaged file.
        clips, frames, kept, packets: counts in the new file.
        lost: runs of lost frames, according to frame numbers and an index that may be wrong themselves.
        lost_tracks: lost bytes of audio and subtitles.
        ended: whether the index was intact; if not, more frames than `lost` may be missing at the end.
        faults: all faults with their offsets; `repaired` tells what was repaired.
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

    Intact clips, packets and ancillary chunks are copied unchanged; chunks with one wrong byte are repaired first
    (`container.crc_repair`). Frames are renumbered from 0, as the format requires. Timestamps stay, so audio stays in
    sync, and a lost clip leaves a gap in time during which players show the previous frame. Index, latent hash and
    footer are rewritten.

    Args:
        stream: the file; need not be seekable.
        out: output stream; need not be seekable. Nothing is written before the first intact clip.
        progress: called with the number of frames read.

    Raises:
        NotDfcError: the signature is missing, no header follows it, and it is not found later.
        DamagedError: header, model or steps are lost, without which no clip can be read; or no clip is intact.
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
    recovery = _Recovery(reader, out)
    for item in reader:
        recovery.item(item)
        if progress:
            progress(recovery.next)
    return recovery.finish()


class _Recovery:
    """State of one recovery: items in, a new file out."""

    def __init__(self, reader: StreamReader, out: BinaryIO) -> None:
        self.reader, self.out = reader, out
        self.found = Recovered(reader.preamble)
        self.writer: Writer | None = None
        self.waiting: list[StreamInfo | Packets | Chunk] = []  # items before the first intact clip
        self.streams: set[int] = set()
        self.next = 0  # number of the next frame in the damaged file
        self.known = 0  # number of faults before the last intact clip
        self.last: Clip | None = None
        header = reader.preamble.header
        self.tick = Fraction(header.time_base.num, header.time_base.den)

    def fault(self, reason: str, chunk: bytes, size: int | None = None) -> None:
        place, whole = self.reader.extent
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
        """Copy an item that is not a clip. It waits for the first clip, because without a clip no file is written."""
        if self.writer is None:
            self.waiting.append(item)
        elif isinstance(item, StreamInfo):
            self.writer.write_stream(item)
        elif isinstance(item, Packets):
            self.writer.write_packets(item.stream, item.packets)
        else:
            self.writer.write_chunk(item.type, item.payload)

    def clip(self, clip: Clip) -> None:
        found, header = self.found, self.reader.preamble.header
        if clip.first_frame < self.next:
            self.fault(f"clip begins at frame {clip.first_frame}, {self.next} expected", CLIP)
            return
        if self.last is not None and clip.first_pts < self.last.timestamps[-1]:
            self.fault(f"clip begins at timestamp {clip.first_pts}, before the last frame of the previous clip", CLIP)
            return
        try:
            fill.policy(clip.fill).check(clip, header)
            values = decode_latents(clip, header)
            check_pictures(clip, header)
        except (DamagedError, UnsupportedError) as error:
            found.faults.append(Damage.of(error, *self.reader.extent, CLIP))
            return
        if clip.first_frame > self.next:
            self.gap(clip.first_frame, clip)
        self.known = len(found.faults)
        if self.writer is None:
            self.begin()
        assert self.writer is not None
        self.writer.write_clip(dataclasses.replace(clip, first_frame=found.frames), values)
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

    def gap(self, end: int, after: Clip | None) -> None:
        """Record that the frames from the next one to `end` (exclusive) are missing."""
        last = self.last
        gap_end = None if after is None else after.first_pts * self.tick
        durations = () if last is None else last.durations * (last.frames if len(last.durations) == 1 else 1)
        start = Fraction(0) if last is None else (last.first_pts + sum(durations)) * self.tick
        if last is None and after is not None:
            start = min(start, after.first_pts * self.tick)
        if len(self.found.faults) == self.known:  # all chunks are intact: a clip was left out
            self.fault(f"frames {self.next} to {end - 1} are missing", CLIP, size=0)
        self.found.lost.append(Lost(self.next, end - self.next, start, gap_end))
        self.next = end

    def finish(self) -> Recovered:
        """Finish the file and return the result.

        Raises:
            DamagedError: no clip is intact.
        """
        if self.writer is None:
            reason = next((f.reason for f in self.found.faults), "it has none")
            raise DamagedError(f"no clip of the file is intact: {reason}; nothing can be recovered")
        self.writer.finish()
        self.found.lost_tracks = LostTracks.of(self.found.faults, bool(self.streams))
        self.found.size = self.writer.offset
        return self.found
