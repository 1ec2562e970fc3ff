"""Resume an interrupted encode at its next clip. The result has the bytes of an uninterrupted encode.

Clips are coded independently, so the complete clips of a partial output can be reused. A resumed run does everything a
new run does, but for these clips it takes records and integers from the partial output instead of running the model.
Everything it writes up to the end of the last complete clip is compared with the partial output, byte by byte. Frames
are compared by the digests in the log (`codec.partial_output`), audio packets and tags by the bytes they make.
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
from dfccodec.codec.partial_output import BusyError, PartialOutput
from dfccodec.codec.partial_scan import DIGEST_BYTES
from dfccodec.codec.settings import Settings
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.container.records import Clip
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.errors import UsageError
from dfccodec.media.picture import Picture
from dfccodec.runtime.atomic_output import replacing
from dfccodec.version import __version__


@contextlib.contextmanager
def open_output(target: Path, settings: Settings, loaded: LoadedModel, resume: bool = False) -> Iterator[BinaryIO]:
    """Open the output of an encode to a path. An interrupted encode leaves a partial output that can be resumed.

    Encodes with a target or budget `auto` encode each clip several times before the result is final. They cannot be
    resumed and leave nothing.

    Args:
        target: path of the finished file.
        settings, loaded: settings and model of the encode.
        resume: resume an interrupted run, if there is one.

    Raises:
        DfcError: the folder cannot be written; with `resume`, another process is writing this target.
        UsageError: `resume` with settings that cannot be resumed, or the partial output was made with other options.
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
            f"--resume does not go with {several}, which encodes each clip several times before one is final: leave "
            "one of them out"
        )
    with replacing(target) as stream:
        yield stream


def _record(settings: Settings, loaded: LoadedModel) -> dict[str, str]:
    """Everything besides the frames that determines the integers of a clip."""
    seed = settings.seed if settings.budget.kind == "bernoulli" else 0
    return {
        "options": settings.describe(),
        "settings": repr(dataclasses.replace(settings, seed=seed)),  # the options round some values
        "model": f"{loaded.identity.name} {loaded.identity.fingerprint.hex()}",
        "device": f"{loaded.device.type} in {loaded.dtype}",
        "dfc": __version__,
        "torch": str(torch.__version__),
    }


def finished_clips(out: BinaryIO, batches: Iterator[Sequence[Picture]]) -> Iterator[tuple[Clip, np.ndarray]]:
    """Yield the clips that `out` already holds, with their integers; consumes their frames from `batches`.

    Args:
        out: any stream; only a `PartialOutput` holds clips.
        batches: the frames of the video, clip by clip, from the first one.

    Raises:
        UsageError: the frames differ from those that were coded.
    """
    if not isinstance(out, PartialOutput) or not out.clips:
        return
    with out.reader() as stream:
        reader = StreamReader(stream)
        clips = (item.clip for item in reader if isinstance(item, ClipAt))
        for number, clip in enumerate(itertools.islice(clips, out.clips)):
            if _digest(next(batches, ())) != out.digest(number):
                last = clip.first_frame + clip.frames - 1
                raise out.refusal(
                    f"frames {clip.first_frame} to {last} of the source differ from those that were coded"
                )
            yield clip, decode_latents(clip, reader.preamble.header)


def record_digests(out: BinaryIO, batches: Iterable[list[Picture]]) -> Iterator[list[Picture]]:
    """Pass frames on; a `PartialOutput` records the digest of each clip before the clip is coded."""
    for batch in batches:
        if isinstance(out, PartialOutput):
            out.record_digest(_digest(batch))
        yield batch
        del batch  # otherwise it stays in memory until the next one arrives


def read_base_steps(out: BinaryIO) -> np.ndarray | None:
    """Base steps (C,) float32 of the file that is resumed; None if nothing is resumed."""
    if not isinstance(out, PartialOutput) or not out.clips:
        return None
    with out.reader() as stream:
        return StreamReader(stream).preamble.steps


def _digest(pictures: Sequence[Picture]) -> str:
    """Digest of the pixels and timestamps of consecutive frames."""
    found = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for picture in pictures:
        found.update(struct.pack("<qq", picture.pts, picture.duration))
        found.update(np.ascontiguousarray(picture.rgb).data)
    return found.hexdigest()
