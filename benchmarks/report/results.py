"""Results of benchmarks for the tables of pages, and what a table must say about them."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.clips import RESULTS, is_todays, weights_id

_earlier: set[str] = set()
"""Weights, other than the package's, of results read for the current table."""

_codings: set[str] = set()
"""Earlier default codings of results that were read for the current table."""


def result(name: str) -> Any:
    """Return the JSON result of a script."""
    found = json.loads((RESULTS / f"{name}.json").read_text())
    _earlier.update({found["weights"]} - {weights_id()})
    if not is_todays(name, found):
        _codings.add(found.get("coding", "range"))
    return found


def forget() -> None:
    """Begin a new table."""
    _earlier.clear()
    _codings.clear()


def notes() -> str:
    """Notes below the current table about results of earlier weights or codings."""
    out = ""
    if _codings:
        names = " and ".join(f"`--coding {name}`" for name in sorted(_codings))
        out += f"\n\nMeasured with {names}, an earlier default."
    if _earlier:
        out += f"\n\nMeasured with earlier weights ({', '.join(sorted(_earlier))})."
    return out
