"""Titles of tracks as tags: TRACK001NAME is that of stream 1 (SPEC.md 5.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_KEY = re.compile(r"TRACK([0-9]{3,5})NAME", re.IGNORECASE)


def to_tags(titles: Mapping[int, str]) -> list[tuple[str, str]]:
    """Titles by id of stream -> pairs."""
    return [(f"TRACK{ident:03}NAME", title) for ident, title in titles.items() if title]


def from_tags(tags: Iterable[tuple[str, str]]) -> tuple[dict[int, str], list[tuple[str, str]]]:
    """Pairs -> titles by id of stream, and the pairs that are none."""
    titles, others = {}, []
    for key, value in tags:
        if match := _KEY.fullmatch(key):
            titles[int(match[1])] = value
        else:
            others.append((key, value))
    return titles, others
