"""Escape untrusted text for terminals: names, tags and messages may contain control sequences."""

from __future__ import annotations


def escape_for_terminal(text: str) -> str:
    """Escape control characters, direction marks and lone surrogates, as `\\x1b` (SPEC.md 12.4)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
