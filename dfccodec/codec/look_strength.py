"""Names of looks. Loads no torch, so that the command line can check them first."""

from __future__ import annotations

import math

from dfccodec.errors import UsageError

FAITHFUL, SHARP = "faithful", "sharp"


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
