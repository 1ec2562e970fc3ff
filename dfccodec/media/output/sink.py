"""Writing video: RGB arrays with timestamps into any container PyAV can write, or y4m into a pipe."""

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
from dfccodec.media.output.clock import ConstantRate, avi_rate, start_of, usual_rate
from dfccodec.media.output.encoders import OPTIONS, matrix_of, picture_format
from dfccodec.media.output.format import check_output, fitting_tags, muxer_options, nominal_rate
from dfccodec.media.output.mux import TrackMuxer
from dfccodec.media.output.output_stream import Pipe
from dfccodec.media.packet_trim import earlier

_MUTE = ("yuv4mpegpipe", "gif", "image2")
"""Containers of pictures alone."""
_SHAPED = ("mp4", "mov", "gif", "yuv4mpegpipe")
"""Containers that say the shape of a pixel; of others ffmpeg's muxers do where PyAV cannot reach."""
_SHAPED_CODECS = ("h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg")
"""Codecs whose own head says it."""
_RGB = 0
"""ffmpeg's number of no matrix."""


class VideoSink:
    """Write frames.

    Args:
        target: a path, or a binary stream that can `write` (then `format` is needed).
        header: geometry, time and colour of the video.
        format: ffmpeg's name of the container; `None` takes it from the path.
        codec: ffmpeg's name of an encoder; `None` takes a good one for the container.
        tags: of the work, chapters and titles of tracks among them.
        audio_codec: ffmpeg's name of an encoder that all sound is coded anew with; `None` copies it untouched.
        pix_fmt: ffmpeg's name of a kind of pixels; `None` takes the one that every player shows.
        name: of the output for messages, where `target` is a temporary one.

    Attributes:
        notes: lines for people on what the container cannot take.
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
        name = format or check_output(path)
        self._header = header
        self._coarse = name == "gif"  # a hundredth of a second is the least
        self._tagged = name in ("mp4", "mov") and header.rotation  # these say how to turn the picture, as phones do
        turned = header.rotation % 2 == 1 and not self._tagged
        aspect = Fraction(header.pixel_aspect.num, header.pixel_aspect.den)
        self._aspect = 1 / aspect if turned else aspect
        shaped = self._aspect if name == "yuv4mpegpipe" and aspect != 1 else None
        rate = avi_rate(nominal_rate(header.rate)) if name == "avi" else nominal_rate(header.rate)
        size = (header.height, header.width) if turned else (header.width, header.height)
        try:
            self._file = target.open("wb") if isinstance(target, Path) and shaped else None
            output = self._file if isinstance(target, Path) else target
            self._pipe = Pipe(output, shaped) if output is not None else None
            file: object = self._pipe or f"file:{target}"
            self._container = av.open(file, "w", format=name, options=muxer_options(name, tags))
            by_default = self._container.default_video_codec
            self._form = form = picture_format(name, path.suffix, codec, pix_fmt, size, by_default)
            codec = form.codec
            if codec == "libsvtav1":
                os.environ.setdefault("SVT_LOG", "1")  # errors alone: it goes on about itself otherwise
            stream = self._container.add_stream(codec, rate=rate, options=dict(OPTIONS.get(codec, {})))
        except UsageError:  # a ValueError too
            raise
        except (av.error.FFmpegError, OSError, ValueError, OverflowError) as error:
            raise UsageError(f"cannot write {name} video with encoder {codec or 'default'}: {error}") from None
        assert isinstance(stream, VideoStream)
        self._stream = stream
        # Containers without timestamps; avi may leave frames out, though.
        self._ticks = ConstantRate(rate, name == "avi") if name in ("yuv4mpegpipe", "avi") else None
        with self._failing():
            self._configure(stream)
        self._base = Fraction(header.time_base.num, header.time_base.den)
        self._count, self._shown = 0, -1
        self._start: Fraction | None = None  # seconds that are 0 in the output; None before the first picture
        self._end = Fraction(0)
        self._last: VideoFrame | None = None
        self._durations: dict[int, int] = {}
        self._offset: int | None = None  # ticks from decoding to showing
        self._streams: dict[int, StreamInfo] = {}
        self._held: list[tuple[int, Sequence[Packet]]] = []  # what comes before the first picture
        self._single = Path(self._name or path) if name == "image2" and "%" not in path.name else None
        self._mute = name in _MUTE
        self._audio_codec = audio_codec
        named, self._tags = track_titles.from_tags(tags)
        self._tracks = TrackMuxer(self._container, audio_codec, named)
        self.notes = self._tracks.notes
        if form.note:
            self.notes.append(form.note)
        if aspect != 1 and not (name in _SHAPED or stream.codec.canonical_name in _SHAPED_CODECS):
            self.notes.append(
                f"pixels of {self._aspect.numerator}:{self._aspect.denominator} will show square: {name} with {codec} "
                "cannot say their shape; name an .mp4"
            )

    def _configure(self, stream: VideoStream) -> None:
        h, context = self._header, stream.codec_context
        stream.width, stream.height = self._form.width, self._form.height
        stream.pix_fmt = self._form.pixels
        if self._tagged:
            stream.set_display_rotation(-90 * h.rotation)
        context.sample_aspect_ratio = self._aspect
        if not self._ticks:
            context.time_base = Fraction(h.time_base.num, h.time_base.den)
        c = h.colour
        context.color_range = self._form.range
        context.color_primaries, context.color_trc = c.primaries, c.transfer
        context.colorspace = self._matrix() if self._form.is_yuv else _RGB

    def _tag(self, start: Fraction) -> None:
        found, others = chapters.from_tags(self._tags)
        kept, note = fitting_tags(others, self._container.format.name, nominal_rate(self._header.rate))
        self._container.metadata.update(kept)
        self.notes += [note] if note else []
        nano = Fraction(1, 10**9)
        self._container.set_chapters([
            {
                "id": number, "start": round(c.start / nano), "end": round(c.end / nano), "time_base": nano,
                "metadata": {"title": c.title} if c.title else {},
            }
            for number, c in enumerate(chapters.moved(found, start, None) if start else found, 1)
        ])  # fmt: skip

    def declare(self, info: StreamInfo) -> None:
        """Add a stream of sound or subtitles, before the first frame and packet.

        Raises:
            UsageError: the container cannot hold it.
        """
        if self._mute:
            name = self._container.format.name
            self.notes.append(f"{track_titles.name_of_track(info)} is left out: {name} has no room")
        elif self._start is not None:  # ffmpeg has written the head of the file
            self.notes.append(f"{track_titles.name_of_track(info)} is left out: declared too late")
        else:
            self._try(info)
            self._streams[info.id] = info

    def _try(self, info: StreamInfo) -> None:
        """Declare a stream in an output that is never written: what is refused is refused before any work."""
        with contextlib.closing(av.open(io.BytesIO(), "w", format=self._container.format.name)) as scratch:
            TrackMuxer(scratch, self._audio_codec).declare(info)

    def packets(self, stream: int, packets: Sequence[Packet]) -> None:
        """Write packets of a stream that was declared; those before the first picture wait for it."""
        if stream not in self._streams:
            return
        if self._start is None:
            self._held.append((stream, packets))
            return
        if self._start:
            packets = [earlier(packet, self._streams[stream], self._start) for packet in packets]
        with self._failing():
            self._tracks.packets(stream, packets)

    def _begin(self, first: Fraction) -> None:
        """Everything that comes before the first picture, which begins at `first` seconds."""
        held, self._held = self._held, []
        known = ((self._streams[ident], packet) for ident, packets in held for packet in packets)
        tick = 1 / self._ticks.rate if self._ticks else Fraction(0)
        self._start = start_of(self._container.format.name, first, known, tick)
        if not self._mute:
            with self._failing():
                self._tag(self._start)
        for info in self._streams.values():
            mine = (packet for ident, packets in held if ident == info.id for packet in packets)
            self._tracks.declare(info, [earlier(packet, info, self._start) for packet in mine])
        for ident, packets in held:
            self.packets(ident, packets)

    def _matrix(self) -> int:
        """Matrix of the output: the source's where YUV has one, else unspecified (RGB sources, for one)."""
        codec, stream = self._stream.codec.canonical_name, self._stream
        return matrix_of(codec, self._container.format.name, self._header.colour.matrix, stream.height)

    def write(self, rgb: np.ndarray, pts: int, duration: int) -> None:
        """Encode a frame (H, W, 3) uint8; times in ticks of the header's time base.

        It is turned upright, unless the container says how to turn it; a GIF leaves out what comes too soon for it.
        """
        if self._single and self._count:
            raise UsageError(
                f"{self._single.name} is one picture, and the video has more: number them, as in "
                f"{self._single.with_stem('%05d').name}, or take one with --start TIME --duration '#1'"
            )
        if self._start is None:
            self._begin(pts * self._base)
        assert self._start is not None
        pts -= round(self._start / self._base)
        if self._coarse and not self._shows(pts):
            return
        if self._header.rotation and not self._tagged:
            rgb = np.rot90(rgb, -self._header.rotation)
        more = self._form.height - rgb.shape[0], self._form.width - rgb.shape[1]
        if any(more):
            rgb = np.pad(rgb, ((0, more[0]), (0, more[1]), (0, 0)), "edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        with self._failing():
            frame = self._converted(frame)
            if self._time(frame, pts, duration):
                self._count += 1
                self._mux(self._stream.encode(frame))

    def _converted(self, frame: VideoFrame) -> VideoFrame:
        """The frame in the encoder's kind of pixels."""
        if not self._form.is_yuv:
            return frame.reformat(format=self._form.pixels)
        matrix = self._matrix()
        return frame.reformat(
            format=self._form.pixels,
            dst_colorspace=matrix if matrix != 2 else None,
            dst_color_range=self._form.range,
            interpolation=CONVERT,
        )

    def _shows(self, pts: int) -> bool:
        """Whether a frame begins in another hundredth of a second than the one before."""
        before, self._shown = self._shown, round(100 * pts * self._base)
        return self._shown > before or not self._count

    def _time(self, frame: VideoFrame, pts: int, duration: int) -> bool:
        """Give a frame its time; False if it is to be left out."""
        self._end = (pts + duration) * self._base
        if self._ticks is None:
            frame.pts, frame.time_base, frame.duration = pts, self._base, duration
            if self._stream.codec_context.time_base == self._base:
                self._durations[pts] = duration
            return True
        said, place = self._ticks.uneven, self._ticks.place(pts * self._base)
        if place is None:
            return False
        frame.pts, frame.time_base = place, 1 / self._ticks.rate
        self._last = frame
        if self._ticks.uneven and not said:
            self.notes.append(
                f"frames come at uneven times, and {self._container.format.name} has one rate: "
                f"give --cfr {float(usual_rate(self._ticks.rate)):g} to keep the time"
            )
        return True

    def _mux(self, packets: list[AvPacket[VideoStream]], last: bool = False) -> None:
        """Write coded frames. Encoders give them the average duration; they get that of their pictures.

        With `last`, the last of them makes the video as long as it is: of frames in another order than shown, an mp4
        has times of decoding and nothing but the duration of the one that is coded last.
        """
        for number, packet in enumerate(packets, 1):
            base = packet.time_base
            if self._ticks is None and packet.pts is not None and packet.dts is not None and base == self._base:
                packet.duration = self._durations.pop(packet.pts, packet.duration)
                if self._offset is None:  # of the first frame, which is shown first, too
                    self._offset = packet.pts - packet.dts
                if last and number == len(packets):
                    packet.duration = max(packet.duration or 0, round(self._end / base) - packet.dts - self._offset)
            self._container.mux(packet)

    def _say_dropped(self) -> None:
        ticks = self._ticks
        if ticks and ticks.dropped:
            self.notes.append(
                f"{ticks.dropped} frames come too soon for the one rate of {self._container.format.name}, "
                f"{float(ticks.rate):g} frames/s, and are left out: name an .mkv or .mp4 to keep them"
            )

    def _fill_up(self) -> None:
        """Show the last picture as long as it lasts, where only frames can take up time: in avi."""
        frame, ticks = self._last, self._ticks
        if frame is not None and ticks and self._container.format.name == "avi" and ticks.missing(self._end):
            frame.pts = ticks.tick + ticks.missing(self._end)
            self._mux(self._stream.encode(frame))

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Give ffmpeg's errors their real reason."""
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            if self._pipe and self._pipe.error:
                raise self._pipe.error from None
            fix = "; free some space there, or name another output" if error.errno == errno.ENOSPC else ""
            if error.errno == errno.EINVAL and self._count <= 1:  # nothing is written yet: the encoder did not open
                size = f"{self._form.width}×{self._form.height}"
                fix = f"; {self._form.codec} does not take pictures of {size}, or their rate: another --codec may"
            what = self._name or "the video"
            raise DfcError(f"cannot write {what}: {error.strerror or error}{fix}") from None
        except OverflowError:  # a file's numbers may have 32 and 64 bits, ffmpeg's have 31 and 63
            raise DfcError("cannot write the video: its times or rates are out of ffmpeg's range") from None

    def close(self) -> None:
        """Flush the encoder and write the container's tail."""
        with self._failing():
            if self._count:
                self._fill_up()
                self._say_dropped()
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
            with contextlib.suppress(av.error.FFmpegError, OSError):  # the first error is the one to tell
                self._container.close()
            if self._file:
                self._file.close()


class TrackFilter:
    """A sink's tracks, those of some kinds only."""

    def __init__(self, sink: VideoSink, audio: bool = True, subtitles: bool = True) -> None:
        self._sink, self._kinds = sink, {0: audio, 1: subtitles, 2: True}

    def declare(self, info: StreamInfo) -> None:
        """As the sink's, for the kinds wanted."""
        if self._kinds[info.kind]:
            self._sink.declare(info)

    def packets(self, stream: int, packets: Sequence[Packet]) -> None:
        """As the sink's: it passes over streams that were not declared to it."""
        self._sink.packets(stream, packets)
