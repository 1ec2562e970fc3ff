"""Which container an output's name asks for, and what of the tags goes into it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av

from dfccodec.container.records import Ratio
from dfccodec.errors import UsageError
from dfccodec.media import chapters, loops, track_titles
from dfccodec.media.output.encoders import PICTURES

_SUFFIXES = {".y4m": "yuv4mpegpipe", ".m4v": "mp4"}
_CONTAINERS = ("mp4", "matroska", "mov", "webm", "avi", "gif", "mpegts", "nut")
_FASTEST = 1_000_000
"""Frames per second, or seconds per frame, that a header's rate is believed to mean."""
NUMBERED = re.compile(r"%0?\d{0,2}d", re.ASCII)
"""What stands for the number in the name of a series of pictures."""

_NAMES = (
    "title artist album_artist composer album date comment genre copyright grouping lyrics description synopsis show "
    "episode_id network keywords episode_sort season_number media_type hd_video gapless_playback compilation track "
    "disc tmpo encoder location author make model performer"
)
_ITUNES = frozenset(_NAMES.split())
"""Tags that ffmpeg's muxer of mp4 and QuickTime has a place for; others are written only in a list of their own."""
_TIMECODE_RATES = (24, 25, 30, 48, 50, 60, 100, 120, 150)
"""Frames per second that a timecode can count in (ffmpeg, libavutil/timecode.c)."""


def check_output(path: Path) -> str:
    """The ffmpeg format that a file's name asks for.

    Raises:
        UsageError: no container of video has that suffix, or a series of pictures is numbered twice.
    """
    suffix = path.suffix.lower()
    if suffix in PICTURES:
        if (
            len(NUMBERED.findall(path.name)) != path.name.count("%")
            or path.name.count("%") > 1
            or "%" in str(path.parent)
        ):
            raise UsageError(f"{path} is no series of pictures: number them once in the name, as in %05d{suffix}")
        return "image2"
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    for name in _CONTAINERS:
        if suffix.lstrip(".") in av.format.ContainerFormat(name, "w").extensions:
            return name
    raise UsageError(
        f"no video container ends in {suffix or 'nothing'!r}: name the output .mp4, .mkv, .mov, .webm or .y4m, "
        "or %05d.png for pictures"
    )


def nominal_rate(rate: Ratio) -> Fraction:
    """Frames per second to tell a container. The header's is for information only: one that cannot be is 25."""
    found = Fraction(rate.num, rate.den)
    return found if Fraction(1, _FASTEST) <= found <= _FASTEST else Fraction(25)


def muxer_options(container: str, tags: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Options of ffmpeg's muxer.

    In mp4, tags that iTunes does not know, those of phones, get a list of their own. A GIF states how often it plays.
    """
    if container == "gif":
        return {"loop": loops.gif_option(tags)}
    others = chapters.from_tags(track_titles.from_tags(tags)[1])[1]
    left_out = ("timecode", loops.KEY.lower())
    unknown = any(key.lower() not in _ITUNES and key.lower() not in left_out for key, _ in others)
    return {"movflags": "use_metadata_tags"} if container in ("mp4", "mov") and unknown else {}


def fitting_tags(tags: Iterable[tuple[str, str]], container: str, rate: Fraction) -> tuple[list[tuple[str, str]], str]:
    """The tags that a container takes, and a note on one it does not.

    In mp4 and QuickTime a timecode is a track, which is counted in whole frames of a few rates. Only Matroska keeps the
    number of times that an animation plays, as a tag like any other.
    """
    kept, notes = list(tags), []
    if container not in ("matroska", "webm"):
        if (count := loops.from_tags(kept)) > 1:
            notes = [
                f"the animation plays {count} times, which {container} cannot say: name a .gif or .mkv to keep that"
            ]
        kept = [pair for pair in kept if pair[0].upper() != loops.KEY]
    if container in ("mp4", "mov") and round(rate) not in _TIMECODE_RATES:
        lost = [value for key, value in kept if key.lower() == "timecode"]
        notes += [
            f"timecode {value} is left out: {container} has none at {float(rate):g} frames/s" for value in lost[:1]
        ]
        kept = [(key, value) for key, value in kept if key.lower() != "timecode"]
    return kept, "; ".join(notes)
