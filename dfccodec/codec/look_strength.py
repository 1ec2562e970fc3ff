"""Names of looks. Loads no torch, so that the command line can check them first."""

from __future__ import annotations

import math
from collections.abc import Iterable

from dfccodec.errors import UsageError

FAITHFUL, SHARP, OF_FILE = "faithful", "sharp", "file"

KEY = "look"
"""Key in `tool` of the look that a writer suggests (SPEC.md 5.5)."""


def parse_look(look: str | float) -> float:
    """Strength of a look: 0 for `faithful`, 1 for `sharp`, or a number from 0 to 1 between them.

    Raises:
        UsageError: it is none of these.
    """
    named = {FAITHFUL: 0.0, SHARP: 1.0}
    if isinstance(look, str) and look in named:
        return named[look]
    try:
        strength = math.nan if isinstance(look, bool) else float(look)
    except (TypeError, ValueError):
        strength = math.nan
    if not 0 <= strength <= 1:
        raise UsageError(f"look {look!r} is not known: give {FAITHFUL}, {SHARP}, or a number from 0 to 1 between them")
    return strength


def strength_of(look: str | float, tool: Iterable[tuple[str, str]] = ()) -> float:
    """Strength of the look that a reader asked for: as :func:`parse_look`, or `file` for what the writer suggests.

    Args:
        look: the look.
        tool: pairs of the file.

    Raises:
        UsageError: it is none of these.
    """
    if look == OF_FILE:
        return suggested_look(tool)
    try:
        return parse_look(look)
    except UsageError as error:
        raise UsageError(f"{error}, or {OF_FILE} for what the file suggests") from None


def look_name(strength: float) -> str:
    """Name of a look of this strength, which :func:`parse_look` understands."""
    return {0.0: FAITHFUL, 1.0: SHARP}.get(strength, f"{strength:g}")


def suggested_look(tool: Iterable[tuple[str, str]]) -> float:
    """Strength of the look that the writer of a file suggests; 0 without a suggestion, or with one that is not known.

    Args:
        tool: pairs of the file.
    """
    try:
        return parse_look(dict(tool).get(KEY, FAITHFUL))
    except UsageError:
        return 0.0
