"""Metadata of a video: size, time base, colour and tags, and notes on streams and features that are not carried."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import av
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from dfccodec.media.input.tracks import choose_streams, is_in_program
from dfccodec.media.orientation import read_orientation, read_side_data
from dfccodec.media.picture import SourceInfo
from dfccodec.media.scale import scaled_pixel_aspect

_NO_TIMESTAMPS = 0x80
"""ffmpeg's flag AVFMT_NOTIMESTAMPS of formats such as raw H.264."""
_MAX_RATE_RATIO = 10
"""Maximum ratio of average to guessed frame rate, if the average equals the time base."""
_HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
"""Transfer characteristics of HDR video (ITU-T H.273, table 3)."""
UNSPECIFIED = 2
SUPPORTED_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
"""Colour matrices (ITU-T H.273, table 4) that swscale converts. If the matrix is unspecified, it uses BT.601."""


def scaled_info(info: SourceInfo, size: tuple[int, int]) -> SourceInfo:
    """Return the metadata of a video after scaling to `size`, (width, height)."""
    old = info.width, info.height
    aspect = _limit_ratio(scaled_pixel_aspect(info.pixel_aspect, old, size))
    return dataclasses.replace(info, width=size[0], height=size[1], pixel_aspect=aspect, source_size=old)


def conformed_info(info: SourceInfo, crop: tuple[slice, slice] | None, fps: Fraction | None) -> SourceInfo:
    """Return the metadata of a video after a crop to these rows and columns and conversion to a constant frame rate."""
    if crop is not None:
        rows, columns = crop
        info = dataclasses.replace(info, width=columns.stop - columns.start, height=rows.stop - rows.start)
    if fps is not None:
        frames = round(info.frames * fps / info.rate) if info.rate else 0
        info = dataclasses.replace(info, rate=fps, time_base=1 / fps, frames=frames)
    return info


def read_clock(container: InputContainer, stream: VideoStream) -> tuple[Fraction, Fraction]:
    """Return the frame rate in frames per second, 0 if unknown, and the time base in seconds."""
    rates = stream.average_rate, stream.guessed_rate
    if container.format.flags & _NO_TIMESTAMPS:  # for these formats, the average is an assumption of the demuxer
        rates = stream.guessed_rate, stream.average_rate
    rate = rates[0] or rates[1] or Fraction(0)
    if rates[1] and stream.time_base and rate * stream.time_base == 1 and rate > _MAX_RATE_RATIO * rates[1]:
        rate = rates[1]  # in raw DV, the average is the rate of audio time-base units
    time_base = stream.time_base or (1 / rate if rate else Fraction(1, 1000))
    return _limit_ratio(Fraction(rate)), _limit_ratio(Fraction(time_base))


def read_info(
    container: InputContainer,
    stream: VideoStream,
    frame: VideoFrame,
    size: int,
    rate_and_time_base: tuple[Fraction, Fraction],
    extra_tags: list[tuple[str, str]],
) -> SourceInfo:
    """Read the metadata of a video.

    Args:
        container, stream: the source and its video stream.
        frame: the first frame.
        size: size of the source in bytes, 0 if unknown.
        rate_and_time_base: result of :func:`read_clock`.
        extra_tags: tags to append to the container's tags: chapters, track titles.
    """
    context = stream.codec_context
    aspect = stream.sample_aspect_ratio or Fraction(1)
    bits = max((c.bits for c in frame.format.components), default=8)
    tags = tuple((str(k), str(v)) for k, v in sorted(container.metadata.items()))
    tags += tuple(extra_tags)
    return SourceInfo(
        frame.width,
        frame.height,
        *rate_and_time_base,
        _limit_ratio(Fraction(aspect) or Fraction(1)),
        read_orientation(frame)[0],
        (
            _read_range(context),
            int(context.color_primaries),
            int(context.color_trc),
            colour_matrix if (colour_matrix := int(context.colorspace)) in SUPPORTED_MATRICES else UNSPECIFIED,
            bits,
        ),
        stream.frames,
        size,
        tags,
    )


