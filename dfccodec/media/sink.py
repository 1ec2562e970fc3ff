"""Writing video: RGB arrays with timestamps into any container PyAV can write, or y4m into a pipe."""

from __future__ import annotations

import contextlib
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

from dfccodec.container.records import Header, Packet, Ratio, StreamInfo
from dfccodec.errors import DfcError, UsageError
from dfccodec.media import chapters, titles
from dfccodec.media.colour import CONVERT
from dfccodec.media.cut import earlier, not_negative
from dfccodec.media.encoders import CODECS, OPTIONS, encoder_named, matrix_of, pixel_format
from dfccodec.media.mux import TrackMuxer, name_of_track
from dfccodec.media.output_clock import ConstantRate, start_of
from dfccodec.media.pipe import Pipe

_SUFFIX_FORMATS = {".y4m": "yuv4mpegpipe", ".m4v": "mp4"}
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff", ".webp", ".exr")
_MUTE = ("yuv4mpegpipe", "gif", "image2")
"""Containers of pictures alone."""
_SHAPED = ("mp4", "mov", "gif", "yuv4mpegpipe")
"""Containers that say the shape of a pixel; of others ffmpeg's muxers do where PyAV cannot reach."""
_SHAPED_CODECS = ("h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg")
"""Codecs whose own head says it."""
_RGB = 0
"""ffmpeg's number of no matrix."""


def check_output(path: Path) -> str:
    """The ffmpeg format that a file's name asks for.

    Raises:
        UsageError: no container of video has that suffix.
    """
    suffix = path.suffix.lower()
    if suffix in _SUFFIX_FORMATS:
        return _SUFFIX_FORMATS[suffix]
    for name in ("mp4", "matroska", "mov", "webm", "avi", "gif", "mpegts", "nut"):
        extensions = av.format.ContainerFormat(name, "w").extensions
        if suffix.lstrip(".") in extensions:
            return name
    if suffix in _PICTURES:
        raise UsageError(
            f"single pictures are not written, and {suffix} is one: let ffmpeg make them of a pipe, "
            f"as in: dfc decode a.dfc -o - --format matroska | ffmpeg -i - '%04d{suffix}'"
        )
    raise UsageError(
        f"no video container ends in {suffix or 'nothing'!r}: name the output .mp4, .mkv, .mov, .webm or .y4m"
    )


_FASTEST = 1_000_000
"""Frames per second, or seconds per frame, that a header's rate is believed to mean."""


def _nominal(rate: Ratio) -> Fraction:
    """Frames per second to tell a container. The header's is for information only: one that cannot be is 25."""
    found = Fraction(rate.num, rate.den)
    return found if Fraction(1, _FASTEST) <= found <= _FASTEST else Fraction(25)


