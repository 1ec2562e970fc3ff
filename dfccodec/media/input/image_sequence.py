"""A numbered series of pictures as a video: `%04d.png`, or a glob as `*.png`.

ffmpeg stops at the first gap of a numbered series without a word, looks for its beginning at 0 to 4 only, and takes a
glob in the order of characters: i1, i10, i2. Here the first number is looked up, a gap is an error, and a glob is read
in the order of its numbers.
"""

from __future__ import annotations

import glob
import io
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import av
from av.container import InputContainer

from dfccodec.errors import InputError

_NUMBER = re.compile(r"%(0?\d*)d")
_DIGITS = re.compile(r"(\d+)", re.ASCII)
_RATE = 25
"""Frames per second of pictures, which have none of their own: ffmpeg's."""


def is_series(source: Path) -> bool:
    """Whether a path names no file but describes many."""
    name = str(source)
    return any(c in name for c in "%*?[") and not source.exists()


def open_series(source: Path) -> InputContainer:
    """Open a series.

    Raises:
        InputError: no picture has such a name, or a number is missing.
        av.error.FFmpegError, ValueError: ffmpeg does not read it.
    """
    name = str(source)
    numbers = _NUMBER.findall(source.name)
    if len(numbers) == 1 and "%" not in str(source.parent):
        return av.open(name, format="image2", options={"start_number": str(_first(source))}, metadata_errors="replace")
    if "%" in name:
        return av.open(name, format="image2", metadata_errors="replace")
    names = sorted(glob.glob(name))
    if not names:
        raise InputError(f"no picture is named like {name}")
    counted = sorted(names, key=_by_number)
    if counted == names:
        options = {"pattern_type": "glob"}
        return av.open(name, format="image2", options=options, metadata_errors="replace")
    return _one_after_the_other(counted)


def _first(source: Path) -> int:
    """The number of the first picture of a pattern.

    Raises:
        InputError: there is none, or those that are there do not follow one another.
    """
    before, width, after = _NUMBER.split(source.name)
    pattern = re.compile(re.escape(before) + rf"(\d{{{max(int(width or 1), 1)},}})" + re.escape(after), re.ASCII)
    folder = source.parent
    found = (pattern.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    numbers = sorted({int(match[1]) for match in found if match})
    if not numbers:
        raise InputError(f"no picture is named like {source}")
    for number, following in itertools.pairwise(numbers):
        if following != number + 1:
            missing = source.name.replace(f"%{width}d", f"{number + 1:0{max(int(width or 1), 1)}}")
            glob_ = source.with_name(source.name.replace(f"%{width}d", "*"))
            raise InputError(
                f"{missing} is missing in {source}, which has pictures up to {numbers[-1]}: "
                f"number them without gaps, or give '{glob_}'"
            )
    return numbers[0]


def _by_number(name: str) -> list[tuple[int, str]]:
    """Sorts i2 before i10."""
    return [(int(part), "") if part.isdigit() and part.isascii() else (-1, part) for part in _DIGITS.split(name)]


def _one_after_the_other(names: Sequence[str]) -> InputContainer:
    """Files in this order, through ffmpeg's concat demuxer."""
    quoted = ("file:" + name.replace("'", "'\\''") for name in (str(Path(n).absolute()) for n in names))
    text = "ffconcat version 1.0\n" + "".join(f"file '{name}'\nduration {1 / _RATE}\n" for name in quoted)
    options = {"safe": "0", "protocol_whitelist": "file"}
    return av.open(io.BytesIO(text.encode("utf-8", "surrogateescape")), "r", format="concat", options=options)
