"""The encode of one video by `dfc encode`: its options, its messages and its record."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, BinaryIO

from dfccodec.cli import batch, common
from dfccodec.errors import UsageError

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel
    from dfccodec.codec.settings import Settings
    from dfccodec.container.reader import Preamble
    from dfccodec.media.time_range import Span


@dataclass(frozen=True)
class SourceOptions:
    """Part of a source to encode; see `media.input.source.VideoSource`."""

    audio: bool
    subtitles: bool
    span: Span
    size: str | None
    video: int | None
    crop: str | None
    fps: str | None
    tags: bool


@dataclass(frozen=True)
class EncodeOptions:
    """Everything that determines an encode besides its source. Can be pickled, for other processes."""

    settings: Settings
    selection: SourceOptions
    model: str
    device: str
    dtype: str

    def load(self) -> LoadedModel:
        """Load the model."""
        from dfccodec.codec import api

        return api.load_model(self.model, self.device, self.dtype)

    def describe(self) -> dict[str, str]:
        """Text of all options that make another file."""
        selection = {name: str(value) for name, value in vars(self.selection).items()}
        return {"options": self.settings.describe(), "model": self.model, **selection}


def other_options(preamble: Preamble, options: EncodeOptions) -> tuple[str, str] | None:
    """Options with which a file was encoded, and those of `options`, where they differ; None if they do not.

    The name of a model is compared only if dfc knows it: that of a file of weights may be another one inside.
    """
    from dfccodec.models.entries import find_entry

    settings, model = options.settings.describe(), preamble.model.name
    made = dict(preamble.tool).get("settings", settings)
    if made != settings:
        return made, settings
    if find_entry(options.model) is not None and model != options.model:
        return f"--model {model}", f"--model {options.model}"
    return None


def check_finished(jobs: Sequence[batch.Job], options: EncodeOptions) -> None:
    """Check that the files that --resume skips were made with these options.

    Raises:
        UsageError: one was not.
    """
    from dfccodec.container.reader import StreamReader

    for job in jobs:
        if not job.done:
            continue
        with common.reading(job.output) as stream:
            differing = other_options(StreamReader(stream).preamble, options)
        if differing:
            raise UsageError(
                f"--resume would keep {job.output}, which was encoded with {differing[0]}, beside files with "
                f"{differing[1]}: give the same options, another --output-dir, or -y to encode all again"
            )


def encode_file(
    source: str | Path,
    writing: Callable[[LoadedModel], AbstractContextManager[BinaryIO]],
    options: EncodeOptions,
    load: Callable[[], LoadedModel],
    quiet: bool,
) -> dict[str, Any]:
    """Encode one video and return its JSON record.

    Args:
        source: file name, or - for standard input.
        writing: opens the output, for the loaded model.
        options: settings and part of the source.
        load: returns the model.
        quiet: print no notes, no progress and no summary.
    """
    from dfccodec.media.input.open_input import standard_input
    from dfccodec.media.input.source import VideoSource

    settings, selection = options.settings, options.selection
    name = standard_input() if source == "-" else Path(source)
    with VideoSource(name, **vars(selection)) as video, contextlib.ExitStack() as stack:
        from dfccodec.codec import frame_source
        from dfccodec.codec.encoder import encode_pictures

        common.limit_torch_threads()
        loaded = load()
        tracks = frame_source.open_tracks(video, stack)
        printed = len(video.notes)
        common.notes(video.notes, quiet)
        begun = perf_counter()
        with writing(loaded) as out, common.progress("encode", video.info.frames, quiet) as advance:
            shape = frame_source.FrameShape(selection.size, selection.crop, selection.fps)
            reopen = partial(frame_source.reopen_frames, name, span=selection.span, shape=shape, video=selection.video)
            second_pass = reopen if frame_source.is_repeatable(name) else None
            report = encode_pictures(video, video.info, out, loaded, settings, advance, second_pass, tracks)
        common.notes(report.notes[printed:], quiet)
    record = {
        "frames": report.frames, "kept": report.kept, "clips": report.clips, "bytes": report.size,
        "bits_per_pixel": report.size * 8 / (report.frames * video.info.width * video.info.height),
        "seconds": perf_counter() - begun, "settings": settings.describe(),
        "refined": report.rd_cost_saved, "target": report.outcome and report.outcome.record(),
        "notes": list(report.notes),
    }  # fmt: skip
    common.print_stderr(summary(record), quiet)
    if report.rd_cost_saved and settings.refine:  # only if --refine was given
        common.print_stderr(f"latent refinement: RD cost reduced by {report.rd_cost_saved:.1%}", quiet)
    if report.outcome:
        common.print_stderr(str(report.outcome), quiet)
    return record


def summary(record: dict[str, Any]) -> str:
    """The record of an encode in one line."""
    return (
        f"{common.count(record['frames'], 'frame')}, {record['kept']} kept in {common.count(record['clips'], 'clip')}, "
        f"{common.format_bytes(record['bytes'])}, {record['bits_per_pixel']:.4f} bits/pixel, "
        f"{record['frames'] / record['seconds']:.1f} frames/s"
    )
