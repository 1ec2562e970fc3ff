"""The streaming decoder: a `.dfc` file in, pictures out, one clip at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from dfccodec.codec.clip.decode import check_memory, decode_clip, reconstruct_clip
from dfccodec.codec.damage.concealment import ClipConcealer, OutputFrame, nominal
from dfccodec.codec.damage.lost_tracks import LostTracks
from dfccodec.container.chunks import CLIP, PACKETS, STREAM, Damage
from dfccodec.container.reader import ClipAt, IndexAt, Item, Packets, Preamble, StreamReader
from dfccodec.container.records import Clip, Index, StreamInfo
from dfccodec.container.seek import index_by_scanning, leads_to_clip, packets_between, read_index
from dfccodec.container.streams import seekable
from dfccodec.errors import DamagedError, LimitError, UnsupportedError, UsageError
from dfccodec.limits import MAX_STREAMS
from dfccodec.media import chapters
from dfccodec.media.packet_trim import NO_TIMESTAMP, SUBTITLE_KIND, trim_and_shift, trim_packet
from dfccodec.media.picture import PacketSink, Picture
from dfccodec.media.time_range import RangeCursor, Span
from dfccodec.runtime.resources import available_memory, malloc_trim

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel


MAX_CARRIED_PACKETS = 256
"""Packets that play on past a clip which is passed by; more, looked at again for every clip, are a trick."""


class Decoder:
    """An iterator over the frames of a file, once, from the first to the last.

    Args:
        stream: a binary stream; need not seek.
        load: called with the preamble to get the model the file needs.
        conceal: go on after damage: what a checksum can put right is put right (`container.mend`), of other clips those
            kept frames are shown that are good for certain (`codec.salvage`), and all other frames of a lost clip
            repeat the last good frame, or the first good one.
        close: close the stream when the iteration ends.
        tracks: where sound and subtitles go, as they come; may be set until the iteration begins.
        span: the part wanted. A stream that can seek is read there only; times then count from its first frame.

    Attributes:
        preamble: header, model, steps, tags.
        damage: what was met, with `conceal`; complete once the iteration has ended.
        lost_frames: (first frame, count) of every stretch of frames that only repeat another. A stretch longer than the
            damaged bytes can have held gets no stand-ins: a number in a file must not make a reader produce four
            billion frames.
        reached_end: whether the file's index or the range's end was met; if not, frames may be missing behind the last.

    Raises:
        DamagedError: the file is damaged and `conceal` is off.
        ModelError: the model is missing or another.
        UsageError: it is iterated over a second time, or no frame is in the span.
    """

    def __init__(
        self,
        stream: BinaryIO,
        load: Callable[[Preamble], LoadedModel],
        conceal: bool = False,
        close: bool = False,
        tracks: PacketSink | None = None,
        span: Span = Span(),
    ) -> None:
        self._stream, self._start = stream, stream.tell() if seekable(stream) else None
        self._owned = stream if close else None
        self._reader = StreamReader(stream, repair=conceal)
        self.preamble = self._reader.preamble
        self._tick = Fraction(self.preamble.header.time_base.num, self.preamble.header.time_base.den)
        self._loaded = load(self.preamble)
        self._check_model()
        self._conceal = conceal
        self.tracks = tracks
        self._span, self._window = span, RangeCursor(span)
        self._streams: dict[int, StreamInfo] = {}
        self._held: list[Packets] = []  # with a range: packets whose clip has not come yet
        self._origin: int | None = None  # timestamp of the file's first frame
        self._zero = 0  # timestamp that is given as 0
        self.damage: list[Damage] = []
        self.lost_frames: list[tuple[int, int]] = []
        self.reached_end = False
        self._given: Iterator[Picture] | None = None  # the frames, once somebody has asked for them
        self._spent = False
        self._next = 0  # number of the frame expected next
        self._due: int | None = None  # its timestamp; None before the first clip
        self._gap = ClipConcealer(self.preamble.header, self._shown)

    def _check_model(self) -> None:
        """The header's latents are the model's; a file that says otherwise of a model it names is wrong.

        Raises:
            DamagedError: they are not.
        """
        header, model = self.preamble.header, self._loaded.model
        own, its = (header.channels, header.patch), (model.channels, model.patch)
        if own != its or header.clip_frames > model.max_frames:
            raise DamagedError(
                f"the header says {own[0]} channels in patches of {own[1]}, clips of up to {header.clip_frames} "
                f"frames; the file's model, {self.preamble.model.name[:200]!a}, has {its[0]}, {its[1]} and "
                f"{model.max_frames}"
            )

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, where it was opened for this; needed only by those who do not iterate to the end."""
        if self._owned is not None:
            self._owned.close()

    def __iter__(self) -> Decoder:
        if self._spent:
            raise UsageError("a Decoder gives its frames once: call dfc.decode again")
        return self

    def __next__(self) -> Picture:
        if self._given is None:
            self._given = self._frames()
        try:
            return next(self._given)
        except BaseException:
            self._spent = True
            raise

    def _frames(self) -> Iterator[Picture]:
        found = False
        for picture in self._pictures():
            found = True
            yield picture
        if not (found or self._span.unlimited or self.damage):
            raise UsageError("no frame is in the range: the file ends before it, or the range does")

    def _pictures(self) -> Iterator[Picture]:
        try:
            for item in self._items():
                if isinstance(item, Damage):
                    self._note(item)
                elif isinstance(item, ClipAt):
                    yield from self._clip(item)
                elif isinstance(item, StreamInfo):
                    self._stream_info(item)
                elif isinstance(item, Packets):
                    self._packets(item)
                elif isinstance(item, IndexAt):
                    self.reached_end = True
                    if item.index.frames > self._next and not self._gap_outside_range(None):
                        yield from self._emit_range(self._next, self._bridge(item.index.frames, None))
                    self._gap.reset()
                if self._window.ended:
                    self.reached_end = True
                    break
        finally:
            self.close()

    @property
    def lost_tracks(self) -> LostTracks:
        """What is known of lost sound and subtitles; complete once the iteration has ended."""
        return LostTracks.of(self.damage, bool(self._streams))

    @property
    def tags(self) -> tuple[tuple[str, str], ...]:
        """The file's tags; chapters as they are in the range, none where it begins at a number of a frame."""
        if self._span.unlimited:
            return self.preamble.tags
        found, others = chapters.from_tags(self.preamble.tags)
        begin, length = self._span.start, self._span.duration
        if begin.frame is not None:
            return tuple(others)
        end = begin.seconds + length.seconds if length and length.frame is None else None
        return (*others, *chapters.to_tags(chapters.trim_chapters(found, begin.seconds, end)))

    def _items(self) -> Iterator[Item]:
        """What the file holds; with a range, from its declarations straight to the first clip wanted."""
        jumped = self._span.unlimited
        for item in self._reader:
            if not jumped and isinstance(item, (Packets, ClipAt)):
                jumped = True
                if self._jump():
                    continue
            yield item

    def _jump(self) -> bool:
        """Go to the packets before the first clip wanted, by an index that holds true or from chunk to chunk."""
        stream = self._stream
        if self._start is None:
            return False
        place, header = stream.tell(), self.preamble.header
        sworn = read_index(stream, self._start)
        if sworn and sworn.clips:
            self._origin = sworn.clips[0].first_pts  # whether or not that clip is whole
        index = sworn or index_by_scanning(stream, self._start, header)
        number = self._wanted(index)
        if number < 2 or not leads_to_clip(stream, self._start, index.clips[number], header):
            stream.seek(place)
            return False
        self._origin = index.clips[0].first_pts
        self._next, self._due = index.clips[number].first_frame, index.clips[number].first_pts
        earlier, before = (clip.offset + clip.size for clip in index.clips[number - 2 : number])
        if self.tracks:
            self._held = self._early(self._reader.place[0], earlier, before, index.clips[number].first_pts)
        self._reader.jump(self._start + before, before)
        return True

    def _early(self, first: int, earlier: int, before: int, pts: int) -> list[Packets]:
        """Packets that stand before the clip at `pts` and still play there.

        Args:
            first, earlier, before: places in the file: of the first packets, and the ends of the two clips before.
            pts: timestamp of the clip.
        """
        assert self._start is not None
        texts = {
            ident for ident, info in self._streams.items() if info.kind == SUBTITLE_KIND
        }  # may have begun long before
        out = []
        for begin, end, streams in ((first, earlier, texts), (earlier, before, set(self._streams))):
            found = packets_between(self._stream, self._start, begin, end, streams)
            out += self._playing((Packets(ident, tuple(packets)) for ident, packets in found), pts)
        return out

    def _playing(self, items: Iterable[Packets], pts: int) -> list[Packets]:
        """Those of packets that still play at a timestamp."""
        begin, out = pts * self._tick, []
        for item in items:
            if info := self._streams.get(item.stream):
                timed = (p for p in item.packets if max(p.pts, p.dts) != NO_TIMESTAMP)
                rest = tuple(p for p in timed if trim_packet(p, info, begin, None) is not None)
                out += [Packets(item.stream, rest)] if rest else []
        return out

    def _wanted(self, index: Index) -> int:
        """Number of the clip that the range begins in."""
        start, clips = self._span.start, index.clips
        if start.frame is not None:
            return max((n for n, c in enumerate(clips) if c.first_frame <= start.frame), default=0)
        seconds = [(c.first_pts - clips[0].first_pts) * self._tick for c in clips]
        return max((n for n, second in enumerate(seconds) if second <= start.seconds), default=0)

    def _stream_info(self, item: StreamInfo) -> None:
        if item.id in self._streams or len(self._streams) == MAX_STREAMS:
            reason = f"stream {item.id} is declared twice, or is one more than {MAX_STREAMS}"
            self._note(Damage(*self._reader.place, reason, chunk=STREAM))
            return
        self._streams[item.id] = item
        if self.tracks:
            self.tracks.declare(item)

    def _packets(self, item: Packets) -> None:
        if item.stream not in self._streams and (self._conceal or self._span.unlimited):
            reason = f"packets of stream {item.stream}, whose declaration is lost"
            damage = Damage(*self._reader.place, reason, chunk=PACKETS)
            if self._conceal:
                self.damage.append(damage)  # whole bytes, which held no frame
            else:
                self._note(damage)
            return
        if self._span.unlimited:
            if self.tracks:
                self.tracks.packets(item.stream, item.packets)
        else:
            self._held.append(item)

    def _second(self, pts: int) -> Fraction:
        """Time since the file's first frame."""
        return (pts - (self._origin or 0)) * self._tick

    def _flush_packets(self, end: int | None) -> None:
        """Give away the packets held, those that play from the first frame given until `end`, as timestamps."""
        held, self._held = self._held, []
        begin, until = self._zero * self._tick, None if end is None else end * self._tick
        for item in held:
            info = self._streams.get(item.stream)
            if info is not None and self.tracks:
                pieces = (trim_and_shift(packet, info, begin, until) for packet in item.packets)
                self.tracks.packets(item.stream, [piece for piece in pieces if piece is not None])

    def _note(self, damage: Damage) -> None:
        if not self._conceal:
            kind = LimitError if damage.kind == "limit" else DamagedError
            raise kind(f"{damage.reason}; decode --conceal gives back what is whole", damage.offset)
        self.damage.append(dataclasses.replace(damage, data=b""))
        self._gap.note(damage)

    def _clip(self, at: ClipAt) -> Iterator[Picture]:
        clip = at.clip
        if clip.first_frame < self._next:
            reason = f"clip begins at frame {clip.first_frame}, {self._next} expected"
            self._note(Damage(at.offset, at.size, reason, chunk=CLIP))
            return
        last = clip.first_frame + clip.frames
        if self._origin is None:  # of a file that lost its beginning: about where that was
            self._origin = clip.first_pts - clip.first_frame * nominal(self.preamble.header)
        if self._window.first is None and not self._span.start.is_reached(last - 1, self._second(clip.timestamps[-1])):
            self._advance(clip)
            held = self._playing(self._held, clip.timestamps[-1])
            self._held = held if sum(len(item.packets) for item in held) <= MAX_CARRIED_PACKETS else []
            return
        missing = clip.first_frame > self._next and not self._gap_outside_range(clip)
        if not missing and self._window.check_end(clip.first_frame, self._second(clip.first_pts)):
            return
        malloc_trim()
        try:
            frames = decode_clip(clip, self.preamble, self._loaded)
        except (DamagedError, UnsupportedError) as error:
            if isinstance(error, UnsupportedError) and not self._conceal:
                raise
            self._note(Damage.of(error, at.offset, at.size, CLIP))
            return
        durations = clip.durations * (clip.frames if len(clip.durations) == 1 else 1)
        pictures = [Picture(*row) for row in zip(frames, clip.timestamps, durations, strict=True)]
        # The last one is remembered, here and by who shows it: a view would hold the clip while the next is decoded.
        pictures[-1] = dataclasses.replace(pictures[-1], rgb=frames[-1].copy())
        if missing:
            yield from self._emit_range(self._next, self._bridge(clip.first_frame, pictures[0]))
        yield from self._emit_range(clip.first_frame, ((picture, False) for picture in pictures))
        self._advance(clip)
        self._gap.last = pictures[-1]

    def _advance(self, clip: Clip) -> None:
        """A whole clip has been gone through."""
        self._next = clip.first_frame + clip.frames
        self._due = clip.timestamps[-1] + clip.durations[-1]
        self._gap.reset()

    def _gap_outside_range(self, clip: Clip | None) -> bool:
        """Whether the frames that are missing before a clip, or the end, lie outside of the range for certain."""
        start = self._span.start
        if clip is not None and self._window.first is None:
            if start.frame is not None and clip.first_frame <= start.frame:
                return True
            if start.frame is None and 0 < start.seconds >= self._second(clip.first_pts):
                return True
        return self._due is not None and self._window.check_end(self._next, self._second(self._due))

    def _emit_range(self, first: int, pictures: Iterable[OutputFrame]) -> Iterator[Picture]:
        """Those of pictures that follow one another that are in the range, after the packets that play with them.

        With each picture comes whether it only stands in for one that is lost.
        """
        if self._span.unlimited:
            for number, (picture, lost) in enumerate(pictures, first):
                if lost:
                    self._mark_concealed(number)
                yield picture
            return
        fresh = self._window.first is None
        numbered = ((n, p, lost) for n, (p, lost) in enumerate(pictures, first))
        chosen = [row for row in numbered if self._window.contains(row[0], self._second(row[1].pts))]
        if not chosen:
            return
        last = chosen[-1][1]
        if fresh:
            self._zero = chosen[0][1].pts
        self._flush_packets(last.pts + last.duration if self._window.ended else None)
        for number, picture, lost in chosen:
            if lost:
                self._mark_concealed(number)
            yield Picture(picture.rgb, picture.pts - self._zero, picture.duration)

    def _bridge(self, until: int, after: Picture | None) -> Iterator[OutputFrame]:
        """The frames from the one expected to `until`, salvaged or repeated, evenly over the time that is missing."""
        count, first = until - self._next, self._next
        reason = f"frames {first} to {until - 1} are missing"
        if not self._conceal:
            raise DamagedError(f"{reason}; decode --conceal gives back the rest")
        if not self._gap.damaged_bytes:  # all that is there is whole: somebody left a clip out
            self.damage.append(Damage(self._reader.place[0], 0, reason, chunk=CLIP))
        self._next = until
        start = self._due
        if start is None:
            start = self._origin if self._origin is not None else 0
        found = self._gap.frames(first, until, start, after) if self._gap.is_plausible_gap(count) else None
        if found is None:
            self.lost_frames.append((first, count))
            return
        yield from found

    def _shown(self, clip: Clip, values: np.ndarray) -> np.ndarray:
        """The frames of a clip (T, H, W, 3) uint8 from integers that are at hand."""
        check_memory(clip, self.preamble.header, available_memory())
        return reconstruct_clip(clip, values, self.preamble.header, self.preamble.steps, self._loaded)

    def _mark_concealed(self, number: int) -> None:
        """Note a frame that is not shown as it was."""
        if self.lost_frames and sum(self.lost_frames[-1]) == number:
            self.lost_frames[-1] = self.lost_frames[-1][0], self.lost_frames[-1][1] + 1
        else:
            self.lost_frames.append((number, 1))
