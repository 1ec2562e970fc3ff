"""What a terminal or pipe can show: signs that its encoding lacks become plain ones, and never an error.

Windows gives a program whose output goes into a file or pipe a code page such as cp1252; a Unix without a locale,
ASCII.
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


def write_plainly() -> None:
    """Let standard output and standard error put a plain sign where their encoding has none."""
    codecs.register_error(_HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors=_HANDLER)


def can_show(text: str) -> bool:
    """Whether standard output's encoding has every character of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
