"""`dfc encode --manifest`: the files of a list, by one or several processes (`dfccodec.manifest`)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dfccodec.cli import batch, common
from dfccodec.cli.encode_file import EncodeOptions, encode_file, other_options, summary
from dfccodec.cli.terminal import replace_unencodable
from dfccodec.errors import DfcError, OutputExistsError, UsageError
from dfccodec.manifest.items import Item, read_items
from dfccodec.manifest.ray_workers import run_on_ray
from dfccodec.manifest.records import DONE, Records, sizes
from dfccodec.manifest.run import Totals, check_same_options, write_results
from dfccodec.manifest.worker import MAX_CRASHES, Folders, Worker
from dfccodec.runtime.child_process import parent_lives, run_in_children
from dfccodec.runtime.resources import cpus_per_process

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel


@dataclass(frozen=True)
class ManifestTask:
    """One run of a list. Can be pickled, for other processes.

    Args:
        manifest: the list.
        output: the output folder.
        keep_tree: value of `--keep-tree`.
        options: options of the encodes.
        overwrite, quiet: values of `-y` and `-q`.
        since: what earlier runs have recorded; see `manifest.records.Records`.
    """

    manifest: Path
    output: Path
    keep_tree: bool
    options: EncodeOptions
    overwrite: bool
    quiet: bool
    since: Mapping[str, int] = field(default_factory=dict)

    @property
    def folders(self) -> Folders:
        """Where the list keeps its state."""
        return Folders.of(self.manifest, self.output)

    def items(self) -> list[Item]:
        """The files of the list."""
        return read_items(self.manifest, ".dfc", self.keep_tree)

    def records(self) -> Records:
        """What has been recorded so far."""
        return Records(self.folders.state / "records", "none", self.since)

    def started(self) -> ManifestTask:
        """This run, with what earlier ones have recorded."""
        return replace(self, since=sizes(self.folders.state / "records"))

    def absolute(self) -> ManifestTask:
        """This run with absolute paths, for machines with another working folder."""
        return replace(self, manifest=self.manifest.absolute(), output=self.output.absolute())


class _Encode:
    """The work on each file."""

    def __init__(self, options: EncodeOptions) -> None:
        self._options = options

    @cached_property
    def _loaded(self) -> LoadedModel:
        return self._options.load()

    def encode(self, item: Item, output: Path) -> dict[str, Any]:
        """Encode a video into a file that is flushed to disk."""
        return encode_file(
            item.path, lambda loaded: common.writing(str(output)), self._options, lambda: self._loaded, quiet=True
        )

    def find(self, item: Item, output: Path) -> dict[str, Any] | None:
        """Figures of an output that a killed process, or an earlier encode with the same options, has finished.

        Raises:
            OutputExistsError: the output is damaged, or was made with other options.
        """
        if not output.exists():
            return None
        from dfccodec.cli.inspect import describe
        from dfccodec.container.scan import scan

        fix = "give -y to encode it again, or remove it"
        try:
            with common.reading(str(output)) as stream:
                found = scan(stream)
        except DfcError as error:
            raise OutputExistsError(f"output {output} exists and is no whole .dfc file ({error}): {fix}") from None
        differing = other_options(found.preamble, self._options)
        if found.damage or differing:
            what = "was encoded with {}, not with {}".format(*differing) if differing else "is damaged"
            raise OutputExistsError(f"output {output} exists and {what}: {fix}")
        record = describe(found)
        figures = {name: record[name] for name in ("frames", "kept", "bytes", "bits_per_pixel")}
        return figures | {"clips": len(found.clips), "settings": self._options.settings.describe(), "found": True}


def check(manifest: str, sources: Sequence[str], output: str, folder: str, recursive: bool) -> None:
    """Check the options that name files.

    Raises:
        UsageError: they do not fit together.
    """
    if sources:
        raise UsageError(f"--manifest {manifest} and input {sources[0]} are given: leave out one of them")
    if recursive:
        raise UsageError(f"--manifest {manifest} and --recursive are given: leave out one of them")
    if output or not folder:
        wrong = f"-o {output} names one output" if output else "no output folder"
        raise UsageError(f"--manifest {manifest} has many outputs, and {wrong}: give --output-dir FOLDER")
    batch.check_folder(folder)


def run(task: ManifestTask, jobs: int, json: bool, ray: str = "") -> None:
    """Encode the files of a list; other runs may work on the same list.

    Args:
        task: the run.
        jobs: number of processes.
        json: value of `--json`.
        ray: address of a Ray cluster for the processes; empty for this machine.

    Raises:
        DfcError: the list is invalid, or nothing can be encoded.
        typer.Exit: with the highest exit code of the files that failed.
    """
    items = task.items()
    check_same_options(task.folders, task.options.describe())
    task = task.started()
    try:
        restart = partial(_may_restart, task, jobs, {})
        if ray:
            run_on_ray(ray, jobs, ray_threads(), work_in_child, [task.absolute()], restart, task.quiet)
        elif jobs == 1:
            _work(task, items)
        else:
            run_in_children(jobs, cpus_per_process(jobs), work_in_child, [task], restart)
    except BaseException:
        with contextlib.suppress(OSError):
            write_results(task.folders, items, task.records())
        raise
    _report(task, items, json)


def work_in_child(task: ManifestTask) -> None:
    """Work on a list until nothing is left, or the process that started this one has ended."""
    replace_unencodable()
    _work(task, task.items(), parent_lives)


def _work(task: ManifestTask, items: Sequence[Item], proceed: Callable[[], bool] = lambda: True) -> None:
    def tell(record: dict[str, Any], count: int) -> None:
        line = f"[{count}/{len(items)}] {record['input']} → {record['output']}: "
        if record["state"] != DONE:
            common.print_stderr(f"dfc: error: {line}{record['error']}")
            return
        figures = "exists already" if record.get("found") else summary(record)
        common.print_stderr(line + figures, task.quiet)
        common.notes((f"{record['input']}: {note}" for note in record.get("notes", ())), task.quiet)

    Worker(task.folders, items, _Encode(task.options), task.since, task.overwrite, tell=tell).run(proceed)


def ray_threads() -> int:
    """Threads of each worker on a cluster: `OMP_NUM_THREADS`, or one, because this machine's CPUs say nothing there."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(given)) if given.isdigit() else 1


def _may_restart(task: ManifestTask, jobs: int, seen: dict[str, int], error: DfcError) -> bool:
    """Whether to replace a process that has ended: not after many without one new record."""
    recorded = sum(sizes(task.folders.state / "records").values())
    if recorded != seen.get("recorded"):
        seen.update(recorded=recorded, deaths=0)
    seen["deaths"] += 1
    again = seen["deaths"] <= jobs * MAX_CRASHES
    what = "another one goes on" if again else "no other one is started, because none finishes a file"
    common.print_stderr(f"dfc: note: {error}: {what}", task.quiet)
    return again


def _report(task: ManifestTask, items: Sequence[Item], json: bool) -> None:
    totals: Totals = write_results(task.folders, items, task.records())
    done, failed = totals.states[DONE], totals.states["failed"]
    names = ", ".join(totals.failed) + (f" and {failed - 3} more" if failed > 3 else "")
    line = f"{done} of {len(items)} done" + (f"; failed: {names}" if failed else "")
    common.print_stderr(f"{line}; {task.folders.results}", task.quiet)
    if json:
        common.result({"files": len(items), **totals.states, "results": str(task.folders.results)})
    if totals.exit_code:
        raise typer.Exit(totals.exit_code)