class VideoSink:
    """Write frames.

    Args:
        target: a path, or a binary stream that can `write` (then `format` is needed).
        header: geometry, time and colour of the video.
        format: ffmpeg's name of the container; `None` takes it from the path.
        codec: ffmpeg's name of an encoder; `None` takes a good one for the container.
        tags: of the work, chapters and titles of tracks among them.
        audio_codec: ffmpeg's name of an encoder that all sound is coded anew with; `None` copies it untouched.

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
    ) -> None:
        name = format or check_output(Path(str(target)))
        self._header = header
        self._coarse = name == "gif"  # a hundredth of a second is the least
        self._tagged = name in ("mp4", "mov") and header.rotation  # these say how to turn the picture, as phones do
        self._turned = header.rotation % 2 == 1 and not self._tagged
        aspect = Fraction(header.pixel_aspect.num, header.pixel_aspect.den)
        self._aspect = 1 / aspect if self._turned else aspect
        shaped = self._aspect if name == "yuv4mpegpipe" and aspect != 1 else None
        try:
            self._file = target.open("wb") if isinstance(target, Path) and shaped else None
            output = self._file if isinstance(target, Path) else target
            self._pipe = Pipe(output, shaped) if output is not None else None
            file: object = self._pipe or f"file:{target}"
            self._container = av.open(file, "w", format=name)
            encoder = encoder_named(codec or CODECS.get(name) or self._container.default_video_codec)
            codec = encoder.name
            self._pixels = pixel_format(encoder, bool(header.width % 2 or header.height % 2))
            self._range = 1 if self._pixels.startswith("yuv") and codec != "mjpeg" else 2  # limited or full
            rate = _nominal(header.rate)
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
        self._mute = name in _MUTE
        named, self._tags = titles.from_tags(tags)
        self._tracks = TrackMuxer(self._container, audio_codec, named)
        self.notes = self._tracks.notes
        if aspect != 1 and not (name in _SHAPED or stream.codec.canonical_name in _SHAPED_CODECS):
            self.notes.append(
                f"pixels of {self._aspect.numerator}:{self._aspect.denominator} will show square: {name} with {codec} "
                "cannot say their shape; name an .mp4"
            )

    def _configure(self, stream: VideoStream) -> None:
        h, context = self._header, stream.codec_context
        stream.width, stream.height = (h.height, h.width) if self._turned else (h.width, h.height)
        stream.pix_fmt = self._pixels
        if self._tagged:
            stream.set_display_rotation(-90 * h.rotation)
        context.sample_aspect_ratio = self._aspect
        if not self._ticks:
            context.time_base = Fraction(h.time_base.num, h.time_base.den)
        c = h.colour
        context.color_range = self._range
        context.color_primaries, context.color_trc = c.primaries, c.transfer
        context.colorspace = self._matrix() if self._pixels.startswith("yuv") else _RGB

    def _tag(self, start: Fraction) -> None:
        found, others = chapters.from_tags(self._tags)
        self._container.metadata.update(others)
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
            self.notes.append(f"{name_of_track(info)} is left out: {name} has no room")
        elif self._start is not None:  # ffmpeg has written the head of the file
            self.notes.append(f"{name_of_track(info)} is left out: declared too late")
        else:
            self._tracks.declare(info)
            self._streams[info.id] = info

    def packets(self, stream: int, packets: Sequence[Packet]) -> None:
        """Write packets of a stream that was declared; those before the first picture wait for it."""
        if stream not in self._streams:
            return
        if self._start is None:
            self._held.append((stream, packets))
            return
        if self._start:
            packets = [earlier(packet, self._streams[stream], self._start) for packet in packets]
        if self._ticks:  # a time before 0 would move the pictures off their ticks
            packets = [not_negative(packet) for packet in packets]
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
        if self._start is None:
            self._begin(pts * self._base)
        assert self._start is not None
        pts -= round(self._start / self._base)
        if self._coarse and not self._shows(pts):
            return
        if self._header.rotation and not self._tagged:
            rgb = np.rot90(rgb, -self._header.rotation)
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        with self._failing():
            frame = self._converted(frame)
            self._time(frame, pts, duration)
            self._count += 1
            self._mux(self._stream.encode(frame))

    def _converted(self, frame: VideoFrame) -> VideoFrame:
        """The frame in the encoder's kind of pixels."""
        if not self._pixels.startswith("yuv"):
            return frame.reformat(format=self._pixels)
        matrix = self._matrix()
        return frame.reformat(
            format=self._pixels,
            dst_colorspace=matrix if matrix != 2 else None,
            dst_color_range=self._range,
            interpolation=CONVERT,
        )

    def _shows(self, pts: int) -> bool:
        """Whether a frame begins in another hundredth of a second than the one before."""
        before, self._shown = self._shown, round(100 * pts * self._base)
        return self._shown > before or not self._count

    def _time(self, frame: VideoFrame, pts: int, duration: int) -> None:
        self._end = (pts + duration) * self._base
        if self._ticks is None:
            frame.pts, frame.time_base, frame.duration = pts, self._base, duration
            if self._stream.codec_context.time_base == self._base:
                self._durations[pts] = duration
            return
        said = self._ticks.uneven
        frame.pts, frame.time_base = self._ticks.place(pts * self._base), 1 / self._ticks.rate
        self._last = frame
        if self._ticks.uneven and not said:
            self.notes.append(
                f"frames come at uneven times, and {self._container.format.name} has one rate: "
                f"give --cfr {float(self._ticks.rate):g} to keep the time"
            )

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
            raise DfcError(f"cannot write the video: {error.strerror or error}") from None
        except OverflowError:  # a file's numbers may have 32 and 64 bits, ffmpeg's have 31 and 63
            raise DfcError("cannot write the video: its times or rates are out of ffmpeg's range") from None

    def close(self) -> None:
        """Flush the encoder and write the container's tail."""
        with self._failing():
            if self._count:
                self._fill_up()
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


class Some:
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
