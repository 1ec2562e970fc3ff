"""`dfc encode` of the inputs of the command line, in this process or in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from dfccodec.cli import batch, common, partial_output
from dfccodec.cli.encode_file import EncodeOptions, encode_file, summary
from dfccodec.cli.terminal import replace_unencodable
from dfccodec.errors import DfcError
from dfccodec.runtime.child_process import ChildEndedError, ChildPool
from dfccodec.runtime.resources import cpus_per_process

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel


def encode_batch(
    jobs: Sequence[batch.Job], options: EncodeOptions, resume: bool, json: bool, quiet: bool, processes: int
) -> None:
    """Encode all inputs; `processes` at the same time, if there are several.

    Raises:
        DfcError: the error of a single job outside a batch.
        typer.Exit: with the highest exit code of a batch.
    """
    processes = min(processes, sum(not job.done for job in jobs))
    if processes > 1:
        pool = ChildPool(processes, cpus_per_process(processes))
        batch.run(
            jobs, lambda job, tell: _in_child(pool, job, options, resume, quiet, tell), json, quiet, pool.run_each
        )
        return
    load = cache(options.load)
    batch.run(jobs, lambda job, tell: tell(_encode(job, options, load, resume, quiet)), json, quiet)


def _encode(
    job: batch.Job, options: EncodeOptions, load: Callable[[], LoadedModel], resume: bool, quiet: bool
) -> dict[str, Any]:
    # In a batch, --resume also means to skip finished outputs, so it is allowed with settings that cannot resume.
    resumes = resume and (options.settings.resumable or not job.many)
    return encode_file(
        job.source,
        lambda loaded: partial_output.writing(job.output, options.settings, loaded, resumes, quiet),
        options,
        load,
        quiet,
    )


def _in_child(
    pool: ChildPool, job: batch.Job, options: EncodeOptions, resume: bool, quiet: bool, tell: batch.Tell
) -> None:
    try:
        record = pool.call(encode_in_child, job, options, resume)
    except ChildEndedError as error:
        raise DfcError(f"{error}; the same command with --resume encodes what is missing") from None
    common.notes((f"{job.source}: {note}" for note in record["notes"]), quiet)
    common.print_stderr(f"{job.output}: {summary(record)}", quiet)
    tell(record)


def encode_in_child(job: batch.Job, options: EncodeOptions, resume: bool) -> dict[str, Any]:
    """Encode one input in a child process, which keeps its model for the next one."""
    replace_unencodable()
    return _encode(job, options, lambda: _loaded(options), resume, quiet=True)


@lru_cache(maxsize=1)
def _loaded(options: EncodeOptions) -> LoadedModel:
    return options.load()
