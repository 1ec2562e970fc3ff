"""Shared parts of the verbs: options, input and output, checks, progress, number formats."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from dfccodec.cli.names import check_kind
from dfccodec.cli.terminal import is_encodable
from dfccodec.errors import NotDfcError, OutputExistsError, UsageError
from dfccodec.terminal_text import escape_for_terminal

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel
    from dfccodec.container.chunks import Damage
    from dfccodec.container.reader import Preamble

RANGE, TRACKS, MODEL, ADVANCED = "Range and size", "Audio and subtitles", "Model and machine", "Advanced"
"""Panels that `dfc encode --help` and `dfc decode --help` have in common."""

Output = Annotated[str, typer.Option("-o", "--output", help="Where to write; - is standard output.")]
Force = Annotated[bool, typer.Option("-y", "--yes", help="Overwrite the output.")]
AnyName = Annotated[
    bool,
    typer.Option(
        "-f", "--force", help="Accept an output name with the extension of another file type.", rich_help_panel=ADVANCED
    ),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Errors only.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
NoAudio = Annotated[bool, typer.Option("--no-audio", help="Leave audio out.", rich_help_panel=TRACKS)]
NoSubtitles = Annotated[bool, typer.Option("--no-subtitles", help="Leave subtitles out.", rich_help_panel=TRACKS)]
Start = Annotated[
    str | None,
    typer.Option(
        "--start", help="Begin here: seconds, hh:mm:ss.ms or #frame, from the first frame on.", rich_help_panel=RANGE
    ),
]
End = Annotated[str | None, typer.Option("--end", help="Stop before this, as in --start.", rich_help_panel=RANGE)]
Duration = Annotated[
    str | None, typer.Option("--duration", help="Length of the range, as in --start.", rich_help_panel=RANGE)
]
Model = Annotated[
    str,
    typer.Option("--model", help="mini, dfc-170m, a path, or hf://owner/repo@revision/file.", rich_help_panel=MODEL),
]
ModelOfFile = Annotated[
    str,
    typer.Option("--model", help="Location of the file's model, if its name does not say.", rich_help_panel=MODEL),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.", rich_help_panel=MODEL)]
Dtype = Annotated[str, typer.Option("--dtype", help="auto, float32 or bfloat16.", rich_help_panel=MODEL)]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Random seed.", rich_help_panel=ADVANCED)]


def print_stderr(text: str, quiet: bool = False) -> None:
    """Print a line on standard error, with control characters escaped."""
    if not quiet:
        sys.stderr.write(escape_for_terminal(text) + "\n")


def notes(lines: Iterable[str], quiet: bool = False) -> None:
    """Print notes on standard error, one line each."""
    for line in lines:
        print_stderr(f"dfc: note: {line}", quiet)


def result(record: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Print a JSON result on standard output; control characters are escaped as in JSON."""
    text = json.dumps(record, indent=2, ensure_ascii=False)
    if not is_encodable(text):
        text = json.dumps(record, indent=2)
    sys.stdout.write("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text) + "\n")


def fault(damage: Damage, kind: str | None = None) -> dict[str, Any]:
    """The JSON form of a fault: offset and size in bytes, reason, class (SPEC.md 2.1), repair."""
    record = {"offset": damage.offset, "bytes": damage.size, "class": kind or damage.kind, "reason": damage.reason}
    # "mended" is the first name of "repaired".
    return record | ({"repaired": damage.repaired, "mended": damage.repaired} if damage.repaired else {})


@contextlib.contextmanager
def reading(name: str) -> Iterator[BinaryIO]:
    """Open a .dfc file, or standard input for `-`.

    Raises:
        InputError: it cannot be opened, or it is not a .dfc file; the message names it.
    """
    from dfccodec.container.streams import open_binary, with_source_name

    try:
        if name == "-":
            with with_source_name("standard input"):
                yield sys.stdin.buffer
            return
        with open_binary(name) as stream, with_source_name(name):
            yield stream
    except NotDfcError as error:
        raise NotDfcError(f"{error}; dfc encode makes one from a video") from None


def check_output(
    output: str, overwrite: bool, source: str, json_result: bool = False, kind: str = ".dfc", any_name: bool = False
) -> None:
    """Check an output before any work, so that no data is lost.

    Args:
        output, source: names on the command line.
        overwrite: whether an existing file may be replaced.
        json_result: whether a result is printed on standard output.
        kind: `.dfc`, or empty for a video.
        any_name: whether the name may belong to another kind of file.

    Raises:
        OutputExistsError: the output exists and `-y` was not given.
        UsageError: the output is the input, a folder, a pipe, a device or a terminal; standard output is needed twice;
            or the name belongs to another kind of file.
    """
    if output == "-":
        if json_result:
            raise UsageError("standard output cannot take both the file and --json: name a file with -o")
        if sys.stdout.isatty():
            raise UsageError(
                "standard output is a terminal and the output is binary: name a file with -o, or use a pipe"
            )
        return
    path = Path(output)
    if source != "-" and path.exists() and Path(source).exists() and path.samefile(source):
        raise UsageError(f"output {output} is the input: name another output")
    if path.is_dir() or output.endswith(("/", os.sep)):
        raise UsageError(f"output {output} is a folder: name a file")
    if not any_name:
        check_kind(output, kind)
    from dfccodec.runtime.atomic_output import existing_images, resolve_target

    resolve_target(path)
    if not overwrite and (existing := existing_images(path)):
        what = (
            f"output {output} exists"
            if existing == [path]
            else f"images of {output}, such as {existing[0].name}, exist"
        )
        raise OutputExistsError(f"{what}: give -y to overwrite")


def check_page(name: str) -> None:
    """Check the name of an HTML page.

    Raises:
        UsageError: it has another extension, so no browser would show it.
    """
    if Path(name).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--html {name} is a page: name it {Path(name).with_suffix('.html')}")


def command_line() -> str:
    """The command as typed, for reports."""
    return shlex.join(["dfc", *sys.argv[1:]])


@contextlib.contextmanager
def writing(output: str) -> Iterator[BinaryIO]:
    """Open an output that appears when complete, or standard output for `-`."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    from dfccodec.runtime.atomic_output import replacing

    with replacing(Path(output)) as stream:
        yield stream


@contextlib.contextmanager
def progress(label: str, total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Progress bar with frames/s and time left, on standard error if that is a terminal. `total` 0 is unknown."""
    if quiet or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total or None, speed="")

        def advance(done: int) -> None:
            elapsed = bar.tasks[0].elapsed or 0
            bar.update(task, completed=done, speed=f"{done / elapsed:.1f} frames/s" if elapsed else "")

        yield advance


def limit_torch_threads() -> None:
    """Set the threads of torch to the CPUs available to this process."""
    import torch

    from dfccodec.runtime.forks import is_forked
    from dfccodec.runtime.resources import available_cpus

    torch.set_num_threads(1 if is_forked() else available_cpus())


def load_model_of(preamble: Preamble, spec: str | None, device: str, dtype: str, quiet: bool = False) -> LoadedModel:
    """Load the model of a file; `spec` says where it is, None that its name does."""
    from dfccodec.codec.api import model_for

    limit_torch_threads()
    loaded = model_for(preamble, spec, device, dtype)
    if (own := loaded.file_model) is not None:
        print_stderr(
            f"dfc: note: the file was made with model {own.name[:200]!a} ({own.fingerprint.hex()[:16]}…); "
            f"{loaded.identity.name} is another decoder of its latent space",
            quiet,
        )
    return loaded


def file_size(name: str) -> int:
    """Size of a file in bytes; 0 for standard input."""
    return 0 if name == "-" else os.stat(name).st_size


def count(number: int, what: str) -> str:
    """A number with its noun: `1 frame`, `2 frames`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def format_bytes(count: float) -> str:
    """Format a number of bytes in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
