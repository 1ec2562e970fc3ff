"""The HTML page: complete in itself, and no text of a file can become markup."""

from __future__ import annotations

import io
import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dfccodec
from dfccodec.report.html_page import write_page

EVIL = "</script><script>alert(1)</script>{{data}}<!--"


class Parts(HTMLParser):
    """Attributes that load something, ids, and the text of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.scripts: list[str] = []
        self._kind = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self._kind = tag
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "action", "data")]
        self.ids += [known["id"] or ""] if "id" in known else []
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self._kind == "script":
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._kind = ""


def page(title: str) -> tuple[str, Parts, dict[str, Any]]:
    stream, data = io.BytesIO(), {"title": title, "videos": [], "shown": [0]}
    write_page(stream, data, [[b"abc", None]])
    text, parts = stream.getvalue().decode(), Parts()
    parts.feed(text)
    return text, parts, data


def test_the_page_loads_nothing() -> None:
    text, parts, _ = page("a.mp4")
    assert parts.links == ["data:,"]
    assert "default-src 'none'" in text
    outside = set(re.findall(r"\bhttps?://[\w./-]+", text))
    assert outside <= {"https://github.com/leeoniya/uPlot"}  # in the comment that names the library
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|importScripts|innerHTML", text.replace("uPlot", ""))
    assert "Permission is hereby granted" in text
    assert len(parts.ids) == len(set(parts.ids))


def test_hostile_text_stays_text() -> None:
    text, parts, data = page(EVIL)
    assert len(parts.scripts) == 3
    assert json.loads(parts.scripts[0]) == data
    assert json.loads(parts.scripts[1]) == [["YWJj", None]]
    assert "<title>&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;{{data}}&lt;!--</title>" in text


def test_scripts_find_their_elements() -> None:
    _, parts, _ = page("a.mp4")
    used = set(re.findall(r'byId\("([\w-]+)"\)', parts.scripts[2]))
    assert used <= set(parts.ids)


def test_the_wheel_has_every_file_of_the_page() -> None:
    root = Path(dfccodec.__file__).parent
    project = tomllib.loads((root.parent / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]["dfccodec"]
    packed = {path for pattern in patterns for path in root.glob(pattern)}
    files = {path for path in (root / "report" / "page").iterdir() if path.is_file()}
    assert len(files) > 8
    assert files <= packed
