"""Going on with an interrupted encode at its next clip, to the very bytes of one that was not interrupted.

Clips are coded each alone, so the whole ones of a part can be taken as they are. The run that goes on does all that a
run from the front does, but for those clips it takes records and integers from the part instead of asking the model;
everything it writes up to the end of the last of them is compared with the part, byte by byte. Frames are compared by
the digests that the interrupted run has noted (`codec.part`), packets of sound and tags by the bytes they make.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch

from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.partial_output import DIGEST_BYTES, BusyError, PartialOutput
from dfccodec.codec.settings import Settings
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Clip
from dfccodec.entropy.latent_coding import decode_clip_integers
from dfccodec.errors import UsageError
from dfccodec.media.picture import Picture
from dfccodec.runtime.atomic_output import replacing
from dfccodec.version import __version__


@contextlib.contextmanager
def open_output(target: Path, settings: Settings, loaded: LoadedModel, resume: bool = False) -> Iterator[BinaryIO]:
    """Where an encode to a path writes: what is done is kept when it is interrupted, and becomes the target at last.

    Settings that try clips in many ways before one is final (targets, budget `auto`) would have to do most of that
    again: they write as every other verb does, and leave nothing.

    Args:
        target: the finished file.
        settings, loaded: of the encode.
        resume: go on with what an interrupted run has left, if anything.

    Raises:
        DfcError: the folder cannot be written; with `resume`, another process is writing this target.
        UsageError: `resume` with such settings, or what is there was made with other options.
    """
    several = settings.target or f"--budget {settings.budget}"
    if settings.resumable:
        try:
            part = PartialOutput(target, _record(settings, loaded), resume)
        except BusyError:
            if resume:
                raise
        else:
            try:
                yield cast(BinaryIO, part)
                part.finish()
            except BaseException as error:
                part.abandon(error)
                raise
            return
    elif resume:
        raise UsageError(
            f"--resume does not go with {several}, which tries clips in many ways before one is final: leave out one"
        )
    with replacing(target) as stream:
        yield stream


def _record(settings: Settings, loaded: LoadedModel) -> dict[str, str]:
    """What the integers of a clip follow from besides its frames."""
    seed = settings.seed if settings.budget.kind == "bernoulli" else 0
    return {
        "options": settings.describe(),
        "settings": repr(dataclasses.replace(settings, seed=seed)),  # options round some of them
        "model": f"{loaded.identity.name} {loaded.identity.fingerprint.hex()}",
        "device": f"{loaded.device.type} in {loaded.dtype}",
        "dfc": __version__,
        "torch": str(torch.__version__),
    }


def finished_clips(out: BinaryIO, batches: Iterator[Sequence[Picture]]) -> Iterator[tuple[Clip, np.ndarray]]:
    """The clips that `out` has already, with their integers; takes their frames from `batches`.

    Args:
        out: any stream; only a `PartialOutput` has something.
        batches: the frames of the video, clip by clip, from the first on.

    Raises:
        UsageError: the frames are not those that were coded.
    """
    if not isinstance(out, PartialOutput) or not out.clips:
        return
    with out.reader() as stream:
        reader = StreamReader(stream)
        clips = (item.clip for item in reader if isinstance(item, ClipAt))
        for number, clip in enumerate(itertools.islice(clips, out.clips)):
            if _digest(next(batches, ())) != out.digest(number):
                last = clip.first_frame + clip.frames - 1
                raise out.refusal(f"frames {clip.first_frame} to {last} of the source are not those that were coded")
            yield clip, decode_clip_integers(clip, reader.preamble.header)


def record_digests(out: BinaryIO, batches: Iterable[list[Picture]]) -> Iterator[list[Picture]]:
    """The same frames; `out`, if it is a `PartialOutput`, learns the digest of each clip's before it is coded."""
    for batch in batches:
        if isinstance(out, PartialOutput):
            out.record_digest(_digest(batch))
        yield batch
        del batch  # it would live on until the next one comes


def read_base_steps(out: BinaryIO) -> np.ndarray | None:
    """(C,) float32 steps of the file that is gone on with, None where there is none."""
    if not isinstance(out, PartialOutput) or not out.clips:
        return None
    with out.reader() as stream:
        return StreamReader(stream).preamble.steps


def _digest(pictures: Sequence[Picture]) -> str:
    """Of the pixels and times of frames that follow one another."""
    found = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for picture in pictures:
        found.update(struct.pack("<qq", picture.pts, picture.duration))
        found.update(np.ascontiguousarray(picture.rgb).data)
    return found.hexdigest()
