"""Reads a video: frames as RGB arrays with exact timestamps, and the metadata of the container."""

from __future__ import annotations

import contextlib
import dataclasses
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
from dfccodec.media.cfr import FrameRate, parse_rate, to_constant_rate
from dfccodec.media.colour import CONVERT, SCALE
from dfccodec.media.decode_errors import describe_error
from dfccodec.media.input.completeness import count_missing_bytes
from dfccodec.media.input.container_crop import crop_frames, read_margins
from dfccodec.media.input.deinterlace import deinterlace_frames
from dfccodec.media.input.diagnosis import MOOV_AT_END, diagnose
from dfccodec.media.input.open_input import (
    IndependentReader,
    PipeInput,
    display_name,
    is_single_pass,
    open_input,
    open_pipe,
)
from dfccodec.media.input.packet_decoder import PacketDecoder
from dfccodec.media.input.probe import (
    SUPPORTED_MATRICES,
    UNSPECIFIED,
    conformed_info,
    picture_notes,
    read_clock,
    read_info,
    scaled_info,
    uncarried_stream_notes,
)
from dfccodec.media.input.structure.monitor import StructureMonitor
from dfccodec.media.input.timestamps import IncreasingTimestamps
from dfccodec.media.input.tracks import Tracks, choose_streams, read_title
from dfccodec.media.input.video_stream import choose_video_stream, early_end_note, last_frame_end
from dfccodec.media.orientation import read_orientation
from dfccodec.media.picture import Picture
from dfccodec.media.scale import Size, centre_crop, fit_size, parse_size
from dfccodec.media.time_range import RangeCursor, Span

_MIN_SEEK_SECONDS = 5
"""Minimum start of a range in seconds for which seeking is faster than decoding from the beginning."""
_MAX_AUDIO_LAG = 5
"""Maximum delay in seconds of audio packets after video packets of the same time in a stream."""
_CLOSE_TIMEOUT = 1.0
"""Maximum time in seconds that closing waits for a thread that reads."""


