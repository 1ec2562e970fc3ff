"""Where `dfc encode` writes, and what a person should know of what an interrupted one has left."""

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
    """As `common.writing`, to a file that a later `--resume` can go on with."""
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
            common.notes([f"{part.path} has what is done so far: the same command with --resume goes on from there"])
        raise


def _found(part: PartialOutput, resume: bool) -> Iterator[str]:
    if part.clips:
        yield f"going on with {part.path}: {part.clips} clips of {part.frames} frames are there"
    elif part.discarded_bytes and resume:
        yield f"{part.path} has no whole clip: beginning anew"
    elif part.discarded_bytes:
        yield f"{part.path} is what an interrupted encode has left: beginning anew; --resume would go on with it"
    elif resume:
        yield "nothing to go on with: beginning at the first frame"
