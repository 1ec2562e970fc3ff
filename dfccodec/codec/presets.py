"""Presets: each is a set of options. Imports nothing, because `--help` shows them."""

from __future__ import annotations

PRESETS: dict[str, dict[str, str]] = {
    "fast": {"frame_selection": "importance", "coding": "inter", "effort": "fast", "refine": "0"},
    "balanced": {"frame_selection": "importance", "effort": "normal"},
    "best": {"frame_selection": "importance", "effort": "normal", "refine": "4"},
    "archive": {"frame_selection": "importance", "effort": "normal", "refine": "8"},
    "latents": {"coding": "zstd", "fill": "token", "refine": "0"},
}
"""Name -> option -> value, as on the command line. Options on the command line take precedence over a preset.

No preset selects frames by `dp` or `greedy`: with predicted kept frames their files are not smaller than those by
importance, and `greedy` takes ten times the time (`benchmarks/quality/ablation.py`).
"""

WITHOUT_TRACKS = ("latents",)
"""Presets that leave audio and subtitles out.

`latents` is for training data (docs/latents.md). Independent latents in zstd are read several times as fast as with the
range coder, in files 40 to 60 % larger; without motion and refinement an encode takes a third of the time.
"""

DEFAULTS = {"frame_selection": "importance", "fill": "blend", "effort": "normal"}
"""Defaults if neither an option nor a preset is given. The model decides on refinement and coding."""


def options_of(preset: str) -> str:
    """The command-line options of a preset."""
    tracks = " --no-audio --no-subtitles" if preset in WITHOUT_TRACKS else ""
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in PRESETS[preset].items()) + tracks


def table() -> str:
    """All presets in one line of text."""
    return "; ".join(f"{name} is {options_of(name)}" for name in PRESETS)
