"""Numbered image sequences as video input: `%04d.png`, or a glob such as `*.png`.

ffmpeg silently stops at the first gap in the numbers, looks for the first number in 0 to 4 only, and sorts a glob by
characters: i1, i10, i2. This module finds the first number, reports a gap as an error, and sorts a glob by number.
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
"""Frame rate of image sequences in frames per second; ffmpeg's default."""


def is_image_sequence(source: Path) -> bool:
    """Return whether a path is a pattern for many files and not the name of an existing file."""
    name = str(source)
    return any(c in name for c in "%*?[") and not source.exists()


def open_image_sequence(source: Path) -> InputContainer:
    """Open an image sequence.

    Raises:
        InputError: no file matches, or a number is missing.
        av.error.FFmpegError, ValueError: ffmpeg cannot read it.
    """
    name = str(source)
    numbers = _NUMBER.findall(source.name)
    if len(numbers) == 1 and "%" not in str(source.parent):
        return av.open(
            name, format="image2", options={"start_number": str(_find_first_number(source))}, metadata_errors="replace"
        )
    if "%" in name:
        return av.open(name, format="image2", metadata_errors="replace")
    names = sorted(glob.glob(name))
    if not names:
        raise InputError(f"no file matches {name}: check the name and the folder")
    counted = sorted(names, key=_number_key)
    if counted == names:
        options = {"pattern_type": "glob"}
        return av.open(name, format="image2", options=options, metadata_errors="replace")
    return _open_concat(counted)


def _find_first_number(source: Path) -> int:
    """Return the first number of a sequence.

    Raises:
        InputError: no file matches the pattern, or the numbers have a gap.
    """
    before, width, after = _NUMBER.split(source.name)
    pattern = re.compile(re.escape(before) + rf"(\d{{{max(int(width or 1), 1)},}})" + re.escape(after), re.ASCII)
    folder = source.parent
    found = (pattern.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    numbers = sorted({int(match[1]) for match in found if match})
    if not numbers:
        raise InputError(f"no file matches {source}: check the name and the folder")
    for number, following in itertools.pairwise(numbers):
        if following != number + 1:
            missing = source.name.replace(f"%{width}d", f"{number + 1:0{max(int(width or 1), 1)}}")
            glob_ = source.with_name(source.name.replace(f"%{width}d", "*"))
            raise InputError(
                f"{missing} is missing in {source}, whose last number is {numbers[-1]}: "
                f"number the pictures without gaps, or give '{glob_}'"
            )
    return numbers[0]


def _number_key(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts i2 before i10."""
    return [(int(part), "") if part.isdigit() and part.isascii() else (-1, part) for part in _DIGITS.split(name)]


def _open_concat(names: Sequence[str]) -> InputContainer:
    """Open files in the given order with ffmpeg's concat demuxer."""
    quoted = ("file:" + name.replace("'", "'\\''") for name in (str(Path(n).absolute()) for n in names))
    text = "ffconcat version 1.0\n" + "".join(f"file '{name}'\nduration {1 / _RATE}\n" for name in quoted)
    options = {"safe": "0", "protocol_whitelist": "file"}
    return av.open(io.BytesIO(text.encode("utf-8", "surrogateescape")), "r", format="concat", options=options)
