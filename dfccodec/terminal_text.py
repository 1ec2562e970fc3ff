"""Text from strangers, made safe to show: names, tags and messages may hold what moves a terminal's cursor."""

from __future__ import annotations


def escape_for_terminal(text: str) -> str:
    """Text with control characters, direction marks and lone surrogates escaped, as `\\x1b` (SPEC.md 12.4)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