class VideoSource:
    """Iterate over the frames of a video.

    Args:
        source: a path, which may be a named pipe, or a binary stream, which need not be seekable. Text is a path too.
        audio, subtitles: whether :meth:`tracks` carries them.
        span: range of frames to read; timestamps count from its first frame.
        size: size to scale to: `480` (short side) or `640x360`.
        crop: part of the scaled picture to take from its centre: `256x256`, or `256` for a square.
        fps: frames per second to convert to: frames are repeated or left out; None keeps the frames of the source.
        video: index of the video stream, from 0; None chooses the best one that is not a cover picture.
        tags: whether `info` has the tags of the source, such as the title or the place; it has its chapters anyway.

    Attributes:
        info: metadata of the video.
        notes: messages for the user on what is discarded or damaged.

    Raises:
        InputError: the source cannot be opened, has no video, or no frame decodes.
        UsageError: the range contains no frame.
    """

    def __init__(
        self,
        source: str | Path | BinaryIO,
        audio: bool = True,
        subtitles: bool = True,
        span: Span = Span(),
        size: Size | None = None,
        video: int | None = None,
        crop: Size | None = None,
        fps: FrameRate | None = None,
        tags: bool = True,
    ) -> None:
        wanted, self._fps = None if size is None else parse_size(size), None if fps is None else parse_rate(fps)
        source = Path(source) if isinstance(source, str) else source
        if crop is not None:
            parse_size(crop)  # a typing error is reported before the source is opened
        self._busy, self._closed = threading.Lock(), False
        self._source, self._name, self._kinds = source, display_name(source), (audio, subtitles)
        # The audio of a pipe is taken from the same read. For other sources it is read separately, when needed.
        self._owned = open_pipe(source) if isinstance(source, Path) and is_single_pass(source) else None
        once = self._owned or (source if not isinstance(source, Path) and is_single_pass(source) else None)
        self._pipe = PipeInput(once) if once else None
        self._container = open_input(self._pipe or source)
        try:
            self._stream = choose_video_stream(self._container, video, self._name)
        except BaseException:
            self._container.close()
            raise
        # With frame threads, ffmpeg loses the frames in progress when a packet does not decode.
        self._stream.thread_type = "SLICE"
        self.notes = uncarried_stream_notes(self._container, self._stream, audio, subtitles, video is None)
        self._open_tracks = partial(Tracks, notes=self.notes, video_index=self._stream.index)
        self._pipe_tracks = self._open_tracks(self._container, audio, subtitles) if self._pipe else None
        self._structure = self._pipe.structure if self._pipe else StructureMonitor(self._open_bytes)
        self._span, self._frame_count = span, 0
        self._ended_early = False  # whether the source ends earlier than its container states
        self._range_ended = False  # whether the range ended before the source
        self._rate, self._time_base = read_clock(self._container, self._stream)
        self._decoder = PacketDecoder(
            self._stream, self._container.format.name, self._rate, self.notes, self._structure
        )
        self._frame_duration = max(1, round(1 / (self._rate * self._time_base))) if self._rate else 1
        self._timestamps = IncreasingTimestamps(self._time_base, self._frame_duration, self._name, self.notes.append)
        self._margins = read_margins(self._container, self._stream, self.notes)
        self._origin = self._seek_to_start()
        self._structure.has_seeked = self._origin is not None
        self._selected = self._select_frames()
        first, begin = self._read_first()
        bytes_ = source.stat().st_size if isinstance(source, Path) and source.exists() else 0
        self._first: tuple[VideoFrame, int] | None = (first, begin)
        self._zero_pts = 0 if span.unlimited else begin
        self._start = self._zero_pts * self._time_base
        carried = choose_streams(self._container, audio, subtitles, self._stream.index)
        extra_tags = [
            *chapters.to_tags(self._chapters()),
            *track_titles.to_tags({s.index: read_title(s) for s in carried}),
        ]
        extra_tags += loops.to_tags(self._read_head()) if self._container.format.name in ("gif", "apng") else []
        info = read_info(self._container, self._stream, first, bytes_, (self._rate, self._time_base), extra_tags)
        self.info = info if tags else dataclasses.replace(info, tags=tuple(extra_tags))
        if self._pipe_tracks:
            self._pipe_tracks.set_range(self._start, span.has_end, self._timestamps.splices)
        if max(first.width, first.height) > MAX_SIDE or first.width * first.height > MAX_PIXELS:
            size = f"{first.width}×{first.height}"
            raise InputError(f"{self._name} is {size}: over {MAX_PIXELS} pixels, or {MAX_SIDE} a side; scale it down")

        self.notes += picture_notes(first, self._stream)
        self._mirrored = read_orientation(first)[1]
        if len(self._container.chapters()) > chapters.MAX_CHAPTERS:
            self.notes.append(f"chapters after the first {chapters.MAX_CHAPTERS} are discarded")
        self._picture_size = self.info.width, self.info.height
        self._coded_size, self._resized = (first.width, first.height), False
        if wanted:
            self.info = scaled_info(self.info, fit_size(self._picture_size, wanted, self.info.rotation))
        self._scaled_size = self.info.width, self.info.height
        self._crop = None if crop is None else centre_crop(self._scaled_size, crop, self.info.rotation)
        self.info = conformed_info(self.info, self._crop, self._fps)

    def __enter__(self) -> VideoSource:
        return self

    def tracks(self) -> Tracks:
        """Return audio and subtitles, synchronized with the video; close it after use. For a pipe, always the same."""
        splices = self._timestamps.splices
        return self._pipe_tracks or self._open_tracks(
            self._source, *self._kinds, self._start, self._span.has_end, splices
        )

    def _seek_to_start(self) -> int | None:
        """Seek to the last key frame before a late range; return the first timestamp of the video, None if not done."""
        start, end, first = self._span.start, self._span.end, self._stream.start_time
        counted = start.frame is not None or (end is not None and end.frame is not None)
        fit = {"matroska", "mov"} & set(self._container.format.name.split(","))
        if self._pipe_tracks or counted or start.seconds < _MIN_SEEK_SECONDS or first is None or not fit:
            return None
        target = first + int(start.seconds / self._time_base)
        self._container.seek(target, stream=self._stream)
        packet = next(self._container.demux(self._stream), None)
        # If the key frame is after the target, frames would be lost: decode from the beginning instead.
        early = packet is not None and packet.pts is not None and packet.pts <= target and packet.is_keyframe
        self._container.seek(target if early else first, stream=self._stream)
        return first if early else None

    def _read_first(self) -> tuple[VideoFrame, int]:
        """Return the first frame of the range and its timestamp."""
        first = next(self._selected, None)
        if first is not None:
            return first
        self._container.close()
        if self._frame_count:
            raise UsageError(
                f"the range contains no frame of {self._name}: it begins after the end of the video, or it is too "
                "short; change --start, --end or --duration"
            )
        if what := diagnose(self._pipe or self._source, self._name):
            raise InputError(what)
        why = (
            f": {self._decoder.first_error}{self._pipe_hint()}"
            if self._decoder.first_error
            else ": check that the file is complete"
        )
        raise InputError(f"no frame of {self._name} decodes{why}")

    def _chapters(self) -> list[chapters.Chapter]:
        found = [
            chapters.Chapter(c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"].get("title", ""))
            for c in self._container.chapters()
            if c["time_base"] is not None
        ]
        length = self._span.duration.seconds if self._span.duration and self._span.duration.frame is None else None
        return (
            chapters.trim_chapters(found, self._start, length and self._start + length)
            if self._start or length
            else found
        )

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        # A thread may wait forever for data from a pipe. Then nothing can be closed.
        if self._busy.acquire(timeout=_CLOSE_TIMEOUT):
            self._closed = True
            self._container.close()
            if self._owned:
                self._owned.close()
            self._busy.release()

    def _decode(self) -> Iterator[VideoFrame]:
        passing = self._pipe_tracks
        self._packets = self._container.demux(self._stream, *(passing.chosen if passing else ()))
        while True:
            with self._busy:
                packet = None if self._closed else self._next_packet()
                if packet is None:
                    self._note_early_end()
                    return
                own = packet.stream.index == self._stream.index  # the last packet, which is empty, has no stream index
                frames = self._decoder.decode(packet) if own else []
                if passing and not own and packet.size:
                    passing.put(packet)
            yield from frames

    def _next_packet(self) -> AvPacket[Any] | None:
        try:
            packet = next(self._packets, None)
        except IndexError:  # bug of PyAV 18 at the end of a source in which ffmpeg found a stream after opening
            packet = None
        except av.error.FFmpegError as error:
            self._raise_pipe_error()
            raise InputError(f"cannot read {self._name}: {describe_error(error)}{self._pipe_hint()}") from None
        if packet is None or not packet.size:
            self._raise_pipe_error()
        return packet

    def _raise_pipe_error(self) -> None:
        if self._pipe:
            self._pipe.check()

    def _pipe_hint(self) -> str:
        mp4 = self._pipe_tracks and "mov" in self._container.format.name.split(",")
        return f"; {MOOV_AT_END}" if mp4 else ""

    def _note_early_end(self) -> None:
        """Append a note if the source ended earlier than its container states."""
        if self._closed:
            return
        if self._pipe:
            self._pipe.drain()
        self._decoder.finish(end=True)
        if self._origin is not None:  # not read from the beginning
            return
        last = self._timestamps.last
        end = Fraction(0) if last is None else (last + self._frame_duration) * self._time_base
        missing, structure = self._missing_bytes(), self._structure
        note = early_end_note(self._container, self._stream, self._decoder.packet_count, missing, end, structure)
        self._ended_early = bool(note)
        if note:
            self.notes.append(note)

    def _missing_bytes(self) -> int:
        if self._pipe:
            return self._pipe.missing_bytes
        with contextlib.suppress(OSError), self._open_bytes() as stream:
            return count_missing_bytes(stream) if stream else 0
        return 0

    def _read_head(self) -> bytes:
        if self._pipe:
            return self._pipe.head
        with contextlib.suppress(OSError), self._open_bytes() as stream:
            return stream.read(loops.HEAD_BYTES) if stream else b""
        return b""

    @contextlib.contextmanager
    def _open_bytes(self) -> Iterator[BinaryIO | None]:
        """Open the bytes of the source from the beginning; None for an image sequence."""
        if not isinstance(self._source, Path):
            yield cast(BinaryIO, IndependentReader(self._source))
        elif self._source.is_file():
            with self._source.open("rb") as stream:
                yield stream
        else:
            yield None

    def _filtered_frames(self) -> Iterator[VideoFrame]:
        try:
            whole = deinterlace_frames(self._decode(), self._time_base, self.notes.append)
            yield from crop_frames(whole, self._margins, self._time_base)
        except av.error.FFmpegError as error:
            raise InputError(f"cannot deinterlace or crop {self._name}: {describe_error(error)}") from None

    def _select_frames(self) -> Iterator[tuple[VideoFrame, int]]:
        """Yield the frames of the range, each with its timestamp."""
        window = RangeCursor(self._span)
        origin = self._origin
        for frame, pts in self._timestamps.assign(self._filtered_frames()):
            origin = pts if origin is None else origin
            self._frame_count += 1
            if window.contains(self._frame_count - 1, (pts - origin) * self._time_base):
                yield frame, pts
            elif window.ended:
                self._range_ended = True
                self._decoder.finish(end=False)
                self._drain_audio(pts * self._time_base)
                return

    def _drain_audio(self, end: Fraction) -> None:
        """Read a pipe's audio up to `end` seconds. In the stream it may come after the video of the same time."""
        passing = self._pipe_tracks
        waiting = {s.index for s in passing.chosen if s.type == "audio"} if passing else set()
        while passing and waiting:
            with self._busy:
                packet = None if self._closed else self._next_packet()
            if packet is None or not packet.size:
                return
            stamp = packet.dts if packet.pts is None else packet.pts
            shift = self._timestamps.splices[-1].shift if self._timestamps.splices else 0
            seconds = end if stamp is None else stamp * Fraction(packet.time_base) + shift
            if packet.stream.index != self._stream.index:
                passing.put(packet)
                waiting -= {packet.stream.index} if seconds >= end else set()
            elif seconds > end + _MAX_AUDIO_LAG:
                return

    def _frames(self) -> Iterator[tuple[VideoFrame, int]]:
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        yield from self._selected

    def __iter__(self) -> Iterator[Picture]:
        """Yield frames in display order with increasing timestamps. A duration is the distance to the next frame."""
        frames = self._source_frames()
        return frames if self._fps is None else to_constant_rate(frames, self._time_base, self._fps)

    def _source_frames(self) -> Iterator[Picture]:
        held: tuple[np.ndarray, int] | None = None
        step = last_duration = self._frame_duration
        for frame, pts in self._frames():
            if held is not None:
                step = pts - held[1]
                yield Picture(held[0], held[1] - self._zero_pts, step)
            held = self._rgb(frame), pts
            if frame.pts is not None and frame.duration:
                last_duration = round(frame.duration * Fraction(frame.time_base or self._time_base) / self._time_base)
            else:
                last_duration = step
        if held is not None:
            if not self._ended_early and not self._range_ended:
                last_duration = max(
                    last_duration, last_frame_end(self._container, self._stream, self._time_base) - held[1]
                )
            yield Picture(held[0], held[1] - self._zero_pts, max(1, last_duration))

    def _rgb(self, frame: VideoFrame) -> np.ndarray:
        # A stream may change its size. All frames are scaled to the size of the first.
        size = self._scaled_size
        if (frame.width, frame.height) != self._coded_size and not self._resized:
            self._resized = True
            self.notes.append(
                f"the picture size changes to {frame.width}×{frame.height}: scaled to the size of the first frame"
            )
        how = CONVERT if size == self._picture_size else SCALE
        if int(frame.colorspace) not in SUPPORTED_MATRICES:
            frame.colorspace = UNSPECIFIED
        try:
            made = frame.reformat(*size, format="rgb24", interpolation=how).to_ndarray()
        except (av.error.FFmpegError, ValueError) as error:
            raise InputError(f"cannot convert a frame of {self._name} to RGB: {describe_error(error)}") from None
        made = made[:, ::-1] if self._mirrored else made
        return np.ascontiguousarray(made if self._crop is None else made[self._crop])
