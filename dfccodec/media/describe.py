"""What a video says of itself: size, clock, colours, tags, and which of its streams are not carried."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dfccodec.media.orientation import orientation
from dfccodec.media.picture import SourceInfo
from dfccodec.media.scale import aspect_after
from dfccodec.media.tracks import choose

_NO_TIMES = 0x80
"""ffmpeg's flag of formats without timestamps: bare H.264 and the like."""
UNSPECIFIED = 2
MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
"""Colour matrices (ITU-T H.273, table 4) that ffmpeg's scaler converts; where none is named it takes BT.601."""


def scaled_info(info: SourceInfo, size: tuple[int, int]) -> SourceInfo:
    """What a video says of itself once it is scaled."""
    old = info.width, info.height
    aspect = _fit(aspect_after(info.pixel_aspect, old, size))
    return dataclasses.replace(info, width=size[0], height=size[1], pixel_aspect=aspect, source_size=old)


def clock(container: InputContainer, stream: VideoStream) -> tuple[Fraction, Fraction]:
    """Frames per second, 0 where unknown, and seconds per tick."""
    rates = stream.average_rate, stream.guessed_rate
    if container.format.flags & _NO_TIMES:  # then the average is what the demuxer takes for granted
        rates = stream.guessed_rate, stream.average_rate
    rate = rates[0] or rates[1] or Fraction(0)
    time_base = stream.time_base or (1 / rate if rate else Fraction(1, 1000))
    return _fit(Fraction(rate)), _fit(Fraction(time_base))


def described(
    container: InputContainer,
    stream: VideoStream,
    frame: VideoFrame,
    size: int,
    clock: tuple[Fraction, Fraction],
    named: list[tuple[str, str]],
) -> SourceInfo:
    """What a video says of itself.

    Args:
        container, stream: of the video.
        frame: its first.
        size: bytes of the source, 0 where unknown.
        clock: see :func:`clock`.
        named: pairs that join the container's tags: chapters, titles.
    """
    context = stream.codec_context
    aspect = stream.sample_aspect_ratio or Fraction(1)
    bits = max((c.bits for c in frame.format.components), default=8)
    tags = tuple((str(k), str(v)) for k, v in sorted(container.metadata.items()))
    tags += tuple(named)
    return SourceInfo(
        frame.width,
        frame.height,
        *clock,
        _fit(Fraction(aspect) or Fraction(1)),
        orientation(frame)[0],
        (
            _range(context),
            int(context.color_primaries),
            int(context.color_trc),
            matrix if (matrix := int(context.colorspace)) in MATRICES else UNSPECIFIED,
            bits,
        ),
        stream.frames,
        size,
        tags,
    )


def left_out(container: InputContainer, video: VideoStream, audio: bool, subtitles: bool) -> list[str]:
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


def is_transparent(first: VideoFrame, codec: str) -> bool:
    """Whether pictures may have transparent parts: by their format, or by the first of a GIF, which all have such."""
    if not any(c.is_alpha for c in first.format.components):
        return False
    return codec != "gif" or bool((first.to_ndarray(format="rgba")[..., 3] < 255).any())


def kinds(container: InputContainer) -> str:
    """The kinds of streams that a file without video has, for people."""
    found = sorted({s.type for s in container.streams})
    return ", ".join(found) + " only" if found else "no stream"
