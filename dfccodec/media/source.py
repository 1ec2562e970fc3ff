"""Reading video: frames as RGB arrays with exact timestamps, and what the container says of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dfccodec.errors import InputError
from dfccodec.limits import MAX_PIXELS, MAX_SIDE
from dfccodec.media import chapters
from dfccodec.media.colour import CONVERT
from dfccodec.media.opening import name_of, open_input, reason
from dfccodec.media.picture import Picture, SourceInfo
from dfccodec.media.tracks import Tracks, choose


class VideoSource:
    """Iterate over the frames of a video.

    Args:
        source: a path, or a binary stream that need not seek.
        audio, subtitles: which of them :meth:`tracks` shall carry.

    Attributes:
        info: what the video says of itself.
        notes: lines for people on what is left out.

    Raises:
        InputError: nothing PyAV opens, no video in it, or not one frame that decodes.
    """

    def __init__(self, source: Path | BinaryIO, audio: bool = True, subtitles: bool = True) -> None:
        self._source, self._name, self._choice = source, name_of(source), (audio, subtitles)
        self._container = open_input(source)
        if not self._container.streams.video:
            kinds = _kinds(self._container)
            self._container.close()
            raise InputError(f"no video in {self._name}: it holds {kinds}")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        # Sound of a pipe has to be taken as it passes; of anything else it is read on its own, when it is wanted.
        again = isinstance(source, Path) or source.seekable()
        self._passing = None if again else Tracks(self._container, audio, subtitles)
        self._decoded = self._decode()
        first = next(self._decoded, None)
        if first is None:
            self._container.close()
            raise InputError(f"no frame of {self._name} decodes: is it complete?")
        self._first: VideoFrame | None = first
        size = source.stat().st_size if isinstance(source, Path) and source.exists() else 0
        self.info = _describe(self._container, self._stream, first, size)
        if max(first.width, first.height) > MAX_SIDE or first.width * first.height > MAX_PIXELS:
            raise InputError(f"{self._name} is {first.width}×{first.height}: over {MAX_PIXELS} pixels; scale it down")

        self.notes = _left_out(self._container, self._stream, audio, subtitles)

    def __enter__(self) -> VideoSource:
        return self

    def tracks(self) -> Tracks:
        """Sound and subtitles, in step with the pictures; close it when done. Of a pipe there is only one."""
        return self._passing or Tracks(self._source, *self._choice)

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        passing = self._passing
        try:
            for packet in self._container.demux(self._stream, *(passing.chosen if passing else ())):
                if packet.stream.index == self._stream.index:  # a last, empty packet has no number of its own
                    yield from self._stream.decode(packet)
                elif passing and packet.size:
                    passing.put(packet)
        except av.error.FFmpegError as error:
            raise InputError(f"cannot decode {self._name}: {reason(error)}") from None

    def _frames(self) -> Iterator[VideoFrame]:
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        yield from self._decoded

    def __iter__(self) -> Iterator[Picture]:
        """Frames in order of display. A duration is the distance to the next frame; timestamps always rise."""
        info = self.info
        nominal = max(1, round(1 / (info.rate * info.time_base))) if info.rate else 1
        held: tuple[np.ndarray, int] | None = None
        step = nominal
        last_duration = nominal
        for frame in self._frames():
            pts = frame.pts
            if held is not None:
                pts = held[1] + step if pts is None else max(pts, held[1] + 1)
                step = pts - held[1]
                yield Picture(held[0], held[1], step)
            held = (self._rgb(frame), 0 if pts is None else pts)
            last_duration = frame.duration or step
        if held is not None:
            yield Picture(held[0], held[1], max(1, last_duration))

    def _rgb(self, frame: VideoFrame) -> np.ndarray:
        # A stream may change size on the way; the file has one size, the first frame's.
        scaled = frame.reformat(self.info.width, self.info.height, format="rgb24", interpolation=CONVERT)
        return scaled.to_ndarray()


def _describe(container: InputContainer, stream: VideoStream, frame: VideoFrame, size: int) -> SourceInfo:
    context = stream.codec_context
    rate = stream.average_rate or stream.guessed_rate or Fraction(0)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    time_base = stream.time_base or (1 / rate if rate else Fraction(1, 1000))
    bits = max((c.bits for c in frame.format.components), default=8)
    tags = tuple((str(k), str(v)) for k, v in sorted(container.metadata.items()))
    tags += tuple(chapters.to_tags(_chapters(container)))
    return SourceInfo(
        frame.width,
        frame.height,
        _fit(Fraction(rate)),
        _fit(Fraction(time_base)),
        _fit(Fraction(aspect) or Fraction(1)),
        round(-frame.rotation / 90) % 4,
        (
            _range(context),
            int(context.color_primaries),
            int(context.color_trc),
            int(context.colorspace),
            bits,
        ),
        stream.frames,
        size,
        tags,
    )


def _chapters(container: InputContainer) -> list[chapters.Chapter]:
    return [
        chapters.Chapter(c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"].get("title", ""))
        for c in container.chapters()
        if c["time_base"] is not None
    ]


def _left_out(container: InputContainer, video: VideoStream, audio: bool, subtitles: bool) -> list[str]:
    """A note for every stream that is neither the picture nor carried nor left out on request."""
    carried = {video.index, *(s.index for s in choose(container, audio, subtitles))}
    asked = {"audio": audio, "subtitle": subtitles}
    return [
        f"stream {s.index} ({s.type}{', ' + s.name if s.name else ''}) is not carried"
        for s in container.streams
        if s.index not in carried and asked.get(s.type, True)
    ]


def _range(context: av.video.codeccontext.VideoCodecContext) -> int:
    """0 unknown, 1 limited, 2 full."""
    if context.pix_fmt and context.pix_fmt.startswith("yuvj"):
        return 2
    value = int(context.color_range)
    return value if value in (1, 2) else 0


def _fit(ratio: Fraction) -> Fraction:
    """The nearest ratio of 32-bit integers."""
    return ratio if max(ratio.numerator, ratio.denominator) < 2**32 else ratio.limit_denominator(2**31)


def _kinds(container: InputContainer) -> str:
    kinds = sorted({s.type for s in container.streams})
    return ", ".join(kinds) + " only" if kinds else "no stream"


def standard_input() -> BinaryIO:
    """The binary stream behind `-`."""
    return sys.stdin.buffer
