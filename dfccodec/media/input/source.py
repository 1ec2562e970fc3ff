"""Reading video: frames as RGB arrays with exact timestamps, and what the container says of them."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

import av
import numpy as np
from av.packet import Packet as AvPacket
from av.video.frame import VideoFrame

from dfccodec.errors import InputError, UsageError
from dfccodec.limits import MAX_PIXELS, MAX_SIDE
from dfccodec.media import chapters, loops, track_titles
from dfccodec.media.colour import CONVERT, SCALE
from dfccodec.media.decode_errors import DecodeErrorCounter, reason
from dfccodec.media.input.completeness import missing_bytes
from dfccodec.media.input.container_crop import cropped, margins
from dfccodec.media.input.deinterlace import deinterlaced
from dfccodec.media.input.diagnosis import INDEX_LAST, diagnosis
from dfccodec.media.input.gaps import Gaps
from dfccodec.media.input.open_input import IndependentReader, PipeInput, name_of, open_input, open_once, read_once
from dfccodec.media.input.probe import MATRICES, UNSPECIFIED, clock, described, left_out, picture_notes, scaled_info
from dfccodec.media.input.timestamps import RisingTimes
from dfccodec.media.input.tracks import Tracks, choose, title_of
from dfccodec.media.input.video_stream import choose_picture, ended_early, last_end
from dfccodec.media.orientation import orientation
from dfccodec.media.picture import Picture
from dfccodec.media.scale import fitted, parse_size
from dfccodec.media.time_range import RangeCursor, Span

_SEEK_FROM = 5
"""Seconds from which on it pays to seek to the beginning of a range."""
_LAG = 5
"""Seconds by which sound may come after pictures of the same time in a stream."""
_PATIENCE = 1.0
"""Seconds to wait with closing for whoever reads."""


class VideoSource:
    """Iterate over the frames of a video.

    Args:
        source: a path, which may be a named pipe, or a binary stream that need not seek.
        audio, subtitles: which of them :meth:`tracks` shall carry.
        span: the frames wanted; with a range, time counts from the first of them.
        size: scale to this: `480`, the short side, or `640x360`.
        video: which of several video streams, counted from 0; None takes the first that is no cover picture.

    Attributes:
        info: what the video says of itself.
        notes: lines for people on what is left out.

    Raises:
        InputError: nothing PyAV opens, no video in it, or not one frame that decodes.
        UsageError: no frame is in the range.
    """

    def __init__(
        self,
        source: Path | BinaryIO,
        audio: bool = True,
        subtitles: bool = True,
        span: Span = Span(),
        size: str | None = None,
        video: int | None = None,
    ) -> None:
        wanted = parse_size(size) if size else None
        self._busy, self._closed = threading.Lock(), False
        self._source, self._name, self._choice = source, name_of(source), (audio, subtitles)
        # Sound of a pipe has to be taken as it passes; of anything else it is read on its own, when it is wanted.
        self._owned = open_once(source) if isinstance(source, Path) and read_once(source) else None
        once = self._owned or (source if not isinstance(source, Path) and read_once(source) else None)
        self._feed = PipeInput(once) if once else None
        self._container = open_input(self._feed or source)
        try:
            self._stream = choose_picture(self._container, video, self._name)
        except BaseException:
            self._container.close()
            raise
        # Threads of ffmpeg's by frame lose the frames that are in the making when a packet does not decode.
        self._stream.thread_type = "SLICE"
        self.notes = left_out(self._container, self._stream, audio, subtitles, video is None)
        self._taken = partial(Tracks, notes=self.notes, picture=self._stream.index)
        self._passing = self._taken(self._container, audio, subtitles) if self._feed else None
        self._broken = DecodeErrorCounter(self.notes)
        rereads = "matroska" in self._container.format.name.split(",") and not self._feed
        self._gaps = Gaps(self._broken, self._stream.start_time, self._reread if rereads else None)
        self._span, self._seen, self._packets_seen = span, 0, 0
        self._short = False  # whether the source ends before its container says
        self._window_over = False  # whether the range ends before the source does
        self._rate, self._time_base = clock(self._container, self._stream)
        self._nominal = max(1, round(1 / (self._rate * self._time_base))) if self._rate else 1
        self._times = RisingTimes(self._time_base, self._nominal, self._name, self.notes.append)
        self._margins = margins(self._container, self._stream, self.notes)
        self._origin = self._sought()
        self._chosen = self._choose()
        first, begin = self._begin()
        bytes_ = source.stat().st_size if isinstance(source, Path) and source.exists() else 0
        self._first: tuple[VideoFrame, int] | None = (first, begin)
        self._zero = 0 if span.whole else begin
        self._start = self._zero * self._time_base
        carried = choose(self._container, audio, subtitles, self._stream.index)
        named = [*chapters.to_tags(self._chapters()), *track_titles.to_tags({s.index: title_of(s) for s in carried})]
        named += loops.to_tags(self._head()) if self._container.format.name in ("gif", "apng") else []
        self.info = described(self._container, self._stream, first, bytes_, (self._rate, self._time_base), named)
        if self._passing:
            self._passing.follow(self._start, span.ends, self._times.splices)
        if max(first.width, first.height) > MAX_SIDE or first.width * first.height > MAX_PIXELS:
            size = f"{first.width}×{first.height}"
            raise InputError(f"{self._name} is {size}: over {MAX_PIXELS} pixels, or {MAX_SIDE} a side; scale it down")

        self.notes += picture_notes(first, self._stream)
        self._mirrored = orientation(first)[1]
        if len(self._container.chapters()) > chapters.MOST:
            self.notes.append(f"chapters after the first {chapters.MOST} are left out")
        self._same = self.info.width, self.info.height
        self._coded, self._resized = (first.width, first.height), False
        if wanted:
            self.info = scaled_info(self.info, fitted(self._same, wanted, self.info.rotation))

    def __enter__(self) -> VideoSource:
        return self

    def tracks(self) -> Tracks:
        """Sound and subtitles, in step with the pictures; close it when done. Of a pipe there is only one."""
        splices = self._times.splices
        return self._passing or self._taken(self._source, *self._choice, self._start, self._span.ends, splices)

    def _sought(self) -> int | None:
        """Go to the last key frame before a range that begins far on; returns the timestamp of the video's first."""
        start, end, first = self._span.start, self._span.end, self._stream.start_time
        counted = start.frame is not None or (end is not None and end.frame is not None)
        fit = {"matroska", "mov"} & set(self._container.format.name.split(","))
        if self._passing or counted or start.seconds < _SEEK_FROM or first is None or not fit:
            return None
        target = first + int(start.seconds / self._time_base)
        self._container.seek(target, stream=self._stream)
        packet = next(self._container.demux(self._stream), None)
        # A key frame behind the target would lose frames: then everything is decoded from the front.
        early = packet is not None and packet.pts is not None and packet.pts <= target and packet.is_keyframe
        self._container.seek(target if early else first, stream=self._stream)
        return first if early else None

    def _begin(self) -> tuple[VideoFrame, int]:
        """The first frame wanted and its timestamp."""
        first = next(self._chosen, None)
        if first is not None:
            return first
        self._container.close()
        if self._seen:
            raise UsageError(f"no frame of {self._name} is in the range: it ends before, or the range does")
        if what := diagnosis(self._feed or self._source, self._name):
            raise InputError(what)
        why = f": {self._broken.why}{self._hint()}" if self._broken.why else ": is it complete?"
        raise InputError(f"no frame of {self._name} decodes{why}")

    def _chapters(self) -> list[chapters.Chapter]:
        found = [
            chapters.Chapter(c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"].get("title", ""))
            for c in self._container.chapters()
            if c["time_base"] is not None
        ]
        length = self._span.duration.seconds if self._span.duration and self._span.duration.frame is None else None
        return chapters.moved(found, self._start, length and self._start + length) if self._start or length else found

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        # Who reads in a thread may be waiting for a pipe that will never give: then there is nothing to be closed.
        if self._busy.acquire(timeout=_PATIENCE):
            self._closed = True
            self._container.close()
            if self._owned:
                self._owned.close()
            self._busy.release()

    def _decode(self) -> Iterator[VideoFrame]:
        passing = self._passing
        self._packets = self._container.demux(self._stream, *(passing.chosen if passing else ()))
        while True:
            with self._busy:
                packet = None if self._closed else self._next()
                if packet is None:
                    self._ended()
                    return
                own = packet.stream.index == self._stream.index  # a last, empty packet has no number of its own
                frames = self._decoded(packet) if own else []
                if passing and not own and packet.size:
                    passing.put(packet)
            yield from frames

    def _next(self) -> AvPacket[Any] | None:
        try:
            packet = next(self._packets, None)
        except IndexError:  # of PyAV 18, at the end of a source in which ffmpeg has found one more stream on the way
            packet = None
        except av.error.FFmpegError as error:
            self._check()
            raise InputError(f"cannot read {self._name}: {reason(error)}{self._hint()}") from None
        if packet is None or not packet.size:
            self._check()
        return packet

    def _check(self) -> None:
        if self._feed:
            self._feed.check()

    def _hint(self) -> str:
        mp4 = self._passing and "mov" in self._container.format.name.split(",")
        return f"; {INDEX_LAST}" if mp4 else ""

    def _decoded(self, packet: AvPacket[Any]) -> list[VideoFrame]:
        """The frames of a packet; one that does not decode is passed over and noted, as players do."""
        self._packets_seen += bool(packet.size)
        if packet.size:
            self._gaps.add(packet)
        if packet.is_corrupt:
            self._broken.cut()
            self._gaps.damage()
        try:
            frames = self._stream.decode(packet)
            for frame in frames:
                if frame.is_corrupt:
                    self._broken.damaged()
                    self._gaps.damage()
            return frames
        except av.error.FFmpegError as error:
            if packet.size:
                self._broken.add(reason(error))
                self._gaps.damage()
            return []

    def _ended(self) -> None:
        """The source has ended: whether where its container says."""
        if self._closed or self._origin is not None:  # somebody has closed it, or its beginning was not read
            return
        end = Fraction(0) if self._times.last is None else (self._times.last + self._nominal) * self._time_base
        note = ended_early(self._container, self._stream, self._packets_seen, self._missing_bytes(), end)
        self._short = bool(note)
        if note:
            self.notes.append(note)

    def _missing_bytes(self) -> int:
        if self._feed:
            return self._feed.missing_bytes
        with contextlib.suppress(OSError), self._reread() as stream:
            return missing_bytes(stream) if stream else 0
        return 0

    def _head(self) -> bytes:
        if self._feed:
            return self._feed.head
        with contextlib.suppress(OSError), self._reread() as stream:
            return stream.read(loops.HEAD) if stream else b""
        return b""

    @contextlib.contextmanager
    def _reread(self) -> Iterator[BinaryIO | None]:
        """The source's bytes from the beginning; None for a series of pictures."""
        if not isinstance(self._source, Path):
            yield cast(BinaryIO, IndependentReader(self._source))
        elif self._source.is_file():
            with self._source.open("rb") as stream:
                yield stream
        else:
            yield None

    def _whole(self) -> Iterator[VideoFrame]:
        try:
            whole = deinterlaced(self._decode(), self._time_base, self.notes.append)
            yield from cropped(whole, self._margins, self._time_base)
        except av.error.FFmpegError as error:
            raise InputError(f"cannot deinterlace or crop {self._name}: {reason(error)}") from None

    def _choose(self) -> Iterator[tuple[VideoFrame, int]]:
        """The frames of the range."""
        window = RangeCursor(self._span)
        origin = self._origin
        for frame, pts in self._times.rising(self._whole()):
            origin = pts if origin is None else origin
            self._seen += 1
            if window.holds(self._seen - 1, (pts - origin) * self._time_base):
                yield frame, pts
            elif window.over:
                self._window_over = True
                self._drain_audio(pts * self._time_base)
                return

    def _drain_audio(self, end: Fraction) -> None:
        """Take the sound of a pipe up to `end` seconds: it may stand behind pictures of that time."""
        passing = self._passing
        waiting = {s.index for s in passing.chosen if s.type == "audio"} if passing else set()
        while passing and waiting:
            with self._busy:
                packet = None if self._closed else self._next()
            if packet is None or not packet.size:
                return
            stamp = packet.dts if packet.pts is None else packet.pts
            shift = self._times.splices[-1].shift if self._times.splices else 0
            seconds = end if stamp is None else stamp * Fraction(packet.time_base) + shift
            if packet.stream.index != self._stream.index:
                passing.put(packet)
                waiting -= {packet.stream.index} if seconds >= end else set()
            elif seconds > end + _LAG:
                return

    def _frames(self) -> Iterator[tuple[VideoFrame, int]]:
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        yield from self._chosen

    def __iter__(self) -> Iterator[Picture]:
        """Frames in order of display. A duration is the distance to the next frame; timestamps always rise."""
        held: tuple[np.ndarray, int] | None = None
        step = last_duration = self._nominal
        for frame, pts in self._frames():
            if held is not None:
                step = pts - held[1]
                yield Picture(held[0], held[1] - self._zero, step)
            held = self._rgb(frame), pts
            if frame.pts is not None and frame.duration:
                last_duration = round(frame.duration * Fraction(frame.time_base or self._time_base) / self._time_base)
            else:
                last_duration = step
        if held is not None:
            if not self._short and not self._window_over:
                last_duration = max(last_duration, last_end(self._container, self._stream, self._time_base) - held[1])
            yield Picture(held[0], held[1] - self._zero, max(1, last_duration))

    def _rgb(self, frame: VideoFrame) -> np.ndarray:
        # A stream may change size on the way; the file has one size, the first frame's.
        size = self.info.width, self.info.height
        if (frame.width, frame.height) != self._coded and not self._resized:
            self._resized = True
            self.notes.append(
                f"the picture changes its size on the way, to {frame.width}×{frame.height}: scaled to the first one's"
            )
        how = CONVERT if size == self._same else SCALE
        if int(frame.colorspace) not in MATRICES:
            frame.colorspace = UNSPECIFIED
        try:
            made = frame.reformat(*size, format="rgb24", interpolation=how).to_ndarray()
        except (av.error.FFmpegError, ValueError) as error:
            raise InputError(f"cannot convert a frame of {self._name} to RGB: {reason(error)}") from None
        return np.ascontiguousarray(made[:, ::-1]) if self._mirrored else made


def standard_input() -> BinaryIO:
    """The binary stream behind `-`, without a buffer: Python cannot end while a thread waits for one."""
    return cast(BinaryIO, open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))
