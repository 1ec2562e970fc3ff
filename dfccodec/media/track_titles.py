"""Titles of tracks as tags: TRACK001NAME is the title of stream 1 (SPEC.md 5.5). Also labels of tracks in messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from dfccodec.container.records import StreamInfo
from dfccodec.terminal_text import escape_for_terminal

_KEY = re.compile(r"TRACK([0-9]{3,5})NAME", re.IGNORECASE)
_KINDS = ("audio", "subtitle", "data")


def to_tags(titles: Mapping[int, str]) -> list[tuple[str, str]]:
    """Convert titles, keyed by stream id, to (key, value) tags."""
    return [(f"TRACK{ident:03}NAME", title) for ident, title in titles.items() if title]


def from_tags(tags: Iterable[tuple[str, str]]) -> tuple[dict[int, str], list[tuple[str, str]]]:
    """Split tags into titles, keyed by stream id, and all other tags."""
    titles, other_tags = {}, []
    for key, value in tags:
        if match := _KEY.fullmatch(key):
            titles[int(match[1])] = value
        else:
            other_tags.append((key, value))
    return titles, other_tags


def track_label(info: StreamInfo) -> str:
    """Return the name of a track for messages: kind, number, codec, language."""
    return escape_for_terminal(
        f"{_KINDS[info.kind]} track {info.id} ({info.codec}{', ' + info.language if info.language else ''})"
    )
