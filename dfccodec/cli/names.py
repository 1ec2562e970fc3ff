"""Checks and advice for arguments: misleading file names, names that look like options, unknown options."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from dfccodec.errors import UsageError
from dfccodec.runtime.atomic_output import extension_error

_MEANT = {
    "crf": "qp", "quality": "qp", "quantizer": "qp", "cq": "qp", "cqp": "qp", "q": "qp", "q:v": "qp", "qscale": "qp",
    "b:v": "bitrate", "br": "bitrate", "vb": "bitrate", "rate": "bitrate", "vbr": "bitrate",
    "filesize": "target-size", "psnr": "min-psnr", "speed": "preset", "usage": "preset", "cpu-used": "preset",
    "scale": "size", "resize": "size", "s": "size", "resolution": "size", "vf": "size", "height": "size",
    "keep": "budget", "frames": "budget", "k": "budget", "top-k": "budget", "keyframes": "budget",
    "ss": "start", "from": "start", "to": "end", "until": "end", "t": "duration", "length": "duration",
    "r": "cfr", "fps": "cfr", "framerate": "cfr", "c:v": "codec", "vcodec": "codec", "encoder": "codec",
    "c:a": "audio-codec", "acodec": "audio-codec", "an": "no-audio", "mute": "no-audio", "sn": "no-subtitles",
    "overwrite": "yes", "out": "output", "out-dir": "output-dir", "outdir": "output-dir",
    "pixel-format": "pix-fmt", "container": "format", "recover": "conceal", "ignore-errors": "conceal",
}  # fmt: skip
"""What users of other encoders call an option, and its name here."""


def check_kind(output: str, kind: str) -> None:
    """Check that the extension of an output fits its contents.

    Args:
        output: path of the output.
        kind: `.dfc`, or empty for a video.

    Raises:
        UsageError: it does not; the message suggests a name.
    """
    if wrong := extension_error(Path(output), bool(kind)):
        raise UsageError(f"{wrong}, or give {'-f' if kind else '-f and --format'} to insist")


def protect_file_names(arguments: Sequence[str]) -> list[str]:
    """Prefix existing files whose names begin with a dash, as from a shell's `*`, with `./`."""
    out: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*out, *arguments[number:]]
        looks = argument.startswith("-") and "." in argument and "=" not in argument
        out.append(f"./{argument}" if looks and Path(argument).is_file() else argument)
    return out


def command_advice(word: str, verbs: Sequence[str]) -> str:
    """Advice for an unknown verb."""
    if Path(word).suffix == ".dfc":
        return f"a file is decoded with: dfc decode {word} -o {Path(word).with_suffix('.mp4')}"
    if Path(word).exists() or Path(word).suffix:
        return f"a video is encoded with: dfc encode {word} -o {Path(word).with_suffix('.dfc')}"
    close = difflib.get_close_matches(word, verbs, 1)
    return f"{f'did you mean {close[0]}? ' if close else ''}the commands are {', '.join(verbs)}; dfc -h explains them"


def advice(option: str, known: Sequence[str]) -> str:
    """Advice for an unknown option; empty for none.

    Args:
        option: the option as typed, as `--crf` or `-crf`.
        known: options of the verb, as `--qp`.
    """
    name = option.lstrip("-")
    if name in ("i", "input"):
        return "inputs need no option, as in: dfc encode in.mp4 -o out.dfc"
    meant = "--" + _MEANT.get(name, "")
    if meant in known:
        return f"the option is called {meant} here"
    if name in _MEANT:
        return "dfc has no such option"
    close = difflib.get_close_matches("--" + option.lstrip("-"), known, 2)
    return f"did you mean {' or '.join(close)}?" if close else ""


_OLD_OPTIONS = {"--snap": "--deadzone", "--select": "--frame-selection", "--mirror": "--keep-tree"}
"""Old name -> new name. Old names are accepted and not shown."""


def with_current_names(arguments: Sequence[str]) -> list[str]:
    """Replace the old names of options. Arguments after `--` are file names and stay unchanged."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    found = []
    for argument in arguments[:end]:
        name, equals, value = argument.partition("=")
        found.append(_OLD_OPTIONS.get(name, name) + equals + value)
    return [*found, *arguments[end:]]
