"""Chapters as tags, the way Vorbis comments spell them: CHAPTER001, CHAPTER001NAME; and CHAPTER001END (SPEC.md 5.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

_KEY = re.compile(r"CHAPTER(\d{3})(NAME|END)?", re.IGNORECASE)
_STAMP = re.compile(r"(-?)(\d+):(\d\d):(\d\d(?:\.\d{1,9})?)", re.ASCII)
MOST = 300
"""Chapters carried: three pairs each stay under the 1024 that tags may have."""


@dataclass(frozen=True)
class Chapter:
    """Begin and end in seconds."""

    start: Fraction
    end: Fraction
    title: str = ""


def to_tags(chapters: Iterable[Chapter]) -> list[tuple[str, str]]:
    """Chapters -> pairs; times are rounded to nanoseconds."""
    out: list[tuple[str, str]] = []
    for number, chapter in enumerate(list(chapters)[:MOST], 1):
        key = f"CHAPTER{number:03}"
        out += [(key, _stamp(chapter.start)), (key + "END", _stamp(chapter.end))]
        if chapter.title:
            out.append((key + "NAME", chapter.title))
    return out


def from_tags(tags: Iterable[tuple[str, str]]) -> tuple[list[Chapter], list[tuple[str, str]]]:
    """Pairs -> chapters in order of their numbers, and the pairs that speak of none.

    A chapter without an end lasts until the next begins, the last one no time. A start that is no time is no chapter.
    """
    parts: dict[str, dict[str, str]] = {}
    others = []
    for key, value in tags:
        match = _KEY.fullmatch(key)
        if match:
            parts.setdefault(match[1], {})[(match[2] or "").upper()] = value
        else:
            others.append((key, value))
    found = [(part, _seconds(part.get(""))) for _, part in sorted(parts.items())]
    whole = [(part, start) for part, start in found if start is not None]
    out = []
    for number, (part, start) in enumerate(whole):
        following = whole[number + 1][1] if number + 1 < len(whole) else start
        end = _seconds(part.get("END"))
        out.append(Chapter(start, max(start, following if end is None else end), part.get("NAME", "")))
    return out, others


def moved(chapters: Iterable[Chapter], begin: Fraction, end: Fraction | None) -> list[Chapter]:
    """The chapters inside [begin, end), cut to it, with times from `begin` on."""
    out = []
    for chapter in chapters:
        until = chapter.end if end is None else min(chapter.end, end)
        if until > begin:
            out.append(Chapter(max(chapter.start, begin) - begin, until - begin, chapter.title))
    return out


def _stamp(seconds: Fraction) -> str:
    nano = round(abs(seconds) * 10**9)
    whole, part = divmod(nano, 10**9)
    sign = "-" if seconds < 0 else ""
    return f"{sign}{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{part:09}"


def _seconds(text: str | None) -> Fraction | None:
    match = _STAMP.fullmatch((text or "").strip()[:40])
    if not match:
        return None
    value = int(match[2]) * 3600 + int(match[3]) * 60 + Fraction(match[4])
    return -value if match[1] else value
