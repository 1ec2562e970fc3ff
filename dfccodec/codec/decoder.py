"""Streaming decoder: reads a `.dfc` file and yields its frames, one clip at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from dfccodec.codec import fill
from dfccodec.codec.clip.continuous import ContinuousClip, at_rate, still
from dfccodec.codec.clip.decode import check_memory, decode_clip, reconstruct_clip
from dfccodec.codec.damage.concealment import ClipConcealer, Origin, OutputFrame, nominal_duration
from dfccodec.codec.damage.lost_tracks import LostTracks
from dfccodec.codec.packet_queue import PacketQueue
from dfccodec.codec.range_seek import seek_to_range
from dfccodec.container.chunks import CLIP, PACKETS, STREAM, Damage
from dfccodec.container.reader import ClipAt, IndexAt, Item, Packets, Preamble, StreamReader
from dfccodec.container.records import Clip, Fill, StreamInfo
from dfccodec.container.streams import seekable
from dfccodec.errors import DamagedError, LimitError, UnsupportedError, UsageError
from dfccodec.limits import MAX_STREAMS
from dfccodec.media import chapters
from dfccodec.media.cfr import constant_rate_header
from dfccodec.media.picture import PacketSink, Picture
from dfccodec.media.time_range import RangeCursor, Span
from dfccodec.runtime.renamed import OldName
from dfccodec.runtime.resources import available_memory, malloc_trim

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel
    from dfccodec.codec.look import PictureLook


class Decoder:
    """Iterator over the frames of a file in display order. It can be iterated once.

    Args:
        stream: a binary stream; need not be seekable.
        load: called with the preamble; returns the model that the file needs.
        conceal: continue after damage. Chunks are repaired if their checksum allows it (`container.crc_repair`); of
            other damaged clips, kept frames that are probably right are used (`codec.damage.partial_decode`); all
            other frames of a lost clip repeat the last good frame, or the first one.
        close: close the stream at the end of the iteration.
        tracks: receives audio and subtitle packets; may be set until the iteration begins.
        span: range to decode. A seekable stream is read only there. Timestamps count from the first frame in the range.
        fill_policy: replaces the fill policy of the file, see `fill.replace`; None for that of the file.
        frame_rate: pictures per second, for fill policy `generate`: it makes pictures between frames. None for the
            frames of the file.
        look: filter of the pictures, see `codec.look`; None for the pictures as they are; may be set until the
            iteration begins. Frames that conceal damage before the first intact clip have none.

    Attributes:
        preamble: header, model, steps, tags. Rate and time base in the header are those of the pictures.
        span: range that is decoded.
        damage: the damage found, with `conceal`; complete at the end of the iteration.
        lost_frames: (first frame, count) of each run of frames that repeat another frame. A run longer than the
            damaged bytes can have held is listed, and no frames are output for it.
        salvaged: (first frame, count) of each run of frames from a damaged clip; they are probably right.
        reached_end: whether the index of the file or the end of the range was reached; otherwise frames may be missing
            after the last one.

    Raises:
        DamagedError: the file is damaged and `conceal` is off.
        ModelError: the model is missing, or another one was given.
        UsageError: it is iterated a second time, the range contains no frame, or the file does not have what
            `fill_policy` or `frame_rate` needs.
    """

    lost = OldName[list[tuple[int, int]]]("lost_frames")
    ended = OldName[bool]("reached_end")

    def __init__(
        self,
        stream: BinaryIO,
        load: Callable[[Preamble], LoadedModel],
        conceal: bool = False,
        close: bool = False,
        tracks: PacketSink | None = None,
        span: Span = Span(),
        fill_policy: Fill | None = None,
        frame_rate: Fraction | None = None,
        look: PictureLook | None = None,
    ) -> None:
        self.look = look
        self._stream, self._start = stream, stream.tell() if seekable(stream) else None
        self._owned = stream if close else None
        self._reader = StreamReader(stream, repair=conceal)
        self.preamble = self._reader.preamble
        self._tick = Fraction(self.preamble.header.time_base.num, self.preamble.header.time_base.den)
        self._loaded = load(self.preamble)
        self._check_model()
        self._conceal, self._fill = conceal, fill_policy
        self.span, self._range = span, RangeCursor(span)
        self._queue = PacketQueue(self._tick, holds=not span.unlimited)
        self.tracks = tracks
        self._origin_pts: int | None = None  # timestamp of the file's first frame
        self._zero_pts = 0  # timestamp that becomes 0 in the output
        self.damage: list[Damage] = []
        self.lost_frames: list[tuple[int, int]] = []
        self.salvaged: list[tuple[int, int]] = []
        self.reached_end = False
        self._iterator: Iterator[Picture] | None = None
        self._exhausted = False
        self._next = 0  # number of the next frame
        self._next_pts: int | None = None  # its timestamp; None before the first clip
        self._header = self.preamble.header
        self._concealer = ClipConcealer(self._header, self._reconstruct)
        self._frame_rate = frame_rate
        if frame_rate is not None:
            self.preamble = dataclasses.replace(self.preamble, header=constant_rate_header(self._header, frame_rate))

    def _check_model(self) -> None:
        """Check that the geometry in the header is that of the model.

        Raises:
            DamagedError: it is not.
        """
        header, model = self.preamble.header, self._loaded.model
        stated, actual = (header.channels, header.patch), (model.channels, model.patch)
        if stated != actual or header.clip_frames > model.max_frames:
            raise DamagedError(
                f"the header says {stated[0]} channels in patches of {stated[1]}, clips of up to {header.clip_frames} "
                f"frames; the file's model, {self.preamble.model.name[:200]!a}, has {actual[0]}, {actual[1]} and "
                f"{model.max_frames}"
            )

    @property
    def tracks(self) -> PacketSink | None:
        """Receives audio and subtitle packets."""
        return self._queue.sink

    @tracks.setter
    def tracks(self, sink: PacketSink | None) -> None:
        self._queue.sink = sink

    def __enter__(self) -> Decoder:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream if `close` was given. Only needed if the iteration stops early."""
        if self._owned is not None:
            self._owned.close()

    def __iter__(self) -> Decoder:
        if self._exhausted:
            raise UsageError("a Decoder gives its frames once: call dfc.decode again")
        return self

    def __next__(self) -> Picture:
        if self._iterator is None:
            self._iterator = self._frames()
        try:
            return next(self._iterator)
        except BaseException:
            self._exhausted = True
            raise

    @property
    def lost_tracks(self) -> LostTracks:
        """Lost bytes of audio and subtitles; complete at the end of the iteration."""
        return LostTracks.of(self.damage, bool(self._queue.streams))

    @property
    def tags(self) -> tuple[tuple[str, str], ...]:
        """The tags of the file. Chapters are shifted to the range; a range that begins at a frame number has none."""
        if self.span.unlimited:
            return self.preamble.tags
        found, others = chapters.from_tags(self.preamble.tags)
        begin, length = self.span.start, self.span.duration
        if begin.frame is not None:
            return tuple(others)
        end = begin.seconds + length.seconds if length and length.frame is None else None
        return (*others, *chapters.to_tags(chapters.trim_chapters(found, begin.seconds, end)))

    def _frames(self) -> Iterator[Picture]:
        found, pictures = False, self._all_items()
        for picture in at_rate(pictures, self._tick, self._frame_rate) if self._frame_rate else pictures:
            found = True
            yield picture
        if not (found or self.span.unlimited or self.damage):
            raise UsageError(
                "the range contains no frame: it begins after the end of the file, or it is too short; change --start, "
                "--end or --duration"
            )

    def _all_items(self) -> Iterator[Picture]:
        try:
            for item in self._items():
                if isinstance(item, Damage):
                    self._add_damage(item)
                elif isinstance(item, ClipAt):
                    yield from self._clip(item)
                elif isinstance(item, StreamInfo):
                    self._stream_info(item)
                elif isinstance(item, Packets):
                    self._packets(item)
                elif isinstance(item, IndexAt):
                    yield from self._index(item)
                if self._range.ended:
                    self.reached_end = True
                    break
        finally:
            self.close()

    def _items(self) -> Iterator[Item]:
        """The contents of the file. With a range, reading jumps from the declarations to the first clip needed."""
        may_seek = not self.span.unlimited and self._start is not None
        for item in self._reader:
            if may_seek and isinstance(item, Packets | ClipAt):
                may_seek = False
                if self._seek():
                    continue
            yield item

    def _seek(self) -> bool:
        """Seek to the range. False if reading continues where it was."""
        assert self._start is not None
        found = seek_to_range(self._stream, self._start, self._reader, self.span, self._tick, self._queue)
        self._origin_pts = found.origin
        if found.clip is None:
            return False
        self._next, self._next_pts = found.clip.first_frame, found.clip.first_pts
        return True

    def _index(self, item: IndexAt) -> Iterator[Picture]:
        """The index ends the file; frames missing before it are concealed."""
        self.reached_end = True
        if item.index.frames > self._next and not self._gap_outside_range(None):
            yield from self._emit_range(self._next, self._fill_gap(item.index.frames, None))
        self._concealer.reset()

    def _stream_info(self, item: StreamInfo) -> None:
        if not self._queue.declare(item):
            reason = f"stream {item.id} is declared twice, or is one more than {MAX_STREAMS}"
            self._add_damage(Damage(*self._reader.extent, reason, chunk=STREAM))

    def _packets(self, item: Packets) -> None:
        if item.stream in self._queue.streams or not (self._conceal or self.span.unlimited):
            self._queue.add(item)
            return
        reason = f"packets of stream {item.stream}, whose declaration is lost"
        damage = Damage(*self._reader.extent, reason, chunk=PACKETS)
        if self._conceal:
            self.damage.append(damage)  # these bytes are intact and held no frame, so they explain no gap
        else:
            self._add_damage(damage)

    def _add_damage(self, damage: Damage) -> None:
        if not self._conceal:
            kind = LimitError if damage.kind == "limit" else DamagedError
            raise kind(f"{damage.reason}; decode --conceal recovers the intact clips", damage.offset)
        self.damage.append(dataclasses.replace(damage, data=b""))
        self._concealer.add(damage)

    def _seconds(self, pts: int) -> Fraction:
        """Seconds since the file's first frame."""
        return (pts - (self._origin_pts or 0)) * self._tick

    def _clip(self, at: ClipAt) -> Iterator[Picture]:
        clip = at.clip
        if clip.first_frame < self._next:
            reason = f"clip begins at frame {clip.first_frame}, {self._next} expected"
            self._add_damage(Damage(at.offset, at.size, reason, chunk=CLIP))
            return
        if self._origin_pts is None:  # the file has lost its beginning: estimate the timestamp of its first frame
            self._origin_pts = clip.first_pts - clip.first_frame * nominal_duration(self._header)
        last, last_pts = clip.first_frame + clip.frames - 1, clip.timestamps[-1]
        if self._range.first is None and not self.span.start.is_reached(last, self._seconds(last_pts)):
            self._advance(clip)
            self._queue.skip_clip(last_pts)
            return
        missing = clip.first_frame > self._next and not self._gap_outside_range(clip)
        if not missing and self._range.check_end(clip.first_frame, self._seconds(clip.first_pts)):
            return
        malloc_trim()
        try:
            pictures = self._decode(fill.replace(clip, self._fill))
            if self.look and self._frame_rate is None:
                pictures = [dataclasses.replace(each, rgb=self.look(each.rgb, clip.qp)) for each in pictures]
        except (DamagedError, UnsupportedError) as error:
            if isinstance(error, UnsupportedError) and not self._conceal:
                raise
            self._add_damage(Damage.of(error, at.offset, at.size, CLIP))
            return
        if missing:
            yield from self._emit_range(self._next, self._fill_gap(clip.first_frame, still(pictures[0])))
        yield from self._emit_range(clip.first_frame, ((picture, Origin.DECODED) for picture in pictures))
        self._advance(clip)
        self._concealer.last = still(pictures[-1]) if self._conceal else pictures[-1]

    def _decode(self, clip: Clip) -> list[Picture]:
        """The frames of a clip."""
        if self._frame_rate is not None:
            return ContinuousClip(clip, self.preamble, self._loaded, self.look).frames()
        frames = decode_clip(clip, self.preamble, self._loaded)
        durations = clip.durations * (clip.frames if len(clip.durations) == 1 else 1)
        pictures = [Picture(*row) for row in zip(frames, clip.timestamps, durations, strict=True)]
        # The last picture is kept, here and by callers. A view would keep the whole clip in memory meanwhile.
        pictures[-1] = dataclasses.replace(pictures[-1], rgb=frames[-1].copy())
        return pictures

    def _advance(self, clip: Clip) -> None:
        """Continue after an intact clip."""
        self._next = clip.first_frame + clip.frames
        self._next_pts = clip.timestamps[-1] + clip.durations[-1]
        self._concealer.reset()

    def _gap_outside_range(self, clip: Clip | None) -> bool:
        """Whether the frames missing before a clip, or before the end of the file, are certainly outside the range."""
        start = self.span.start
        if clip is not None and self._range.first is None:
            if start.frame is not None and clip.first_frame <= start.frame:
                return True
            if start.frame is None and 0 < start.seconds >= self._seconds(clip.first_pts):
                return True
        return self._next_pts is not None and self._range.check_end(self._next, self._seconds(self._next_pts))

    def _emit_range(self, first: int, frames: Iterable[OutputFrame]) -> Iterator[Picture]:
        """Yield the frames that are in the range, after the packets that play with them.

        Args:
            first: number of the first frame; the others follow it.
            frames: pictures and their origins.
        """
        if self.span.unlimited:
            for number, (picture, origin) in enumerate(frames, first):
                self._record_origin(number, origin)
                yield picture
            return
        is_beginning = self._range.first is None
        numbered = ((n, p, origin) for n, (p, origin) in enumerate(frames, first))
        chosen = [row for row in numbered if self._range.contains(row[0], self._seconds(row[1].pts))]
        if not chosen:
            return
        last = chosen[-1][1]
        if is_beginning:
            self._zero_pts = chosen[0][1].pts
        self._queue.flush(self._zero_pts, last.pts + last.duration if self._range.ended else None)
        for number, picture, origin in chosen:
            self._record_origin(number, origin)
            yield dataclasses.replace(picture, pts=picture.pts - self._zero_pts)

    def _fill_gap(self, end: int, after: Picture | None) -> Iterator[OutputFrame]:
        """Conceal the frames from the next one to `end` (exclusive); `after` is the picture that follows."""
        count, first = end - self._next, self._next
        reason = f"frames {first} to {end - 1} are missing"
        if not self._conceal:
            raise DamagedError(f"{reason}; decode --conceal recovers the intact clips")
        if not self._concealer.damaged_bytes:  # all chunks are intact: the clip was left out
            self.damage.append(Damage(self._reader.extent[0], 0, reason, chunk=CLIP))
        self._next = end
        start_pts = self._next_pts
        if start_pts is None:
            start_pts = self._origin_pts if self._origin_pts is not None else 0
        found = None
        if self._concealer.is_plausible_gap(count):
            found = self._concealer.frames(first, end, start_pts, after)
        if found is None:
            self.lost_frames.append((first, count))
            return
        yield from found

    def _reconstruct(self, clip: Clip, values: np.ndarray) -> np.ndarray:
        """The frames of a clip (T, H, W, 3) uint8 from its decoded integers."""
        clip = fill.replace(clip, self._fill)
        check_memory(clip, self.preamble.header, available_memory())
        return reconstruct_clip(clip, values, self.preamble.header, self.preamble.steps, self._loaded)

    def _record_origin(self, number: int, origin: Origin) -> None:
        """Record a frame that does not come from an intact clip."""
        if origin == Origin.DECODED:
            return
        runs = self.lost_frames if origin == Origin.REPEATED else self.salvaged
        if runs and sum(runs[-1]) == number:
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        else:
            runs.append((number, 1))
