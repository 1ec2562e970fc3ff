"""Names of tracks: for people, and as tags: TRACK001NAME is that of stream 1 (SPEC.md 5.5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from dfccodec.container.records import StreamInfo
from dfccodec.terminal_text import escape_for_terminal

_KEY = re.compile(r"TRACK([0-9]{3,5})NAME", re.IGNORECASE)
_KINDS = ("sound", "subtitle", "data")


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


def name_of_track(info: StreamInfo) -> str:
    """A track for people: kind, number, codec, language."""
    return escape_for_terminal(
        f"{_KINDS[info.kind]} track {info.id} ({info.codec}{', ' + info.language if info.language else ''})"
    )