def uncarried_stream_notes(
    container: InputContainer, video: VideoStream, audio: bool, subtitles: bool, by_default: bool = True
) -> list[str]:
    """Return a note for every stream that is neither the video nor carried nor disabled by an option.

    Args:
        container, video: the source and its chosen video stream.
        audio, subtitles: whether audio and subtitles are enabled.
        by_default: whether the video stream was chosen by default. If so, notes on other video streams name --video.
    """
    carried = {video.index, *(s.index for s in choose_streams(container, audio, subtitles, video.index))}
    asked = {"audio": audio, "subtitle": subtitles}
    videos = list(container.streams.video)
    notes = []
    for stream in container.streams:
        name = getattr(stream, "name", "")
        # Chapters of mp4 are a data stream; they are carried as tags.
        chapters = stream.type == "data" and name == "bin_data" and bool(container.chapters())
        if stream.index in carried or not asked.get(stream.type, True) or chapters:
            continue
        kind = "cover picture" if stream.disposition & Disposition.attached_pic else stream.type
        note = f"stream {stream.index} ({kind}{', ' + name if name else ''}) is not carried"
        if not is_in_program(container, stream, video.index) and stream.type in asked:
            note += ": it belongs to another program"
        if stream in videos and by_default:
            note += f"; to use it as the picture, give --video {videos.index(stream)}"
        notes.append(note)
    return notes


def picture_notes(first: VideoFrame, stream: VideoStream) -> list[str]:
    """Return notes on features of a video that a .dfc file cannot store: alpha, bit depth, HDR, captions, 3D.

    Args:
        first: the first frame.
        stream: its stream.
    """
    notes = []
    if int(first.colorspace) not in SUPPORTED_MATRICES:
        notes.append(f"colour matrix {int(first.colorspace)} is not supported: colours are converted as BT.601")
    if is_transparent(first, stream):
        notes.append("the transparency of the picture is discarded")
    mode = str(stream.metadata.get("stereo_mode", stream.metadata.get("STEREO_MODE", "mono")))
    side_data = read_side_data(first)
    if mode != "mono" or any(side_data.get(Type.STEREO3D, b"")[:4]):  # the first integer is 0 for 2D
        how = f" ({mode})" if mode != "mono" else ""
        notes.append(f"the picture is stereoscopic{how}: both views are kept, but not the 3D flag")
    if Type.SPHERICAL in side_data:
        notes.append("the picture is spherical (360°): it is kept, but players will show it flat")
    if Type.A53_CC in side_data:
        notes.append("closed captions embedded in the video are not carried")
    bits = max((c.bits for c in first.format.components), default=8)
    transfer = _HDR_TRANSFERS.get(int(stream.codec_context.color_trc), "")
    if bits > 8:
        what = f"high dynamic range ({transfer}), {bits} bits" if transfer else f"the picture has {bits} bits"
        notes.append(f"{what}: converted to 8 bits" + (", so smooth areas may show bands" if transfer else ""))
    elif transfer:
        notes.append(f"high dynamic range ({transfer}), 8 bits: smooth areas may show bands")
    return notes


def _read_range(context: av.video.codeccontext.VideoCodecContext) -> int:
    """Return the colour range: 0 unknown, 1 limited, 2 full."""
    if context.pix_fmt and context.pix_fmt.startswith("yuvj"):
        return 2
    value = int(context.color_range)
    return value if value in (1, 2) else 0


def _limit_ratio(ratio: Fraction) -> Fraction:
    """Return the nearest ratio of 32-bit integers."""
    return ratio if max(ratio.numerator, ratio.denominator) < 2**32 else ratio.limit_denominator(2**31)


def is_transparent(first: VideoFrame, stream: VideoStream) -> bool:
    """Return whether the video may have transparent pixels.

    The pixel format decides. All GIFs have a format with alpha, so their first frame decides. VP8 and VP9 store alpha
    outside the picture, which ffmpeg's native decoders ignore; for them the container's metadata decides.
    """
    if str(stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE", "0"))) == "1":
        return True
    if not any(c.is_alpha for c in first.format.components):
        return False
    return stream.codec.name != "gif" or bool((first.to_ndarray(format="rgba")[..., 3] < 255).any())


def stream_types(container: InputContainer) -> str:
    """Return the types of streams in a file without video, for messages."""
    found = sorted({s.type for s in container.streams})
    return ", ".join(found) + " only" if found else "no stream"
