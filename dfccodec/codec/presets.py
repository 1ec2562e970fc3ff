"""Presets: names for sets of options, exact synonyms of them. Imports nothing: the command line shows them."""

from __future__ import annotations

PRESETS: dict[str, dict[str, str]] = {
    "fast": {"frame_selection": "importance", "effort": "fast", "refine": "0"},
    "balanced": {"frame_selection": "importance", "effort": "normal"},
    "best": {"frame_selection": "importance", "effort": "normal", "refine": "4"},
    "archive": {"frame_selection": "greedy", "effort": "normal", "refine": "8"},
}
"""Name -> option -> value, as on the command line. An option that is given beside a preset wins.

`dp` stands in none: on four eval clips at 4 and 8 of 32 kept its choices cost within 2 % of those by importance, as
often more as less, and about a second of search.
"""

DEFAULTS = {"frame_selection": "importance", "fill": "motion", "effort": "normal"}
"""What holds where neither an option nor a preset says otherwise; how far to refine and how to code, the model says."""


def options_of(preset: str) -> str:
    """The long options a preset stands for."""
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in PRESETS[preset].items())


def table() -> str:
    """All presets in one line."""
    return "; ".join(f"{name} is {options_of(name)}" for name in PRESETS)
