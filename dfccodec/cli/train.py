"""`dfc train`."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from dfccodec.cli import common
from dfccodec.errors import OutputExistsError, UsageError


def train(
    data: Annotated[Path, typer.Option(help="Folder of videos, of *.frames.npy, or of .dfc files (segments, dit).")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for checkpoints, log, curves and weights.")],
    recipe: Annotated[str, typer.Option(help="A name, such as mini or dit, or the path of a .toml file.")] = "mini",
    minutes: Annotated[float | None, typer.Option(help="Length of the run in minutes, evaluations included.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the run in steps.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Resume from this last.pt.")] = None,
    start: Annotated[str | None, typer.Option(help="Start from these weights: a model's name or file.")] = None,
    name: Annotated[
        str, typer.Option(help="Name of the weights, which coded files carry.", show_default="that of --out")
    ] = "",
    stage: Annotated[str | None, typer.Option(help="Only this stage of the recipe.")] = None,
    stop_after: Annotated[int | None, typer.Option(min=1, help="Stop at this step; continue with --resume.")] = None,
    report: Annotated[float, typer.Option(min=0, help="Minutes between evaluations and checkpoints.")] = 5.0,
    frames: Annotated[int, typer.Option(min=1, help="Maximum frames in memory per video.")] = 64,
    threads: Annotated[int, typer.Option(min=0, help="Number of threads; 0 uses all available CPUs.")] = 0,
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    seed: common.Seed = 256,
    quiet: common.Quiet = False,
) -> None:
    """Train a model on a folder of videos, or resume a run."""
    if resume and start:
        raise UsageError("--resume and --start exclude each other: give one of them")
    last = out / "last.pt"
    if last.exists() and not (resume is not None and resume.exists() and resume.samefile(last)):
        raise OutputExistsError(f"{last} exists: resume with --resume {last}, or name another --out")
    from dfccodec.training.run import TrainRequest
    from dfccodec.training.run import train as run

    request = TrainRequest(
        recipe,
        data,
        out,
        minutes,
        steps,
        resume,
        start,
        stage,
        stop_after,
        report,
        frames,
        device,
        dtype,
        threads,
        seed,
        name,
    )
    with _notices(quiet or os.environ.get("RANK", "0") != "0") as notice:
        try:
            ended = run(request, notice)
        except KeyboardInterrupt:
            weights = f"; weights so far in {out / 'model.safetensors'}" if (out / "model.safetensors").exists() else ""
            common.print_stderr(f"stopped; continue with --resume {last}{weights}", quiet)
            raise
    common.print_stderr(f"{'weights in' if ended else 'stopped; continue with --resume'} "
               f"{out / ('model.safetensors' if ended else 'last.pt')}", quiet)  # fmt: skip


@contextlib.contextmanager
def _notices(quiet: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Progress bar on a terminal; otherwise one line per evaluation, on standard error."""
    if quiet:
        yield lambda _: None
        return
    if not sys.stderr.isatty():
        yield lambda row: None if "part" in row else common.print_stderr(_line(row))
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("footage", total=1.0)

        def show(row: dict[str, Any]) -> None:
            if "part" in row:
                bar.update(task, completed=row["part"], description=f"{row['stage']} cost {row['cost']:.2f} dB")
            else:
                bar.console.print(_line(row), highlight=False, markup=False)

        yield show


def _line(row: dict[str, Any]) -> str:
    return str(row["note"]) if "note" in row else "  ".join(f"{key} {value}" for key, value in row.items())
