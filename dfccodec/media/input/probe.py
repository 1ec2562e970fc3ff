"""What a video says of itself: size, clock, colours, tags, and which of its streams are not carried."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import av
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dfccodec.media.input.tracks import choose, in_programme
from dfccodec.media.orientation import orientation, side_data
from dfccodec.media.picture import SourceInfo
from dfccodec.media.scale import aspect_after

_NO_TIMES = 0x80
"""ffmpeg's flag of formats without timestamps: bare H.264 and the like."""
_TICKS = 10
"""Times by which an average rate may be over the one that is guessed, where it is just that of the clock."""
_HIGH_RANGE = {16: "PQ", 18: "HLG"}
"""Transfer characteristics (ITU-T H.273, table 3) of HDR video."""
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
    if rates[1] and stream.time_base and rate * stream.time_base == 1 and rate > _TICKS * rates[1]:
        rate = rates[1]  # of raw DV the average is the ticks of its sound
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


def left_out(
    container: InputContainer, video: VideoStream, audio: bool, subtitles: bool, by_default: bool = True
) -> list[str]:
    """A note for every stream that is neither the picture nor carried nor left out on request.

    Args:
        container, video: of the source, and its stream that is the picture.
        audio, subtitles: whether sound and subtitles are wanted.
        by_default: nobody has named the picture's stream; then the note on another says how.
    """
    carried = {video.index, *(s.index for s in choose(container, audio, subtitles, video.index))}
    asked = {"audio": audio, "subtitle": subtitles}
    videos = list(container.streams.video)
    notes = []
    for stream in container.streams:
        name = getattr(stream, "name", "")
        chapters = (
            stream.type == "data" and name == "bin_data" and bool(container.chapters())
        )  # of mp4: they are carried
        if stream.index in carried or not asked.get(stream.type, True) or chapters:
            continue
        kind = "cover picture" if stream.disposition & Disposition.attached_pic else stream.type
        note = f"stream {stream.index} ({kind}{', ' + name if name else ''}) is not carried"
        if not in_programme(container, stream, video.index) and stream.type in asked:
            note += ": it belongs to another programme"
        if stream in videos and by_default:
            note += f"; --video {videos.index(stream)} takes it for the picture"
        notes.append(note)
    return notes


def picture_notes(first: VideoFrame, stream: VideoStream) -> list[str]:
    """What a picture has that a .dfc file has not: transparency, bits, high range, captions, a second view.

    Args:
        first: the first frame.
        stream: that it comes from.
    """
    notes = []
    if int(first.colorspace) not in MATRICES:
        notes.append(f"colour matrix {int(first.colorspace)} cannot be converted: colours are taken for BT.601")
    if is_transparent(first, stream):
        notes.append("the picture's transparency is dropped")
    mode = str(stream.metadata.get("stereo_mode", stream.metadata.get("STEREO_MODE", "mono")))
    beside = side_data(first)
    if mode != "mono" or any(beside.get(Type.STEREO3D, b"")[:4]):  # the first number is 0 for a flat picture
        how = f" ({mode})" if mode != "mono" else ""
        notes.append(f"the picture is of two views{how}: they are kept, but not that they are two")
    if Type.SPHERICAL in beside:
        notes.append("the picture is of all directions: it is kept, but players will show it flat")
    if Type.A53_CC in beside:
        notes.append("closed captions inside of the pictures are not carried")
    bits = max((c.bits for c in first.format.components), default=8)
    high = _HIGH_RANGE.get(int(stream.codec_context.color_trc), "")
    if bits > 8:
        what = f"high dynamic range ({high}) of {bits} bits" if high else f"the picture's {bits} bits"
        notes.append(f"{what} becomes 8 bits: smooth areas may show bands" if high else f"{what} become 8")
    elif high:
        notes.append(f"high dynamic range ({high}) in 8 bits: smooth areas may show bands")
    return notes


def _range(context: av.video.codeccontext.VideoCodecContext) -> int:
    """0 unknown, 1 limited, 2 full."""
    if context.pix_fmt and context.pix_fmt.startswith("yuvj"):
        return 2
    value = int(context.color_range)
    return value if value in (1, 2) else 0


def _fit(ratio: Fraction) -> Fraction:
    """The nearest ratio of 32-bit integers."""
    return ratio if max(ratio.numerator, ratio.denominator) < 2**32 else ratio.limit_denominator(2**31)


def is_transparent(first: VideoFrame, stream: VideoStream) -> bool:
    """Whether pictures may have transparent parts.

    By their format, or by the first of a GIF, which all have such a format. VP8 and VP9 keep transparency beside the
    picture, where ffmpeg's own decoder does not look: there the container says so.
    """
    if str(stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE", "0"))) == "1":
        return True
    if not any(c.is_alpha for c in first.format.components):
        return False
    return stream.codec.name != "gif" or bool((first.to_ndarray(format="rgba")[..., 3] < 255).any())


def kinds(container: InputContainer) -> str:
    """The kinds of streams that a file without video has, for people."""
    found = sorted({s.type for s in container.streams})
    return ", ".join(found) + " only" if found else "no stream"
