"""Conversion between text subtitle codecs: mov_text, subrip, ass and webvtt. Imports no PyAV.

A packet is parsed into runs of text with a style, and the runs are written as a packet of the other codec. Bold, italic
and underline are kept, except in mov_text. Fonts, colours and positions are discarded. Characters and line breaks are
always kept.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import groupby
from typing import NamedTuple

_CONTAINER_CODECS = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip", "nut": "ass"}
"""Text subtitle codec of each container that replaces unsupported ones."""
_ZERO_WIDTH = "\u2060"
"""A zero-width character that prevents the following text from being read as a tag."""
_STYLES = "biu"
_SRT_TAG = re.compile(rf"<{_ZERO_WIDTH}*(?=(/?)([bius]\s*|font\b[^<>]*)>)", re.IGNORECASE)
_SRT_OVERRIDE = re.compile(rf"{{{_ZERO_WIDTH}*(?=\\)")
_SRT_MARK = re.compile(f"{_SRT_TAG.pattern}|{_SRT_OVERRIDE.pattern}", re.IGNORECASE)
_VTT_TAG = re.compile(r"<(/?)([a-zA-Z]+|\d|(?<=/))[^<>]*>")
_ASS_OVERRIDE = re.compile(r"\\(?:r[^\\]*|([biup])(\d*)(?=[\\\s]|$))")
_ASS_PART = re.compile(rf"\\{_ZERO_WIDTH}|\\[Nnh{{}}]|{{[^}}]*}}", re.DOTALL)
_ASS_FIELDS = 8
"""Number of fields in an ASS event before its text."""
_MIN_BOLD_WEIGHT = 500
"""Minimum font weight that is bold in ASS."""
_MAX_TEXT_BYTES = 65_535
"""Maximum number of text bytes in a mov_text packet."""
_LAST_DURATION = Fraction(3)
"""Duration in seconds of the last subtitle if its end is unknown."""

_ASS_HEADER = b"""[Script Info]
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
_MOV_TEXT_HEADER = bytes.fromhex(
    "00000000 01ff 00000000 0000000000000000"  # flags; centred, at the bottom; no background; no text box
    "0000 0000 0001 00 12 ffffffff"  # default style of all characters: font 1, regular, 18 points, white
    "00000012 66746162 0001 0001 05 417269616c"  # font table with one font: Arial
)
CODEC_HEADERS = {"mov_text": _MOV_TEXT_HEADER, "ass": _ASS_HEADER, "subrip": b"", "webvtt": b""}
"""Codec header (extradata) of each text subtitle codec."""


class Run(NamedTuple):
    """Characters with one style: a set of the letters b (bold), i (italic) and u (underline)."""

    text: str
    style: frozenset[str] = frozenset()


def substitute_text_codec(container: str, codec: str) -> str | None:
    """Return the text subtitle codec that a container supports instead of another; None if there is none.

    Args:
        container: ffmpeg's name of the container.
        codec: the codec that it does not support.
    """
    return _CONTAINER_CODECS.get(container) if codec in _READERS else None


def parse_packet(codec: str, data: bytes) -> list[Run]:
    """Parse the text of a packet whose codec :func:`substitute_text_codec` supports."""
    return list(_merge_runs(_READERS[codec](data)))


def build_packet(codec: str, runs: Sequence[Run], number: int = 0) -> bytes:
    """Build a packet from a text; `number` is the index of the packet in its stream."""
    if codec == "mov_text":
        return _write_mov_text(runs)
    if codec == "webvtt":
        return _to_html_tags(Run(html.escape(text, quote=False), style) for text, style in runs).encode()
    if codec == "ass":
        return f"{number},0,Default,,0,0,0,,".encode() + _write_ass(runs).encode()
    return _to_html_tags(Run(_escape_subrip(text), style) for text, style in runs).encode()


