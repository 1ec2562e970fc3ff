"""Choice of the video stream, and its end according to the container."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from dfccodec.errors import InputError, UsageError
from dfccodec.media.input.probe import stream_types
from dfccodec.media.input.structure.monitor import StructureMonitor

_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d{1,9})?)", re.ASCII)
_DURATION_FORMATS = ("flv", "asf")
"""Containers that state a duration in their header, but no size."""
_TOLERANCE = Fraction(1)
"""Tolerance in seconds of such a duration: audio or the muxer's rounding may make it longer than the video."""
_MICRO = Fraction(1, 1_000_000)
"""Unit of a container's duration in seconds."""


def choose_video_stream(container: InputContainer, wanted: int | None, name: str) -> VideoStream:
    """Choose the video stream.

    Args:
        container: the source.
        wanted: index among the video streams, from 0; None chooses ffmpeg's best stream that is not a cover picture.
        name: name of the source in messages.

    Raises:
        InputError: there is no video, only a cover picture, or only the tiles of a picture.
        UsageError: the index does not exist.
    """
    videos = container.streams.video
    if not videos:
        raise InputError(f"no video in {name}: it holds {stream_types(container)}")
    if wanted is not None:
        if not 0 <= wanted < len(videos):
            raise UsageError(f"--video {wanted}: {name} has {_list_streams(videos)}; give 0 to {len(videos) - 1}")
        return videos[wanted]
    whole = [s for s in videos if not s.disposition & Disposition.dependent]
    if not whole:
        raise InputError(
            f"{name} is a picture made of {len(videos)} tiles, which dfc does not assemble: convert it to PNG or JPEG "
            "first, as with heif-convert"
        )
    pictures: list[VideoStream] = [s for s in whole if not s.disposition & Disposition.attached_pic]
    if not pictures:
        raise InputError(
            f"no video in {name}: it has audio and a cover picture; to use the cover, give --video "
            f"{videos.index(whole[0])}"
        )
    best = container.streams.best("video")  # for an animated AVIF, the animation and not the still picture
    return next((s for s in pictures if best is not None and s.index == best.index), pictures[0])


def _list_streams(videos: Sequence[VideoStream]) -> str:
    if len(videos) == 1:
        return "one video stream"
    streams = (f"{n} ({s.codec.name} {s.width}×{s.height})" for n, s in enumerate(videos))
    return f"{len(videos)} video streams, {', '.join(streams)}"


def _is_mov(container: InputContainer) -> bool:
    return "mov" in container.format.name.split(",")


def early_end_note(
    container: InputContainer,
    stream: VideoStream,
    packets: int,
    missing: int,
    end: Fraction,
    structure: StructureMonitor,
) -> str:
    """Return a note if a source ends earlier than its container states; an empty text otherwise.

    Args:
        container, stream: the source and its video stream.
        packets: number of video packets received.
        missing: number of bytes missing according to the container.
        end: end of the last frame in seconds.
        structure: structure of the container, read to its end. If it is broken, the missing part may be anywhere. If
            it goes on for the stated duration, the video is complete: audio may go on after the last frame, and the
            timestamps of ASF tell when a frame is decoded, which may be much earlier than when it is shown.
    """
    stated = stream.frames if _is_mov(container) else 0  # other formats count differently, or estimate
    length = stream.duration * stream.time_base if stream.duration and stream.time_base else None
    if length is None and container.duration is not None:
        length = container.duration * _MICRO
    lasts = length if container.format.name in _DURATION_FORMATS and length else Fraction(0)
    lasts -= max(_TOLERANCE, lasts / 20)
    if not (missing or structure.ends_early) and packets >= stated and (end >= lasts or structure.reaches(lasts)):
        return ""
    rate = stream.average_rate or stream.guessed_rate
    about = stated or max(stream.frames, round(length * Fraction(rate)) if length and rate else 0)
    what = f"{packets} of {'' if stated else 'about '}{about} frames" if about > packets else f"{packets} frames"
    lacking = f", and {missing} bytes are missing" if missing else ""
    how = "is shorter than its container states" if structure.is_broken else "ends early, like a partial download"
    return f"the source {how}: it has {what}{lacking}"


def last_frame_end(container: InputContainer, stream: VideoStream, time_base: Fraction) -> int:
    """Return the end of the last frame in units of `time_base`, according to the container; 0 if not stated.

    Matroska does not store the duration of a frame, but ffmpeg's muxer stores the end of each stream.
    """
    match = _DURATION.fullmatch(str(stream.metadata.get("DURATION", "")))
    if match:
        return round((int(match[1]) * 3600 + int(match[2]) * 60 + Fraction(match[3])) / time_base)
    if not _is_mov(container) or stream.duration is None or stream.start_time is None or not stream.time_base:
        return 0  # other formats estimate it
    return round((stream.start_time + stream.duration) * Fraction(stream.time_base) / time_base)
