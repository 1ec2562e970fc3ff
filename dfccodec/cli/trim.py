"""`dfc trim`."""

from __future__ import annotations

import re
from functools import partial
from operator import attrgetter
from typing import Annotated

import typer

from dfccodec.cli import batch, common
from dfccodec.errors import UsageError


def trim(
    source: Annotated[list[str], typer.Argument(metavar="INPUT…", help=".dfc files; - is standard input.")],
    output: batch.Output = "",
    output_dir: batch.OutputDir = "",
    budget: Annotated[str, typer.Option(help="The new budget, as in encode; empty keeps all kept frames.")] = "",
    frames: Annotated[
        str,
        typer.Option(
            help="Keep frames START:END only, END not included; either may be empty. Clips with predicted kept frames "
            "(see encode --coding) may be kept whole."
        ),
    ] = "",
    coding: Annotated[
        str | None,
        typer.Option(help="Code the latents again, without loss, as zstd, range or inter; see encode --coding."),
    ] = None,
    search: Annotated[
        bool,
        typer.Option(
            "--search",
            help="Search the motion of clips that lose kept frames anew, in their decoded frames: nearly as good as an "
            "encode with that budget, but hardly faster than one, and it needs the model.",
        ),
    ] = False,
    model: common.ModelOfFile = "",
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    seed: common.Seed = 256,
    json: common.Json = False,
    yes: common.Force = False,
    keep_tree: batch.KeepTree = False,
    any_name: common.AnyName = False,
    quiet: common.Quiet = False,
) -> None:
    """Make a smaller .dfc file: fewer kept frames or a range of frames; or change the coding. Needs no model, except
    with --search."""
    if not budget and not frames and coding is None:
        raise UsageError("nothing to trim: give --budget, --frames or --coding")
    if search and not budget and not frames:
        raise UsageError("--search only works on clips that lose kept frames: give --budget or --frames too")
    start, end = _range(frames)
    jobs = batch.plan(source, output, output_dir, keep_tree, ".dfc", yes, json, any_name=any_name)
    from dfccodec.codec.choose.budgets import Budget
    from dfccodec.codec.clip.motion_again import MotionAgain
    from dfccodec.edit.trim import trim as cut
    from dfccodec.entropy.latent_coding import parse_coding

    load = batch.cache_last(
        partial(common.load_model_of, spec=model or None, device=device, dtype=dtype, quiet=quiet),
        attrgetter("model"),
    )
    again = (lambda preamble: MotionAgain(preamble, load(preamble))) if search else None
    rule, code = Budget.parse(budget) if budget else None, None if coding is None else parse_coding(coding)

    def one(job: batch.Job, tell: batch.Tell) -> None:
        notes = list[str]()
        with (
            common.reading(job.source) as stream,
            common.writing(job.output) as out,
            common.progress("trim", 0, quiet) as advance,
        ):
            total, kept = cut(stream, out, rule, start, end, seed, advance, notes.append, code, again)
        for note in notes:
            common.print_stderr(f"dfc: note: {note}", quiet)
        piped = "-" in (job.source, job.output)
        sizes = {} if piped else {"bytes": common.file_size(job.output), "was": common.file_size(job.source)}
        tail = f", {common.format_bytes(sizes['bytes'])} of {common.format_bytes(sizes['was'])}" if sizes else ""
        common.print_stderr(f"{common.count(total, 'frame')}, {kept} kept{tail}", quiet)
        tell({"frames": total, "kept": kept, **sizes})

    batch.run(jobs, one, json, quiet)


def _range(text: str) -> tuple[int, int | None]:
    """Parse `START:END`."""
    if not text:
        return 0, None
    match = re.fullmatch(r"(\d*):(\d*)", text)
    if not match or (match[1] and match[2] and int(match[1]) >= int(match[2])):
        raise UsageError(f"range {text!r} is not understood: give START:END with START below END, as 0:100")
    return int(match[1] or 0), int(match[2]) if match[2] else None
