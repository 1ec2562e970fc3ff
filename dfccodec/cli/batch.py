"""Several inputs in one run: output names, continuing after an error, and the exit code."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from dfccodec.cli import common
from dfccodec.errors import DfcError, UsageError, describe_error

Output = Annotated[
    str, typer.Option("-o", "--output", help="Where to write; - is standard output.", show_default=False)
]
OutputDir = Annotated[
    str, typer.Option("--output-dir", help="Folder for the outputs of one or more inputs.", show_default=False)
]
KeepTree = Annotated[
    bool,
    typer.Option(
        "--keep-tree",
        rich_help_panel=common.ADVANCED,
        help="Recreate the inputs' folder tree, relative to their common parent, in --output-dir.",
    ),
]
A = TypeVar("A")
B = TypeVar("B")
Tell = Callable[[dict[str, Any]], object]
"""Receives the JSON record of a job."""


@dataclass(frozen=True)
class Job:
    """An input and its output; `many` if it belongs to a batch, `done` if its output exists from an earlier run."""

    source: str
    output: str
    many: bool = False
    done: bool = False


def plan(
    inputs: Sequence[str],
    output: str,
    folder: str,
    keep_tree: bool,
    suffix: str,
    overwrite: bool = False,
    json_result: bool = False,
    resume: bool = False,
    any_name: bool = False,
    inside: Mapping[str, str] | None = None,
) -> list[Job]:
    """Map inputs to outputs and check them before any work, so that no data is lost.

    Args:
        inputs: at least one file.
        output: value of `-o`, for one input; empty if not given.
        folder: value of `--output-dir`; empty if not given.
        keep_tree: value of `--keep-tree`.
        suffix: extension of the outputs in the folder, as `.dfc`.
        overwrite, json_result, any_name: see :func:`common.check_output`.
        resume: treat existing outputs in the folder as finished, unless `overwrite`.
        inside: inputs that come from a folder, with their paths relative to it, which their outputs keep.

    Raises:
        UsageError: neither or both outputs are given, two inputs have the same output, or an output is an input.
        OutputExistsError: an output exists.
    """
    for source in inputs:
        _check_name(source)
    found = (
        _jobs_in_folder(inputs, output, folder, keep_tree, suffix, inside or {})
        if folder
        else [_single_job(inputs, output, keep_tree, suffix)]
    )
    sources = {os.path.realpath(job.source): job.source for job in found if job.source != "-"}
    for job in found:
        same = sources.get(os.path.realpath(job.output)) if job.output != "-" else None
        past = resume and job.many and same is None
        kind = suffix if suffix == ".dfc" else ""
        common.check_output(
            job.output, overwrite or past, same or job.source, json_result and not folder, kind, any_name
        )
    if not resume or overwrite:
        return found
    return [replace(job, done=job.many and Path(job.output).is_file()) for job in found]


def _check_name(source: str) -> None:
    if not source:
        raise UsageError("an input's name is empty: give a file, or - for standard input")
    if "://" in source and not Path(source).exists():
        raise UsageError(
            f"input {source} is an address: fetch it first, as with curl, and name the file or pipe it to -"
        )


def _single_job(inputs: Sequence[str], output: str, keep_tree: bool, suffix: str) -> Job:
    if keep_tree:
        raise UsageError("--keep-tree needs --output-dir: give --output-dir FOLDER too")
    meant = len(inputs) == 2 and not output and (Path(inputs[1]).suffix == suffix or not Path(inputs[1]).exists())
    if meant:
        raise UsageError(f"{inputs[1]} is taken as a second input: write -o {inputs[1]} to name the output")
    if len(inputs) > 1:
        raise UsageError(f"{len(inputs)} inputs cannot have one output: give --output-dir FOLDER")
    if not output:
        example = Path(inputs[0]).with_suffix(suffix).name if inputs[0] != "-" else "FILE"
        raise UsageError(f"no output for {inputs[0]}: give -o {example}, or --output-dir FOLDER")
    return Job(inputs[0], output)


def _jobs_in_folder(
    inputs: Sequence[str], output: str, folder: str, keep_tree: bool, suffix: str, insides: Mapping[str, str]
) -> list[Job]:
    if output:
        raise UsageError(f"-o {output} and --output-dir {folder} both say where to write: give one of them")
    check_folder(folder)
    if "-" in inputs:
        raise UsageError("standard input has no name for --output-dir: give it alone, with -o")
    for source in inputs:
        if Path(source).is_dir():
            raise UsageError(f"input {source} is a folder: name its files, as {source.rstrip('/')}/*")
    root = _shared_folder(inputs) if keep_tree else ""
    found: dict[str, str] = {}
    for source in inputs:
        inside = Path(os.path.relpath(source, root) if keep_tree else insides.get(source, Path(source).name))
        target = str(Path(folder) / inside.with_suffix(suffix))
        if target in found:
            if os.path.realpath(source) == os.path.realpath(found[target]):
                raise UsageError(f"input {source} is given twice: name it once")
            fix = "rename one" if keep_tree else "rename one, or give --keep-tree where their folders differ"
            raise UsageError(f"{found[target]} and {source} would both become {target}: {fix}")
        found[target] = source
    return [Job(source, target, True) for target, source in found.items()]


def check_folder(folder: str) -> None:
    """Check an output folder before any work.

    Raises:
        UsageError: it is a file, or below one.
    """
    there = next((place for place in (Path(folder), *Path(folder).parents) if place.exists()), None)
    if there and not there.is_dir():
        raise UsageError(f"--output-dir {folder} cannot be created: {there} is a file; name another folder")


def _shared_folder(inputs: Sequence[str]) -> str:
    try:
        return os.path.commonpath([os.path.dirname(os.path.abspath(source)) for source in inputs])
    except ValueError:  # two drives of Windows
        raise UsageError("--keep-tree needs inputs that share a folder: run it once for each drive") from None


def _one_by_one(work: Callable[[A], None], arguments: Iterable[A]) -> None:
    for argument in arguments:
        work(argument)


def run(
    jobs: Sequence[Job],
    work: Callable[[Job, Tell], object],
    json: bool = False,
    quiet: bool = False,
    run_each: Callable[[Callable[[int], None], Iterable[int]], None] = _one_by_one,
) -> None:
    """Run all jobs; continue after a failed one.

    Args:
        jobs: from :func:`plan`.
        work: runs one job and reports its JSON record.
        json, quiet: options of the command line.
        run_each: calls a function with each number, perhaps in several threads.

    Raises:
        DfcError: the error of a single job outside a batch.
        typer.Exit: with the highest exit code of a batch.
    """
    if not jobs[0].many:
        _run_single(jobs[0], work, json)
        return
    records: list[dict[str, Any]] = [{"input": job.source, "output": job.output} for job in jobs]
    written: dict[tuple[int, int], str] = {}

    def one(number: int) -> None:
        job, place = jobs[number], f"[{number + 1}/{len(jobs)}]"
        if job.done:
            common.print_stderr(f"{place} {job.output} exists already: skipped", quiet)
            records[number] |= {"skipped": True, "passed_over": True}
            return
        common.print_stderr(f"{place} {job.source} → {job.output}", quiet)
        try:
            _refuse_another_name(job.output, written)
            Path(job.output).parent.mkdir(parents=True, exist_ok=True)
            work(job, records[number].update)
            if inode := _place(job.output):
                written[inode] = job.output
        except Exception as error:  # including a bug: the next file may still work
            records[number] |= _report_error(job.source, error)

    run_each(one, range(len(jobs)))
    failed = [record for record in records if "exit_code" in record]
    names = ", ".join(record["input"] for record in failed[:3])
    names += f" and {len(failed) - 3} more" if len(failed) > 3 else ""
    common.print_stderr(
        f"{len(jobs) - len(failed)} of {len(jobs)} done" + (f"; failed: {names}" if failed else ""), quiet
    )
    if json:
        common.result(records)
    if failed:
        raise typer.Exit(max(record["exit_code"] for record in failed))


def each(inputs: Sequence[str], work: Callable[[str, Tell], None], json: bool = False, quiet: bool = False) -> None:
    """Process inputs without outputs; continue after a failed one.

    Args:
        inputs: file names.
        work: processes one input and reports its JSON record.
        json, quiet: options of the command line.

    Raises:
        typer.Exit: with the highest exit code.
    """
    records: list[dict[str, Any]] = []
    codes: list[int] = []
    for source in inputs:
        records.append({"input": source})
        try:
            work(source, records[-1].update)
        except Exception as error:
            records[-1] |= _report_error(source, error)
            codes.append(records[-1]["exit_code"])
    common.print_stderr(f"{len(inputs) - len(codes)} of {len(inputs)} ok", quiet)
    if json:
        common.result(records)
    if codes:
        raise typer.Exit(max(codes))


def _report_error(source: str, error: Exception) -> dict[str, Any]:
    """Print an error with the name of the input, and return its JSON form."""
    failure = describe_error(error)
    text = str(failure["error"])
    named = f" {source} " in f" {text} ".replace(":", " ")
    common.print_stderr(f"dfc: error: {text if named else f'{source}: {text}'}")
    return failure


def _run_single(job: Job, work: Callable[[Job, Tell], object], json: bool) -> None:
    """Run a single job. With --json, a failure without a record becomes a record."""
    records: list[dict[str, Any]] = []
    try:
        work(job, records.append)
    except (DfcError, OSError, MemoryError) as error:
        if not records:
            records.append({"input": job.source, "output": job.output} | describe_error(error))
        raise
    finally:
        for record in records if json else ():
            common.result(record)


def _refuse_another_name(output: str, written: dict[tuple[int, int], str]) -> None:
    """Reject an output that is another output of this run: some file systems ignore case."""
    other = written.get(_place(output) or (-1, -1))
    if other is not None:
        raise UsageError(
            f"output {output} is {other}, which this run has written: rename an input, or give --keep-tree"
        )


def _place(path: str) -> tuple[int, int] | None:
    """Device and inode number of a file; None if it does not exist."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None  # some network file systems have no inode numbers


def cache_last(make: Callable[[A], B], key: Callable[[A], object]) -> Callable[[A], B]:
    """Cache the last result of `make` by key, so that a batch loads its model once."""
    last: list[tuple[object, B]] = []

    def get(argument: A) -> B:
        wanted = key(argument)
        if not last or last[0][0] != wanted:
            last.clear()  # release the old model first: two may not fit into memory
            last.append((wanted, make(argument)))
        return last[0][1]

    return get
