"""Presets: names for sets of options, exact synonyms of them. Imports nothing: the command line shows them."""

from __future__ import annotations

PRESETS: dict[str, dict[str, str]] = {
    "fast": {"select": "importance", "effort": "fast"},
    "balanced": {"select": "importance", "effort": "normal"},
    "best": {"select": "dp", "effort": "normal", "refine": "10"},
    "archive": {"select": "greedy", "effort": "normal", "refine": "60"},
}
"""Name -> option -> value, as on the command line. An option that is given beside a preset wins."""

DEFAULTS = {"select": "importance", "fill": "motion", "coding": "range", "effort": "normal", "refine": "0"}
"""What holds where neither an option nor a preset says otherwise."""


def options_of(preset: str) -> str:
    """The long options a preset stands for."""
    return " ".join(f"--{name} {value}" for name, value in PRESETS[preset].items())


def table() -> str:
    """All presets in one line."""
    return "; ".join(f"{name} is {options_of(name)}" for name in PRESETS)
