"""Writes a video: RGB arrays with timestamps into any container that PyAV can write, or y4m into a pipe."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import av
import numpy as np
from av.packet import Packet as AvPacket
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dfccodec.container.records import Header, Packet, StreamInfo
from dfccodec.errors import DfcError, UsageError
from dfccodec.media import chapters, track_titles
from dfccodec.media.colour import CONVERT
from dfccodec.media.output.clock import ConstantRate, avi_rate, output_start, suggested_rate
from dfccodec.media.output.encoders import ENCODER_OPTIONS, choose_picture_format, output_matrix
from dfccodec.media.output.format import container_for_path, muxer_options, nominal_rate, select_tags
from dfccodec.media.output.mux import TrackMuxer
from dfccodec.media.output.output_stream import OutputStream
from dfccodec.media.output.palette import PIXELS, PaletteFilter
from dfccodec.media.packet_trim import shift_earlier
from dfccodec.runtime.fork_garbage import keep_garbage_in_forks

_VIDEO_ONLY = ("yuv4mpegpipe", "gif", "image2")
"""Containers without audio and subtitles."""
_PIXEL_ASPECT_CONTAINERS = ("mp4", "mov", "gif", "yuv4mpegpipe")
"""Containers for which ffmpeg stores the pixel aspect ratio; PyAV cannot set it for others."""
_PIXEL_ASPECT_CODECS = ("h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg")
"""Codecs whose own header stores the pixel aspect ratio."""
_RGB = 0
"""Matrix code of RGB (identity)."""


class VideoSink:
    """Write frames.

    Args:
        target: a path, or a writable binary stream (which needs `format`).
        header: geometry, timing and colour of the video.
        format: ffmpeg's name of the container; None derives it from the path.
        codec: ffmpeg's name of a video encoder; None uses the default of the container.
        tags: metadata, including chapters and track titles.
        audio_codec: ffmpeg's name of an encoder for all audio; None copies it without re-encoding.
        pix_fmt: ffmpeg's name of a pixel format; None uses the most compatible one.
        name: name of the output for messages, if `target` is a temporary file.

    Attributes:
        notes: messages for the user on what the container cannot store.
    """

    def __init__(
        self,
        target: Path | BinaryIO,
        header: Header,
        format: str | None = None,
        codec: str | None = None,
        tags: Sequence[tuple[str, str]] = (),
        audio_codec: str | None = None,
        pix_fmt: str | None = None,
        name: str = "",
    ) -> None:
        self._name, path = name, Path(str(target))
        suffix = Path(name).suffix or path.suffix
        name = format or container_for_path(path)
        self._header = header
        self._is_gif = name == "gif"  # its time unit is 0.01 s
        self._stores_rotation = name in ("mp4", "mov") and header.rotation  # these store the rotation, as phones do
        turned = header.rotation % 2 == 1 and not self._stores_rotation
        aspect = Fraction(header.pixel_aspect.num, header.pixel_aspect.den)
        self._aspect = 1 / aspect if turned else aspect
        shaped = self._aspect if name == "yuv4mpegpipe" and aspect != 1 else None
        rate = avi_rate(nominal_rate(header.rate)) if name == "avi" else nominal_rate(header.rate)
        size = (header.height, header.width) if turned else (header.width, header.height)
        keep_garbage_in_forks()
        try:
            self._file = target.open("wb") if isinstance(target, Path) and shaped else None
            output = self._file if isinstance(target, Path) else target
            self._pipe = OutputStream(output, shaped) if output is not None else None
            file: object = self._pipe or f"file:{target}"
            self._container = av.open(file, "w", format=name, options=muxer_options(name, tags, suffix))
            by_default = self._container.default_video_codec
            self._format = form = choose_picture_format(name, path.suffix, codec, pix_fmt, size, by_default)
            codec = form.codec
            self._palette = PaletteFilter((form.width, form.height)) if form.pixels == PIXELS else None
            if codec == "libsvtav1":
                os.environ.setdefault("SVT_LOG", "1")  # errors only; by default it prints its settings
            stream = self._container.add_stream(codec, rate=rate, options=dict(ENCODER_OPTIONS.get(codec, {})))
        except UsageError:  # UsageError is also a ValueError
            raise
        except (av.error.FFmpegError, OSError, ValueError, OverflowError) as error:
            raise UsageError(f"cannot write {name} video with encoder {codec or 'default'}: {error}") from None
        assert isinstance(stream, VideoStream)
        self._stream = stream
        # Containers without timestamps. avi can skip frame numbers.
        self._constant_rate = ConstantRate(rate, name == "avi") if name in ("yuv4mpegpipe", "avi") else None
        with self._explain_errors():
            self._configure(stream)
        self._base = Fraction(header.time_base.num, header.time_base.den)
        self._frame_count, self._last_centisecond = 0, -1
        self._start: Fraction | None = None  # time that becomes 0 in the output; None before the first frame
        self._end = Fraction(0)
        self._last_frame: VideoFrame | None = None
        self._durations: dict[int, int] = {}
        self._decode_delay: int | None = None  # PTS minus DTS of the first packet
        self._streams: dict[int, StreamInfo] = {}
        self._held_packets: list[tuple[int, Sequence[Packet]]] = []  # packets before the first frame
        self._single_image = Path(self._name or path) if name == "image2" and "%" not in path.name else None
        self._video_only = name in _VIDEO_ONLY
        self._audio_codec = audio_codec
        named, self._tags = track_titles.from_tags(tags)
        self._tracks = TrackMuxer(self._container, audio_codec, named)
        self.notes = self._tracks.notes
        if form.note:
            self.notes.append(form.note)
        if aspect != 1 and not (
            name in _PIXEL_ASPECT_CONTAINERS or stream.codec.canonical_name in _PIXEL_ASPECT_CODECS
        ):
            self.notes.append(
                f"pixels of {self._aspect.numerator}:{self._aspect.denominator} will be displayed square: {name} with "
                f"{codec} cannot store the pixel aspect ratio; name an .mp4 to keep it"
            )

    def _configure(self, stream: VideoStream) -> None:
        h, context = self._header, stream.codec_context
        stream.width, stream.height = self._format.width, self._format.height
        stream.pix_fmt = self._format.pixels
        if self._stores_rotation:
            stream.set_display_rotation(-90 * h.rotation)
        context.sample_aspect_ratio = self._aspect
        if not self._constant_rate:
            context.time_base = Fraction(h.time_base.num, h.time_base.den)
        c = h.colour
        context.color_range = self._format.range
        context.color_primaries, context.color_trc = c.primaries, c.transfer
        context.colorspace = self._matrix() if self._format.is_yuv else _RGB

    def _write_tags(self, start: Fraction) -> None:
        found, others = chapters.from_tags(self._tags)
        kept, note = select_tags(others, self._container.format.name, nominal_rate(self._header.rate))
        self._container.metadata.update(kept)
        self.notes += [note] if note else []
        nano = Fraction(1, 10**9)
        self._container.set_chapters([
            {
                "id": number, "start": round(c.start / nano), "end": round(c.end / nano), "time_base": nano,
                "metadata": {"title": c.title} if c.title else {},
            }
            for number, c in enumerate(chapters.trim_chapters(found, start, None) if start else found, 1)
        ])  # fmt: skip

    def declare(self, info: StreamInfo) -> None:
        """Add an audio or subtitle stream, before the first frame and packet.

        Raises:
            UsageError: the container does not support it.
        """
        if self._video_only:
            name = self._container.format.name
            self.notes.append(f"{track_titles.track_label(info)} is discarded: {name} stores video only")
        elif self._start is not None:  # the header of the file is already written
            self.notes.append(f"{track_titles.track_label(info)} is discarded: it was declared too late")
        else:
            self._check_stream(info)
            self._streams[info.id] = info

    def _check_stream(self, info: StreamInfo) -> None:
        """Declare a stream in an output that is never written, to report errors before any work is done."""
        with contextlib.closing(av.open(io.BytesIO(), "w", format=self._container.format.name)) as scratch:
            TrackMuxer(scratch, self._audio_codec).declare(info)

    def packets(self, stream: int, packets: Sequence[Packet]) -> None:
        """Write packets of a declared stream; those before the first frame are held until it is written."""
        if stream not in self._streams:
            return
        if self._start is None:
            self._held_packets.append((stream, packets))
            return
        if self._start:
            packets = [shift_earlier(packet, self._streams[stream], self._start) for packet in packets]
        with self._explain_errors():
            self._tracks.packets(stream, packets)

    def _start_output(self, first: Fraction) -> None:
        """Write tags, streams and held packets. The first frame begins at `first` seconds."""
        held, self._held_packets = self._held_packets, []
        known = ((self._streams[ident], packet) for ident, packets in held for packet in packets)
        tick = 1 / self._constant_rate.rate if self._constant_rate else Fraction(0)
        self._start = output_start(self._container.format.name, first, known, tick)
        if not self._video_only:
            with self._explain_errors():
                self._write_tags(self._start)
        for info in self._streams.values():
            mine = (packet for ident, packets in held if ident == info.id for packet in packets)
            self._tracks.declare(info, [shift_earlier(packet, info, self._start) for packet in mine])
        for ident, packets in held:
            self.packets(ident, packets)

    def _matrix(self) -> int:
        """Return the colour matrix of the output: the source's if YUV has it, else unspecified."""
        codec, stream = self._stream.codec.canonical_name, self._stream
        return output_matrix(codec, self._container.format.name, self._header.colour.matrix, stream.height)

    def write(self, rgb: np.ndarray, pts: int, duration: int) -> None:
        """Encode a frame.

        Unless the container stores the rotation, the frame is turned upright. GIF discards a frame that is less than
        0.01 s after the previous one.

        Args:
            rgb: (H, W, 3) uint8.
            pts, duration: in units of the header's time base.
        """
        if self._single_image and self._frame_count:
            raise UsageError(
                f"{self._single_image.name} is a single picture, but the video has more: number them, as in "
                f"{self._single_image.with_stem('%05d').name}, or select one with --start TIME --duration '#1'"
            )
        if self._start is None:
            self._start_output(pts * self._base)
        assert self._start is not None
        pts -= round(self._start / self._base)
        if self._is_gif and not self._is_new_centisecond(pts):
            return
        if self._header.rotation and not self._stores_rotation:
            rgb = np.rot90(rgb, -self._header.rotation)
        more = self._format.height - rgb.shape[0], self._format.width - rgb.shape[1]
        if any(more):
            rgb = np.pad(rgb, ((0, more[0]), (0, more[1]), (0, 0)), "edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        with self._explain_errors():
            frame = self._convert(frame)
            if self._set_timestamp(frame, pts, duration):
                self._frame_count += 1
                self._mux(self._stream.encode(frame))

    def _convert(self, frame: VideoFrame) -> VideoFrame:
        """Convert a frame to the encoder's pixel format."""
        if self._palette is not None:
            return self._palette(frame)
        if not self._format.is_yuv:
            return frame.reformat(format=self._format.pixels)
        matrix = self._matrix()
        return frame.reformat(
            format=self._format.pixels,
            dst_colorspace=matrix if matrix != 2 else None,
            dst_color_range=self._format.range,
            interpolation=CONVERT,
        )

    def _is_new_centisecond(self, pts: int) -> bool:
        """Return whether a frame starts in a later 0.01 s than the previous frame."""
        before, self._last_centisecond = self._last_centisecond, round(100 * pts * self._base)
        return self._last_centisecond > before or not self._frame_count

    def _set_timestamp(self, frame: VideoFrame, pts: int, duration: int) -> bool:
        """Set the timestamp of a frame; return False if the frame must be discarded."""
        self._end = (pts + duration) * self._base
        if self._constant_rate is None:
            frame.pts, frame.time_base, frame.duration = pts, self._base, duration
            if self._stream.codec_context.time_base == self._base:
                self._durations[pts] = duration
            return True
        was_uneven, tick = self._constant_rate.uneven, self._constant_rate.assign(pts * self._base)
        if tick is None:
            return False
        frame.pts, frame.time_base = tick, 1 / self._constant_rate.rate
        self._last_frame = frame
        if self._constant_rate.uneven and not was_uneven:
            self.notes.append(
                f"frames come at uneven times, but {self._container.format.name} has a constant rate: "
                f"give --cfr {float(suggested_rate(self._constant_rate.rate)):g} to keep the timing"
            )
        return True

    def _mux(self, packets: list[AvPacket[VideoStream]], last: bool = False) -> None:
        """Write coded frames with the duration of their pictures; encoders set the average duration instead.

        If `last` is set, the last packet gets the duration that makes the video end correctly. If frames are reordered,
        mp4 stores only decoding times and the duration of the frame that is coded last.
        """
        for number, packet in enumerate(packets, 1):
            base = packet.time_base
            if self._constant_rate is None and packet.pts is not None and packet.dts is not None and base == self._base:
                packet.duration = self._durations.pop(packet.pts, packet.duration)
                if self._decode_delay is None:  # the first packet is also the first in display order
                    self._decode_delay = packet.pts - packet.dts
                if last and number == len(packets):
                    packet.duration = max(
                        packet.duration or 0, round(self._end / base) - packet.dts - self._decode_delay
                    )
            self._container.mux(packet)

    def _note_discarded(self) -> None:
        ticks = self._constant_rate
        if ticks and ticks.discarded:
            self.notes.append(
                f"{ticks.discarded} frames come too soon for the constant rate of {self._container.format.name}, "
                f"{float(ticks.rate):g} frames/s, and are discarded: name an .mkv or .mp4 to keep them"
            )

    def _repeat_last_frame(self) -> None:
        """Repeat the last frame at its end: in avi, a frame has no duration."""
        frame, ticks = self._last_frame, self._constant_rate
        if frame is not None and ticks and self._container.format.name == "avi" and ticks.frames_until(self._end):
            frame.pts = ticks.tick + ticks.frames_until(self._end)
            self._mux(self._stream.encode(frame))

    @contextlib.contextmanager
    def _explain_errors(self) -> Iterator[None]:
        """Replace ffmpeg's errors by errors that state the cause."""
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            if self._pipe and self._pipe.error:
                raise self._pipe.error from None
            hint = "; free some space there, or name another output" if error.errno == errno.ENOSPC else ""
            if error.errno == errno.EINVAL and self._frame_count <= 1:  # the encoder did not open
                size = f"{self._format.width}×{self._format.height}"
                hint = f"; {self._format.codec} may not support {size} or the frame rate: try another --codec"
            what = self._name or "the video"
            raise DfcError(f"cannot write {what}: {error.strerror or error}{hint}") from None
        except OverflowError:  # .dfc numbers have 32 and 64 bits, those of ffmpeg 31 and 63
            raise DfcError("cannot write the video: its timestamps or rates exceed ffmpeg's range") from None

    def close(self) -> None:
        """Flush the encoders and write the trailer of the container."""
        with self._explain_errors():
            if self._frame_count:
                self._repeat_last_frame()
                self._note_discarded()
                self._mux(self._stream.encode(None), last=True)
                self._tracks.finish()
            self._container.close()
            if self._file:
                self._file.close()

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            with contextlib.suppress(av.error.FFmpegError, OSError):  # the first error is reported
                self._container.close()
            if self._file:
                self._file.close()


class TrackFilter:
    """Passes only some kinds of tracks on to a sink."""

    def __init__(self, sink: VideoSink, audio: bool = True, subtitles: bool = True) -> None:
        self._sink, self._kinds = sink, {0: audio, 1: subtitles, 2: True}

    def declare(self, info: StreamInfo) -> None:
        """Declare a stream to the sink if its kind is enabled."""
        if self._kinds[info.kind]:
            self._sink.declare(info)

    def packets(self, stream: int, packets: Sequence[Packet]) -> None:
        """Write packets; the sink ignores those of undeclared streams."""
        self._sink.packets(stream, packets)
