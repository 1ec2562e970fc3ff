"""Reading video: frames as RGB arrays with exact timestamps, and what the container says of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dfccodec.errors import InputError
from dfccodec.limits import MAX_PIXELS, MAX_SIDE
from dfccodec.media.colour import CONVERT
from dfccodec.media.picture import Picture, SourceInfo


class VideoSource:
    """Iterate over the frames of a video.

    Args:
        source: a path, or a binary stream that need not seek.

    Raises:
        InputError: nothing PyAV opens, no video in it, or not one frame that decodes.
    """

    def __init__(self, source: Path | BinaryIO) -> None:
        self._name = str(source) if isinstance(source, Path) else "standard input"
        try:
            # Paths go to ffmpeg as file: URLs, so that a name with a colon is never taken for a protocol.
            self._container = cast(InputContainer, av.open(f"file:{source}" if isinstance(source, Path) else source))
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"cannot open {self._name}: {_reason(error)}") from None
        if not self._container.streams.video:
            kinds = _kinds(self._container)
            self._container.close()
            raise InputError(f"no video in {self._name}: it holds {kinds}")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._decoded = self._decode()
        first = next(self._decoded, None)
        if first is None:
            self._container.close()
            raise InputError(f"no frame of {self._name} decodes: is it complete?")
        self._first: VideoFrame | None = first
        size = source.stat().st_size if isinstance(source, Path) else 0
        self.info = _describe(self._container, self._stream, first, size)
        if max(first.width, first.height) > MAX_SIDE or first.width * first.height > MAX_PIXELS:
            raise InputError(f"{self._name} is {first.width}×{first.height}: over {MAX_PIXELS} pixels; scale it down")

    def __enter__(self) -> VideoSource:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        try:
            yield from self._container.decode(self._stream)
        except av.error.FFmpegError as error:
            raise InputError(f"cannot decode {self._name}: {_reason(error)}") from None

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
        len(container.streams) - len(container.streams.video),
    )


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


def _reason(error: Exception) -> str:
    """An ffmpeg error in one line, without Python's numbering."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]


def standard_input() -> BinaryIO:
    """The binary stream behind `-`."""
    return sys.stdin.buffer
