"""Output of `dfc encode`, with messages about the partial output of an interrupted run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dfccodec.cli import common

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel
    from dfccodec.codec.partial_output import PartialOutput
    from dfccodec.codec.settings import Settings


@contextlib.contextmanager
def writing(output: str, settings: Settings, loaded: LoadedModel, resume: bool, quiet: bool) -> Iterator[BinaryIO]:
    """As `common.writing`, to a file that a later `--resume` can continue."""
    if output == "-":
        with common.writing(output) as out:
            yield out
        return
    from dfccodec.codec import partial_output as parts
    from dfccodec.codec.resume import open_output

    part: PartialOutput | None = None
    try:
        with open_output(Path(output), settings, loaded, resume) as out:
            if isinstance(out, parts.PartialOutput):
                part = out
                common.notes(_found(part, resume), quiet)
            yield out
    except BaseException:
        if part and part.resumable:
            common.notes([f"{part.path} has the finished clips: the same command with --resume continues from there"])
        raise


def _found(part: PartialOutput, resume: bool) -> Iterator[str]:
    if part.clips:
        yield f"resuming {part.path}: {part.clips} clips of {part.frames} frames are finished"
    elif part.discarded_bytes and resume:
        yield f"{part.path} has no complete clip: starting from the beginning"
    elif part.discarded_bytes:
        yield f"{part.path} was left by an interrupted encode: starting from the beginning; --resume would continue it"
    elif resume:
        yield "nothing to resume: starting from the beginning"
