"""Encoding of the output: characters that it lacks are replaced by ASCII.

A program whose output goes to a file or pipe gets a code page such as cp1252 on Windows, and ASCII on a Unix without a
locale.
"""

from __future__ import annotations

import codecs
import sys

_PLAIN = {
    "×": "x", "█": "#", "·": ".", "…": "...", "–": "-", "—": "-", "→": "->", "≥": ">=", "≤": "<=", "°": " degrees",
    "λ": "lambda", "²": "^2", "’": "'", "“": '"', "”": '"', "━": "-", "─": "-", "│": "|", "╭": "+", "╮": "+", "╰": "+",
    "╯": "+",
}  # fmt: skip
_HANDLER = "dfc-plain"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c, "?") for c in text), error.end


def replace_unencodable() -> None:
    """Let standard output and standard error replace characters that their encoding lacks."""
    codecs.register_error(_HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors=_HANDLER)


def is_encodable(text: str) -> bool:
    """Whether the encoding of standard output has every character of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
