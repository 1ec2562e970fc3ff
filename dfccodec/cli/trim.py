"""`dfc trim`."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from dfccodec.cli import common
from dfccodec.errors import UsageError


def trim(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A .dfc file; - is standard input.")],
    output: common.Output,
    budget: Annotated[str, typer.Option(help="The new budget, as in encode; empty keeps all kept frames.")] = "",
    frames: Annotated[
        str,
        typer.Option(
            help="Keep frames START:END only, END not included; either may be empty. Clips with predicted kept frames "
            "(see encode --coding) may be kept whole."
        ),
    ] = "",
    seed: common.Seed = 256,
    json: common.Json = False,
    yes: common.Force = False,
    any_name: common.AnyName = False,
    quiet: common.Quiet = False,
) -> None:
    """Make a smaller .dfc file: fewer kept frames or a range of frames. Needs no model; nothing is re-encoded."""
    if not budget and not frames:
        raise UsageError("nothing to trim: give --budget, --frames or both")
    start, end = _range(frames)
    common.check_output(output, yes, source, json, any_name=any_name)
    from dfccodec.codec.choose.budgets import Budget
    from dfccodec.edit.trim import trim as cut

    rule, notes = Budget.parse(budget) if budget else None, list[str]()
    with (
        common.reading(source) as stream,
        common.writing(output) as out,
        common.progress("trim", 0, quiet) as advance,
    ):
        total, kept = cut(stream, out, rule, start, end, seed, advance, notes.append)
    for note in notes:
        common.print_stderr(f"dfc: note: {note}", quiet)
    sizes = {} if "-" in (source, output) else {"bytes": common.file_size(output), "was": common.file_size(source)}
    tail = f", {common.format_bytes(sizes['bytes'])} of {common.format_bytes(sizes['was'])}" if sizes else ""
    common.print_stderr(f"{common.count(total, 'frame')}, {kept} kept{tail}", quiet)
    if json:
        common.result({"frames": total, "kept": kept, **sizes})


def _range(text: str) -> tuple[int, int | None]:
    """Parse `START:END`."""
    if not text:
        return 0, None
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if not match or (match[1] and match[2] and int(match[1]) >= int(match[2])):
        raise UsageError(f"range {text!r} is not understood: give START:END with START below END, as 0:100")
    return int(match[1] or 0), int(match[2]) if match[2] else None
