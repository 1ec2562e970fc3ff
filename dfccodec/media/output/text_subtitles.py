"""Text subtitles of four kinds, one into another: mov_text, subrip, ass and webvtt. Imports no PyAV.

A packet becomes a line of runs, each with a style, and the runs become a packet of the other kind. Bold, italic and
underline are kept, except in mov_text; fonts, colours and places are not. Characters and line breaks always are.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

_CONTAINERS = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip", "nut": "ass"}
"""What text becomes that a container does not take as it is."""
_JOINER = "\u2060"
"""A character without width that keeps what follows from being read as a command."""
_STYLES = "biu"
_SRT_TAG = re.compile(rf"<{_JOINER}*(?=(/?)([bius]\s*|font\b[^<>]*)>)", re.IGNORECASE)
_SRT_OVERRIDE = re.compile(rf"{{{_JOINER}*(?=\\)")
_SRT_MARK = re.compile(f"{_SRT_TAG.pattern}|{_SRT_OVERRIDE.pattern}", re.IGNORECASE)
_VTT_TAG = re.compile(r"<(/?)([a-zA-Z]+|\d|(?<=/))[^<>]*>")
_ASS_OVERRIDE = re.compile(r"\\(?:r[^\\]*|([biup])(\d*)(?=[\\\s]|$))")
_ASS_PART = re.compile(rf"\\{_JOINER}|\\[Nnh{{}}]|{{[^}}]*}}", re.DOTALL)
_ASS_FIELDS = 8
"""Fields of a line of ASS before its text."""
_BOLD = 500
"""Weight from which on ASS calls a font bold."""
_MOST = 65_535
"""Bytes of text in a packet of mov_text."""
_LAST = Fraction(3)
"""Seconds of the last subtitle where nobody says how long it stays."""

_ASS_HEAD = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
_MOV_HEAD = bytes.fromhex(
    "00000000 01ff 00000000 0000000000000000"  # flags; centred, at the bottom; no background; no box
    "0000 0000 0001 00 12 ffffffff"  # from the first to the last: font 1, no style, 18 points, white
    "00000012 66746162 0001 0001 05 417269616c"  # one font: Arial
)
HEADS = {"mov_text": _MOV_HEAD, "ass": _ASS_HEAD, "subrip": b"", "webvtt": b""}
"""What a decoder of each kind needs beforehand."""


class Run(NamedTuple):
    """Characters of one style, a set of the letters b, i and u."""

    text: str
    style: frozenset[str] = frozenset()


def kind_for(container: str, codec: str) -> str | None:
    """The kind of text that a container takes instead of another; None where there is none.

    Args:
        container: ffmpeg's name of it.
        codec: the kind that it does not take.
    """
    return _CONTAINERS.get(container) if codec in _READERS else None


def read(codec: str, data: bytes) -> list[Run]:
    """The text of a packet, of a kind that :func:`kind_for` knows."""
    return list(_merged(_READERS[codec](data)))


def write(codec: str, runs: Sequence[Run], number: int = 0) -> bytes:
    """A packet of a text; `number` counts the packets of a stream."""
    if codec == "mov_text":
        return _write_mov_text(runs)
    if codec == "webvtt":
        return _tagged(Run(html.escape(text, quote=False), style) for text, style in runs).encode()
    if codec == "ass":
        return f"{number},0,Default,,0,0,0,,".encode() + _write_ass(runs).encode()
    return _tagged(Run(_escape_subrip(text), style) for text, style in runs).encode()


def _merged(runs: Iterable[Run]) -> Iterator[Run]:
    """Runs without empty ones, without NUL and with line breaks of one kind; ends of lines at the end left out."""
    lines = [Run(t.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n"), style) for t, style in runs]
    while lines and not (last := lines[-1].text.rstrip("\n")):
        lines.pop()
    if lines:
        lines[-1] = Run(last, lines[-1].style)
    for style, group in groupby((run for run in lines if run.text), key=lambda run: run.style):
        yield Run("".join(run.text for run in group), style)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _read_plain(data: bytes) -> Iterator[Run]:
    yield Run(_text(data))


def _read_mov_text(data: bytes) -> Iterator[Run]:
    """Its length, the text; boxes with styles come after it."""
    raw = data[2 : 2 + int.from_bytes(data[:2], "big")]
    coding = {b"\xfe\xff": "utf-16-be", b"\xff\xfe": "utf-16-le"}.get(raw[:2])
    yield Run(raw[2:].decode(coding, "replace") if coding else _text(raw))


def _read_subrip(data: bytes) -> Iterator[Run]:
    """Tags as in HTML; some writers put those of ASS in."""
    text, place, style = _text(data), 0, frozenset[str]()
    for match in _SRT_MARK.finditer(text):
        closing = text.find("}", match.end())
        if match.start() < place:  # inside of braces
            continue
        yield Run(text[place : match.start()], style)
        place = match.end()
        if match[0].endswith(_JOINER):  # no tag: somebody's text looks like one
            yield Run(match[0][:-1], style)
        elif match[2]:
            style, place = _restyled(style, match[2].strip().lower(), not match[1]), match.end(2) + 1
        elif closing < 0:
            yield Run(match[0], style)
        else:
            style, place = _overridden(text[place:closing], style, False)[0], closing + 1
    yield Run(text[place:], style)


def _read_webvtt(data: bytes) -> Iterator[Run]:
    text, place, style = _text(data), 0, frozenset[str]()
    for match in _VTT_TAG.finditer(text):
        yield Run(html.unescape(text[place : match.start()]), style)
        style, place = _restyled(style, match[2].lower(), not match[1]), match.end()
    yield Run(html.unescape(text[place:]), style)


def _read_ass(data: bytes) -> Iterator[Run]:
    """The last field; what stands in braces is for the renderer, and after {\\p1} a drawing follows, no text."""
    text = _text(data).split(",", _ASS_FIELDS)[-1]
    place, style, drawing = 0, frozenset[str](), False
    for match in _ASS_PART.finditer(text):
        if not drawing:
            yield Run(text[place : match.start()], style)
        place, what = match.end(), match[0]
        if what[0] == "{":
            style, drawing = _overridden(what[1:-1], style, drawing)
        elif not drawing:
            yield Run({"N": "\n", "n": "\n", "h": "\u00a0", _JOINER: "\\"}.get(what[1], what[1]), style)
    if not drawing:
        yield Run(text[place:], style)


def _overridden(tags: str, style: frozenset[str], drawing: bool) -> tuple[frozenset[str], bool]:
    """Style, and whether a drawing follows, after the override tags of ASS."""
    for match in _ASS_OVERRIDE.finditer(tags):
        letter, value = match[1], int(match[2] or 0) if len(match[2] or "") < 6 else 0
        if letter is None:
            style = frozenset()
        elif letter == "p":
            drawing = value > 0
        else:
            style = _restyled(style, letter, value >= _BOLD if value > 1 else value == 1)
    return style, drawing


def _restyled(style: frozenset[str], name: str, on: bool) -> frozenset[str]:
    if len(name) != 1 or name not in _STYLES:
        return style
    return style | {name} if on else style - {name}


_READERS: dict[str, Callable[[bytes], Iterator[Run]]] = {
    "mov_text": _read_mov_text, "subrip": _read_subrip, "srt": _read_subrip, "webvtt": _read_webvtt,
    "ass": _read_ass, "ssa": _read_ass, "text": _read_plain,
}  # fmt: skip


def _write_mov_text(runs: Sequence[Run]) -> bytes:
    raw = "".join(run.text for run in runs).encode()[:_MOST].decode(errors="ignore").encode()
    return len(raw).to_bytes(2, "big") + raw


def _tagged(runs: Iterable[Run]) -> str:
    out = []
    for text, style in runs:
        names = [name for name in _STYLES if name in style]
        out += [*(f"<{name}>" for name in names), text, *(f"</{name}>" for name in reversed(names))]
    return "".join(out)


def _escape_subrip(text: str) -> str:
    """There is no escape for what looks like a tag: a character without width parts it."""
    return _SRT_MARK.sub(lambda match: match[0] + _JOINER, text)


def _write_ass(runs: Iterable[Run]) -> str:
    out, before = [], frozenset[str]()
    for text, style in runs:
        changed = "".join(f"\\{name}{int(name in style)}" for name in _STYLES if (name in style) != (name in before))
        before = style
        text = text.replace("\\", "\\" + _JOINER).replace("{", r"\{").replace("}", r"\}").replace("\n", r"\N")
        out += [f"{{{changed}}}" if changed else "", text]
    return "".join(out)


@dataclass(frozen=True)
class Cue:
    """A text from `start` to `end` seconds; `end` None: until the next one begins."""

    start: Fraction
    end: Fraction | None
    runs: tuple[Run, ...]


class OneAtATime:
    """Cues that may be on display together -> cues that are not, for containers that show one at a time."""

    def __init__(self) -> None:
        self._shown: list[Cue] = []
        self._from = Fraction(-(1 << 63))  # what is before is told

    def add(self, cue: Cue) -> Iterator[Cue]:
        """Take the next cue in order of time; give what is on display until it begins."""
        begin = max(cue.start, self._from)
        self._shown = [replace(c, end=begin) if c.end is None and begin > c.start else c for c in self._shown]
        yield from self._until(begin)
        self._from = begin
        self._shown.append(cue)

    def finish(self) -> Iterator[Cue]:
        """What is left."""
        self._shown = [replace(c, end=c.start + _LAST) if c.end is None else c for c in self._shown]
        yield from self._until(None)

    def _until(self, limit: Fraction | None) -> Iterator[Cue]:
        while self._shown:
            end = min([c.end for c in self._shown if c.end is not None] + ([] if limit is None else [limit]))
            if end > self._from:
                yield Cue(self._from, end, tuple(_stacked(self._shown)))
                self._from = end
            self._shown = [c for c in self._shown if c.end is None or c.end > end]
            if limit is not None and end >= limit:
                return


def _stacked(cues: Iterable[Cue]) -> Iterator[Run]:
    for number, cue in enumerate(cues):
        if number:
            yield Run("\n")
        yield from cue.runs