def _merge_runs(runs: Iterable[Run]) -> Iterator[Run]:
    """Merge runs of equal style; normalize line breaks, and remove NUL, empty runs and line breaks at the end."""
    lines = [Run(t.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n"), style) for t, style in runs]
    while lines and not (last := lines[-1].text.rstrip("\n")):
        lines.pop()
    if lines:
        lines[-1] = Run(last, lines[-1].style)
    for style, group in groupby((run for run in lines if run.text), key=lambda run: run.style):
        yield Run("".join(run.text for run in group), style)


def _decode_utf8(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _read_plain(data: bytes) -> Iterator[Run]:
    yield Run(_decode_utf8(data))


def _read_mov_text(data: bytes) -> Iterator[Run]:
    """Parse mov_text: a 16-bit length, then the text, then boxes with styles, which are ignored."""
    raw = data[2 : 2 + int.from_bytes(data[:2], "big")]
    coding = {b"\xfe\xff": "utf-16-be", b"\xff\xfe": "utf-16-le"}.get(raw[:2])
    yield Run(raw[2:].decode(coding, "replace") if coding else _decode_utf8(raw))


def _read_subrip(data: bytes) -> Iterator[Run]:
    """Parse subrip: tags as in HTML; some files also contain ASS override tags."""
    text, place, style = _decode_utf8(data), 0, frozenset[str]()
    for match in _SRT_MARK.finditer(text):
        closing = text.find("}", match.end())
        if match.start() < place:  # inside braces
            continue
        yield Run(text[place : match.start()], style)
        place = match.end()
        if match[0].endswith(_ZERO_WIDTH):  # not a tag, but text that looks like one
            yield Run(match[0][:-1], style)
        elif match[2]:
            style, place = _set_style(style, match[2].strip().lower(), not match[1]), match.end(2) + 1
        elif closing < 0:
            yield Run(match[0], style)
        else:
            style, place = _apply_overrides(text[place:closing], style, False)[0], closing + 1
    yield Run(text[place:], style)


def _read_webvtt(data: bytes) -> Iterator[Run]:
    text, place, style = _decode_utf8(data), 0, frozenset[str]()
    for match in _VTT_TAG.finditer(text):
        yield Run(html.unescape(text[place : match.start()]), style)
        style, place = _set_style(style, match[2].lower(), not match[1]), match.end()
    yield Run(html.unescape(text[place:]), style)


def _read_ass(data: bytes) -> Iterator[Run]:
    """Parse the last field of an ASS event. Braces contain override tags; after {\\p1} a drawing follows, not text."""
    text = _decode_utf8(data).split(",", _ASS_FIELDS)[-1]
    place, style, drawing = 0, frozenset[str](), False
    for match in _ASS_PART.finditer(text):
        if not drawing:
            yield Run(text[place : match.start()], style)
        place, what = match.end(), match[0]
        if what[0] == "{":
            style, drawing = _apply_overrides(what[1:-1], style, drawing)
        elif not drawing:
            yield Run({"N": "\n", "n": "\n", "h": "\u00a0", _ZERO_WIDTH: "\\"}.get(what[1], what[1]), style)
    if not drawing:
        yield Run(text[place:], style)


def _apply_overrides(tags: str, style: frozenset[str], drawing: bool) -> tuple[frozenset[str], bool]:
    """Apply ASS override tags; return the new style, and whether a drawing follows."""
    for match in _ASS_OVERRIDE.finditer(tags):
        letter, value = match[1], int(match[2] or 0) if len(match[2] or "") < 6 else 0
        if letter is None:
            style = frozenset()
        elif letter == "p":
            drawing = value > 0
        else:
            style = _set_style(style, letter, value >= _MIN_BOLD_WEIGHT if value > 1 else value == 1)
    return style, drawing


def _set_style(style: frozenset[str], name: str, on: bool) -> frozenset[str]:
    if len(name) != 1 or name not in _STYLES:
        return style
    return style | {name} if on else style - {name}


_READERS: dict[str, Callable[[bytes], Iterator[Run]]] = {
    "mov_text": _read_mov_text, "subrip": _read_subrip, "srt": _read_subrip, "webvtt": _read_webvtt,
    "ass": _read_ass, "ssa": _read_ass, "text": _read_plain,
}  # fmt: skip


def _write_mov_text(runs: Sequence[Run]) -> bytes:
    raw = "".join(run.text for run in runs).encode()[:_MAX_TEXT_BYTES].decode(errors="ignore").encode()
    return len(raw).to_bytes(2, "big") + raw


def _to_html_tags(runs: Iterable[Run]) -> str:
    out = []
    for text, style in runs:
        names = [name for name in _STYLES if name in style]
        out += [*(f"<{name}>" for name in names), text, *(f"</{name}>" for name in reversed(names))]
    return "".join(out)


def _escape_subrip(text: str) -> str:
    """Insert a zero-width character into text that looks like a tag, because subrip has no escape for it."""
    return _SRT_MARK.sub(lambda match: match[0] + _ZERO_WIDTH, text)


def _write_ass(runs: Iterable[Run]) -> str:
    out, before = [], frozenset[str]()
    for text, style in runs:
        changed = "".join(f"\\{name}{int(name in style)}" for name in _STYLES if (name in style) != (name in before))
        before = style
        text = text.replace("\\", "\\" + _ZERO_WIDTH).replace("{", r"\{").replace("}", r"\}").replace("\n", r"\N")
        out += [f"{{{changed}}}" if changed else "", text]
    return "".join(out)


@dataclass(frozen=True)
class Cue:
    """A text from `start` to `end` seconds; if `end` is None, until the next one starts."""

    start: Fraction
    end: Fraction | None
    runs: tuple[Run, ...]


class CueSplitter:
    """Splits overlapping cues into consecutive ones, for containers that display only one at a time."""

    def __init__(self) -> None:
        self._active: list[Cue] = []
        self._position = Fraction(-(1 << 63))  # output is complete up to this time

    def add(self, cue: Cue) -> Iterator[Cue]:
        """Add the next cue in order of time; yield the cues that are complete before it starts."""
        begin = max(cue.start, self._position)
        self._active = [replace(c, end=begin) if c.end is None and begin > c.start else c for c in self._active]
        yield from self._emit_until(begin)
        self._position = begin
        self._active.append(cue)

    def finish(self) -> Iterator[Cue]:
        """Yield the remaining cues."""
        self._active = [replace(c, end=c.start + _LAST_DURATION) if c.end is None else c for c in self._active]
        yield from self._emit_until(None)

    def _emit_until(self, limit: Fraction | None) -> Iterator[Cue]:
        while self._active:
            end = min([c.end for c in self._active if c.end is not None] + ([] if limit is None else [limit]))
            if end > self._position:
                yield Cue(self._position, end, tuple(_stack_runs(self._active)))
                self._position = end
            self._active = [c for c in self._active if c.end is None or c.end > end]
            if limit is not None and end >= limit:
                return


def _stack_runs(cues: Iterable[Cue]) -> Iterator[Run]:
    for number, cue in enumerate(cues):
        if number:
            yield Run("\n")
        yield from cue.runs
