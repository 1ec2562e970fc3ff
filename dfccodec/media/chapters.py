"""Chapters stored as tags, as in Vorbis comments: CHAPTER001, CHAPTER001NAME, and CHAPTER001END (SPEC.md 5.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

_KEY = re.compile(r"CHAPTER(\d{3})(NAME|END)?", re.IGNORECASE)
_STAMP = re.compile(r"(-?)(\d+):(\d\d):(\d\d(?:\.\d{1,9})?)", re.ASCII)
MAX_CHAPTERS = 300
"""Maximum number of chapters. Each needs up to three tags, and a file has at most 1024."""


@dataclass(frozen=True)
class Chapter:
    """A chapter; start and end in seconds."""

    start: Fraction
    end: Fraction
    title: str = ""


def to_tags(chapters: Iterable[Chapter]) -> list[tuple[str, str]]:
    """Convert chapters to (key, value) tags; times are rounded to nanoseconds."""
    out: list[tuple[str, str]] = []
    for number, chapter in enumerate(list(chapters)[:MAX_CHAPTERS], 1):
        key = f"CHAPTER{number:03}"
        out += [(key, _format_time(chapter.start)), (key + "END", _format_time(chapter.end))]
        if chapter.title:
            out.append((key + "NAME", chapter.title))
    return out


def from_tags(tags: Iterable[tuple[str, str]]) -> tuple[list[Chapter], list[tuple[str, str]]]:
    """Split tags into chapters, sorted by number, and all other tags.

    A chapter without an end lasts until the next one starts. If the last chapter has no end, its length is 0.
    A chapter whose start is not a valid time is discarded.
    """
    parts: dict[str, dict[str, str]] = {}
    other_tags = []
    for key, value in tags:
        match = _KEY.fullmatch(key)
        if match:
            parts.setdefault(match[1], {})[(match[2] or "").upper()] = value
        else:
            other_tags.append((key, value))
    found = [(fields, _parse_time(fields.get(""))) for _, fields in sorted(parts.items())]
    valid = [(fields, start) for fields, start in found if start is not None]
    out = []
    for number, (fields, start) in enumerate(valid):
        following = valid[number + 1][1] if number + 1 < len(valid) else start
        end = _parse_time(fields.get("END"))
        out.append(Chapter(start, max(start, following if end is None else end), fields.get("NAME", "")))
    return out, other_tags


def trim_chapters(chapters: Iterable[Chapter], begin: Fraction, end: Fraction | None) -> list[Chapter]:
    """Trim chapters to [begin, end) seconds and count their times from `begin`; chapters outside are discarded."""
    out = []
    for chapter in chapters:
        until = chapter.end if end is None else min(chapter.end, end)
        if until > begin:
            out.append(Chapter(max(chapter.start, begin) - begin, until - begin, chapter.title))
    return out


def _format_time(seconds: Fraction) -> str:
    nano = round(abs(seconds) * 10**9)
    whole, part = divmod(nano, 10**9)
    sign = "-" if seconds < 0 else ""
    return f"{sign}{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{part:09}"


def _parse_time(text: str | None) -> Fraction | None:
    match = _STAMP.fullmatch((text or "").strip()[:40])
    if not match:
        return None
    value = int(match[2]) * 3600 + int(match[3]) * 60 + Fraction(match[4])
    return -value if match[1] else value
