"""Which stream of a source is the picture, and where it ends by its container's own account."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from dfccodec.errors import InputError, UsageError
from dfccodec.media.input.probe import kinds

_DURATION = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d{1,9})?)", re.ASCII)
_TIMED = ("flv", "asf")
"""Containers that state no size, but in their head how long they last."""
_TOLERANCE = Fraction(1)
"""Seconds by which sound, or a muxer's rounding, may make such a length longer than the pictures."""
_MICRO = Fraction(1, 1_000_000)
"""Seconds per unit of a container's duration."""


def choose_picture(container: InputContainer, wanted: int | None, name: str) -> VideoStream:
    """The video stream to take.

    Args:
        container: of the source.
        wanted: its number among the video streams, from 0; None takes the first that is a picture of its own.
        name: of the source, for messages.

    Raises:
        InputError: there is no video, or nothing but a cover picture or parts of one picture.
        UsageError: there is no such number.
    """
    videos = container.streams.video
    if not videos:
        raise InputError(f"no video in {name}: it holds {kinds(container)}")
    if wanted is not None:
        if not 0 <= wanted < len(videos):
            raise UsageError(f"--video {wanted}: {name} has {_listed(videos)}; give 0 to {len(videos) - 1}")
        return videos[wanted]
    whole = [s for s in videos if not s.disposition & Disposition.dependent]
    if not whole:
        raise InputError(
            f"{name} is one picture made of {len(videos)} tiles, which dfc does not put together: make a PNG or JPEG "
            "of it first, as with heif-convert"
        )
    pictures: list[VideoStream] = [s for s in whole if not s.disposition & Disposition.attached_pic]
    if not pictures:
        raise InputError(
            f"no video in {name}: it holds sound and a cover picture; --video {videos.index(whole[0])} takes the cover"
        )
    best = container.streams.best("video")  # of an animated AVIF the animation, not its first picture
    return next((s for s in pictures if best is not None and s.index == best.index), pictures[0])


def _listed(videos: Sequence[VideoStream]) -> str:
    if len(videos) == 1:
        return "one video stream"
    streams = (f"{n} ({s.codec.name} {s.width}×{s.height})" for n, s in enumerate(videos))
    return f"{len(videos)} video streams, {', '.join(streams)}"


def _is_mov(container: InputContainer) -> bool:
    return "mov" in container.format.name.split(",")


def ended_early(container: InputContainer, stream: VideoStream, packets: int, missing: int, end: Fraction) -> str:
    """A note on a source that ends before its container says it does; empty for one that does not.

    Args:
        container, stream: of the source.
        packets: of the stream that have come.
        missing: bytes that the container says there are, and that have not come.
        end: second at which the last frame ends.
    """
    stated = stream.frames if _is_mov(container) else 0  # others count what is no packet, or guess
    length = stream.duration * stream.time_base if stream.duration and stream.time_base else None
    if length is None and container.duration is not None:
        length = container.duration * _MICRO
    lasts = length if container.format.name in _TIMED and length else Fraction(0)
    if not missing and packets >= stated and end >= lasts - max(_TOLERANCE, lasts / 20):
        return ""
    rate = stream.average_rate or stream.guessed_rate
    about = stated or max(stream.frames, round(length * Fraction(rate)) if length and rate else 0)
    what = f"{packets} of {'' if stated else 'about '}{about} frames" if about > packets else f"{packets} frames"
    lacking = f", and {missing} bytes are missing" if missing else ""
    return f"the source ends early, as a half-finished download does: {what} came{lacking}"


def last_end(container: InputContainer, stream: VideoStream, time_base: Fraction) -> int:
    """Tick at which the last frame ends, by the container's word; 0 where it has none.

    A muxer of Matroska does not write how long a frame lasts, but ffmpeg's writes where each stream ends.
    """
    match = _DURATION.fullmatch(str(stream.metadata.get("DURATION", "")))
    if match:
        return round((int(match[1]) * 3600 + int(match[2]) * 60 + Fraction(match[3])) / time_base)
    if not _is_mov(container) or stream.duration is None or stream.start_time is None or not stream.time_base:
        return 0  # others guess
    return round((stream.start_time + stream.duration) * Fraction(stream.time_base) / time_base)
