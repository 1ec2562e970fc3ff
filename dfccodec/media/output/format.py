"""Container of an output, from its name; and the tags and muxer options for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av

from dfccodec.container.records import Ratio
from dfccodec.errors import UsageError
from dfccodec.media import chapters, loops, track_titles
from dfccodec.media.output.encoders import IMAGE_ENCODERS

_SUFFIXES = {".y4m": "yuv4mpegpipe", ".m4v": "mp4"}
_CONTAINERS = ("mp4", "matroska", "mov", "webm", "avi", "gif", "mpegts", "nut")
_MAX_RATE = 1_000_000
"""Maximum frame rate of a header that is trusted; the minimum is its inverse."""
NUMBER_PATTERN = re.compile(r"%0?\d{0,2}d", re.ASCII)
"""Placeholder of the number in the name of an image sequence."""

_ITUNES_NAMES = (
    "title artist album_artist composer album date comment genre copyright grouping lyrics description synopsis show "
    "episode_id network keywords episode_sort season_number media_type hd_video gapless_playback compilation track "
    "disc tmpo encoder location author make model performer"
)
_ITUNES_TAGS = frozenset(_ITUNES_NAMES.split())
"""Tags that ffmpeg's mp4 and QuickTime muxer supports by default; other tags need `use_metadata_tags`."""
_TIMECODE_RATES = (24, 25, 30, 48, 50, 60, 100, 120, 150)
"""Frame rates that a timecode track supports (ffmpeg, libavutil/timecode.c)."""


def container_for_path(path: Path) -> str:
    """Return ffmpeg's name of the container for an output path.

    Raises:
        UsageError: no video container has the suffix, or the name of an image sequence is not valid.
    """
    suffix = path.suffix.lower()
    if suffix in IMAGE_ENCODERS:
        if (
            len(NUMBER_PATTERN.findall(path.name)) != path.name.count("%")
            or path.name.count("%") > 1
            or "%" in str(path.parent)
        ):
            raise UsageError(
                f"{path} is not a valid image sequence: use exactly one number in the name, as in %05d{suffix}"
            )
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
    """Return the frame rate for a container. A header's rate is only informative: if it is implausible, return 25."""
    found = Fraction(rate.num, rate.den)
    return found if Fraction(1, _MAX_RATE) <= found <= _MAX_RATE else Fraction(25)


def muxer_options(container: str, tags: Sequence[tuple[str, str]], suffix: str = "") -> dict[str, str]:
    """Return the options of ffmpeg's muxer.

    In mp4, tags outside of the iTunes list need an option. In GIF, the number of plays is an option. The packets of
    `.m2ts` and `.mts`, by the suffix of the output's name, have a time before them.
    """
    if container == "mpegts" and suffix.lower() in (".m2ts", ".mts"):
        return {"mpegts_m2ts_mode": "1"}
    if container == "gif":
        return {"loop": loops.gif_loop_option(tags)}
    others = chapters.from_tags(track_titles.from_tags(tags)[1])[1]
    left_out = ("timecode", loops.TAG_KEY.lower())
    unknown = any(key.lower() not in _ITUNES_TAGS and key.lower() not in left_out for key, _ in others)
    return {"movflags": "use_metadata_tags"} if container in ("mp4", "mov") and unknown else {}


def select_tags(tags: Iterable[tuple[str, str]], container: str, rate: Fraction) -> tuple[list[tuple[str, str]], str]:
    """Return the tags that a container can store, and a note on the tags that are discarded.

    In mp4 and QuickTime, a timecode is a track that supports only some frame rates. Only Matroska keeps the number of
    times that an animation plays, as an ordinary tag.
    """
    kept, notes = list(tags), []
    if container not in ("matroska", "webm"):
        if (count := loops.from_tags(kept)) > 1:
            notes = [
                f"the animation plays {count} times, which {container} cannot store: name a .gif or .mkv to keep it"
            ]
        kept = [pair for pair in kept if pair[0].upper() != loops.TAG_KEY]
    if container in ("mp4", "mov") and round(rate) not in _TIMECODE_RATES:
        timecodes = [value for key, value in kept if key.lower() == "timecode"]
        notes += [
            f"timecode {value} is discarded: {container} has no timecode at {float(rate):g} frames/s"
            for value in timecodes[:1]
        ]
        kept = [(key, value) for key, value in kept if key.lower() != "timecode"]
    return kept, "; ".join(notes)
