"""Writes a report as one HTML file that loads nothing: templates of `page/`, data and pictures."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Any, BinaryIO

_SCRIPTS = ("uplot.min.js", "state.js", "viewer.js", "timeline.js", "charts.js", "tables.js", "main.js")
_STYLES = ("uplot.min.css", "page.css")

Rows = Iterable[list[bytes | None]]


def write_page(stream: BinaryIO, data: dict[str, Any], pictures: Rows = ()) -> None:
    """Write a page.

    Args:
        stream: where to write; need not be seekable.
        data: record of `page_data`.
        pictures: WebP pictures, for each frame of `data["shown"]` one of each video.
    """
    parts: dict[str, Callable[[], Iterable[str]]] = {
        "title": lambda: [html.escape(data["title"])],
        "style": lambda: map(_read, _STYLES),
        "script": lambda: map(_read, _SCRIPTS),
        "licence": lambda: [html.escape(_read("uplot.LICENSE"))],
        "data": lambda: [_json(data)],
        "pictures": lambda: _pictures(pictures),
    }
    for number, piece in enumerate(re.split(r"\{\{(\w+)\}\}", _read("page.html"))):
        for text in parts[piece]() if number % 2 else [piece]:
            stream.write(text.encode())


def _read(name: str) -> str:
    return resources.files("dfccodec.report").joinpath("page", name).read_text("utf-8")


def _json(value: Any) -> str:
    """JSON that cannot end the script element that contains it, whatever its text."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _pictures(rows: Rows) -> Iterable[str]:
    """JSON array of arrays of pictures in base64, piece by piece: all at once would take the memory twice."""
    yield "["
    for number, row in enumerate(rows):
        yield ",\n" if number else ""
        yield json.dumps([None if picture is None else base64.b64encode(picture).decode() for picture in row])
    yield "]"
