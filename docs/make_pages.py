"""Write docs/man/dfc.1 and the tables of options in docs/verbs/ from the command line itself.

python docs/make_pages.py            # a test says when this is to be run
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer

from dfccodec.cli.main import build
from dfccodec.version import __version__

_KINDS = ((int, "N"), (float, "X"), (Path, "PATH"))
HERE = Path(__file__).resolve().parent
EXITS = (
    ("0", "done"),
    ("1", "failed"),
    ("2", "usage"),
    ("3", "input unreadable or unsupported"),
    ("4", "file damaged"),
    ("5", "model missing or mismatched"),
    ("6", "output exists"),
    ("130", "interrupted"),
)
VARIABLES = (
    ("OMP_NUM_THREADS", "Threads to work with, at the most."),
    ("NO_COLOR", "No colour in help and errors."),
    ("HF_HOME, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE", "Where models are kept and got from, as in huggingface_hub."),
)


def commands() -> dict[str, Any]:
    """Every verb by its full name, `models list` among them, in the order of `dfc --help`."""
    found: dict[str, Any] = {}

    def collect(group: Any, before: str) -> None:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                collect(command, f"{before}{name} ")
            else:
                found[before + name] = command

    collect(typer.main.get_command(build([])), "")
    return found


def rows(command: Any) -> Iterator[tuple[str, str]]:
    """Each option as people type it, and what it does."""
    hints = get_type_hints(inspect.unwrap(command.callback))  # typer's own types differ from version to version
    for option in command.params:
        if option.param_type_name == "option" and option.name != "help" and not option.hidden:
            value = "" if option.is_flag else f" {_value(option, hints[option.name])}"
            default = option.show_default if isinstance(option.show_default, str) else option.default
            shown = f" [{default}]" if default not in (None, "", False, True) and not callable(default) else ""
            yield ", ".join(sorted(option.opts, key=len)) + value, " ".join(option.help.split()) + shown


def panels(command: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """The panels of a verb's help in order, each with its rows; the name of the first one is empty."""
    found: dict[str, list[tuple[str, str]]] = {"": []}
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help" and not p.hidden]
    for option, row in zip(options, rows(command), strict=True):
        found.setdefault(getattr(option, "rich_help_panel", None) or "", []).append(row)
    return [(name, listed) for name, listed in found.items() if listed]


def usage(name: str, command: Any) -> str:
    """The synopsis of a verb."""
    arguments = [_argument(p) for p in command.params if p.param_type_name == "argument"]
    return " ".join(["dfc", name, *arguments, "[OPTIONS]"])


def text_of(command: Any) -> str:
    """What a verb does."""
    return " ".join(inspect.cleandoc(command.help or "").split())


def man() -> str:
    """dfc.1 in roff."""
    out = [
        f'.TH DFC 1 "" "dfc {__version__}" "User commands"',
        ".SH NAME",
        r"dfc \- a learned video codec",
        ".SH SYNOPSIS",
    ]
    for name, command in commands().items():
        out += [".PP", r"\fB" + _roff(usage(name, command)) + r"\fR"]
    out += [".SH DESCRIPTION", _roff(text_of(typer.main.get_command(build([])))), ".PP"]
    out += [_roff("- as a name is standard input or output. An output appears when it is complete or not at all.")]
    out += [".SH COMMANDS"]
    for name, command in commands().items():
        out += [f".SS {_roff('dfc ' + name)}", _roff(text_of(command))]
        for panel, listed in panels(command):
            out += [".PP", r"\fI" + _roff(panel) + r"\fR"] if panel else []
            for option, what in listed:
                out += [".TP", r"\fB" + _roff(option) + r"\fR", _roff(what)]
        out += [".PP", _roff(command.epilog)] if command.epilog else []
    for title, table in (("EXIT STATUS", EXITS), ("ENVIRONMENT", VARIABLES)):
        out.append(f".SH {title}")
        for key, what in table:
            out += [".TP", rf"\fB{_roff(key)}\fR", _roff(what)]
    return "\n".join(out) + "\n"


def table(names: list[str]) -> str:
    """The options of verbs in Markdown."""
    found = commands()
    out = []
    for name in names:
        out += ["```text", usage(name, found[name]), "```", ""]
        for panel, options in panels(found[name]):
            listed = [f"| `{option}` | {what.replace('|', '&#124;')} |" for option, what in options]
            out += [f"| {panel or 'option'} | |", "| --- | --- |", *listed, ""]
        out += [found[name].epilog, ""] if found[name].epilog else []
    return "\n".join(out)


def filled(page: str) -> str:
    """A page with its tables made anew."""
    found = commands()

    def replace(match: re.Match[str]) -> str:
        names = [name for name in found if name == match[1] or name.startswith(match[1] + " ")]
        return f"<!-- options: {match[1]} -->\n\n{table(names)}\n<!-- end -->"

    return re.sub(r"<!-- options: (\w+) -->.*?<!-- end -->", replace, page, flags=re.S)


def _argument(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _value(option: Any, hint: Any) -> str:
    return str(option.metavar or next((name for kind, name in _KINDS if kind in _parts(hint)), "TEXT"))


def _parts(hint: Any) -> tuple[Any, ...]:
    """A type, or those of a union."""
    return (hint, *get_args(hint))


def _roff(text: str) -> str:
    text = text.replace("\\", r"\(rs").replace("-", r"\-").replace("…", "...")
    return r"\&" + text if text[:1] in ".'" else text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write man/ and verbs/ into")
    out = parser.parse_args().out
    (out / "man").mkdir(parents=True, exist_ok=True)
    (out / "man" / "dfc.1").write_text(man(), encoding="utf-8")
    (out / "verbs").mkdir(exist_ok=True)
    for page in (HERE / "verbs").glob("*.md"):
        (out / "verbs" / page.name).write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
