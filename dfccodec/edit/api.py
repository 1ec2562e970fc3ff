"""Public `verify`, `recover` and `trim`, on paths, bytes and streams. Imports no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.clip.motion_again import MotionAgain
from dfccodec.container.streams import Readable, open_output, open_source, with_source_name
from dfccodec.edit import recover as recovering
from dfccodec.edit import trim as trimming
from dfccodec.edit import verify as verifying
from dfccodec.entropy.latent_coding import parse_coding
from dfccodec.errors import UsageError

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel


def verify(source: Readable, progress: Callable[[int], None] | None = None) -> verifying.Verdict:
    """Check a file as a strict reader; see :func:`dfccodec.edit.verify.verify`.

    Raises:
        InputError: the file cannot be opened.
        DfcError: see there.
    """
    with _reading(source) as stream:
        return verifying.verify(stream, progress)


def recover(
    source: Readable, out: str | Path | BinaryIO, progress: Callable[[int], None] | None = None
) -> recovering.Recovered:
    """Rewrite a truncated or damaged file into a valid one; see :func:`dfccodec.edit.recover.recover`.

    A path `out` is written to a temporary file, which is renamed when complete.

    Raises:
        InputError: the file cannot be opened.
        DfcError: see there.
    """
    _check_apart(source, out)
    with _reading(source) as stream, open_output(out) as to:
        return recovering.recover(stream, to, progress)


def trim(
    source: Readable,
    out: str | Path | BinaryIO,
    budget: str | float | Budget | None = None,
    start: int = 0,
    end: int | None = None,
    seed: int = 256,
    progress: Callable[[int], None] | None = None,
    on_note: Callable[[str], None] | None = None,
    coding: str | None = None,
    search: LoadedModel | None = None,
) -> tuple[int, int]:
    """Cut a file to a smaller budget, to frames [start, end), or both; or change its coding.

    `coding` is `zstd`, `range` or `inter`. If `search` is the model of the file, the motion of clips that lose kept
    frames is searched anew in their decoded frames: nearly as good as an encode with the new budget, and hardly
    faster. See :func:`dfccodec.edit.trim.trim`.

    A path `out` is written to a temporary file, which is renamed when complete; it may be the input itself.

    Raises:
        InputError: the file cannot be opened.
        UsageError: start or end is not a frame number.
        ModelError: `search` is not the model of the file.
        DfcError: see there.
    """
    code = None if coding is None else parse_coding(coding)
    chosen = budget if budget is None else Budget.of(budget)
    for name, frame in (("start", start), ("end", end)):
        if frame is not None and (not isinstance(frame, int) or frame < 0):
            raise UsageError(f"{name} {frame!r} is not a frame number: give a whole number from 0")
    _check_apart(source, out)
    with _reading(source) as stream, open_output(out) as to:
        again = None if search is None else partial(MotionAgain, loaded=search)
        return trimming.trim(stream, to, chosen, start, end, seed, progress, on_note, code, again)


@contextlib.contextmanager
def _reading(source: Readable) -> Iterator[BinaryIO]:
    if isinstance(source, str | Path):
        with open_source(source) as stream, with_source_name(source):
            yield stream
    else:
        yield open_source(source)


def _check_apart(source: Readable, out: str | Path | BinaryIO) -> None:
    if source is out and not isinstance(out, str | Path):
        raise UsageError("the output is the input stream: give another one, or a path, which is replaced at the end")
