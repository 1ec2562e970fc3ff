"""`dfc encode`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from dfccodec.cli import batch, common, partial_output
from dfccodec.codec import presets
from dfccodec.errors import UsageError

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel
    from dfccodec.codec.settings import Settings
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


QUALITY = "Rate and quality targets"
"""Panel of `dfc encode --help`, after the first one, which has what most people need."""


EPILOG = (
    "Forms of --budget: 8 (of 32), 25%, all, bernoulli:0.185 (random, with this share), threshold:0.5 (frames "
    "above this importance), auto:1.5:2,4,8,16 (by content: weight of a higher rate, then the rates to choose from, in "
    f"frames per kept frame). Presets: {presets.table()}. Options on the command line take precedence over a preset."
)


def encode(
    source: Annotated[list[str], typer.Argument(metavar="INPUT…", help="Videos that PyAV reads; - is standard input.")],
    output: batch.Output = "",
    output_dir: batch.OutputDir = "",
    budget: Annotated[
        str | None,
        typer.Option(help="Frames kept: 8 (of 32), 25%, all or auto.", show_default="8"),
    ] = None,
    qp: Annotated[
        int | None, typer.Option(help="Quantizer index, 0 (finest) to 63 (coarsest).", show_default="24")
    ] = None,
    preset: Annotated[str | None, typer.Option(help=f"Preset: {', '.join(presets.PRESETS)}.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted encode or batch.")] = False,
    yes: common.Force = False,
    quiet: common.Quiet = False,
    json: common.Json = False,
    target_size: Annotated[
        str | None,
        typer.Option(help="Size of the file, as 2MiB, 300kB or bytes; within 3 %.", rich_help_panel=QUALITY),
    ] = None,
    bitrate: Annotated[
        str | None,
        typer.Option(help="Bits per second of the whole file, as 300k; within 3 %.", rich_help_panel=QUALITY),
    ] = None,
    min_psnr: Annotated[
        float | None,
        typer.Option(help="RGB-PSNR of the whole video in dB; exceeded by 0.2 dB at most.", rich_help_panel=QUALITY),
    ] = None,
    rd_lambda: Annotated[
        float | None,
        typer.Option(
            "--lambda",
            help="Rate–distortion slope: squared error per bit, of samples in 0…1; about 0.02 is QP 24.",
            rich_help_panel=QUALITY,
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Fail and write nothing when a target is missed.", rich_help_panel=QUALITY),
    ] = False,
    start: common.Start = None,
    end: common.End = None,
    duration: common.Duration = None,
    size: Annotated[
        str | None,
        typer.Option("--size", help="Scale first: the short side, as 480, or 640x360.", rich_help_panel=common.RANGE),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop", help="Then take the centre, as 256x256, or 256 for a square.", rich_help_panel=common.RANGE
        ),
    ] = None,
    fps: Annotated[
        str | None,
        typer.Option(
            "--fps", help="Frames per second: leave out or repeat frames first.", rich_help_panel=common.RANGE
        ),
    ] = None,
    video: Annotated[
        int | None,
        typer.Option("--video", min=0, help="Which video stream, counted from 0.", rich_help_panel=common.RANGE),
    ] = None,
    no_audio: common.NoAudio = False,
    no_subtitles: common.NoSubtitles = False,
    model: common.Model = "mini",
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    fill: Annotated[
        str | None,
        typer.Option(
            help="Fill policy, how dropped frames are reconstructed: token, motion, blend, hold, lerp, generate.",
            show_default="blend",
            rich_help_panel=common.ADVANCED,
        ),
    ] = None,
    coding: Annotated[
        str | None,
        typer.Option(
            help="Coding of the kept frames: predicted (from decoded pictures, smallest), inter (latents that other "
            "programs can read, with motion-compensated prediction), range (no prediction), zstd (fastest to read).",
            show_default="predicted; inter with other fill policies; range with models other than mini",
            rich_help_panel=common.ADVANCED,
        ),
    ] = None,
    frame_selection: Annotated[
        str | None,
        typer.Option(
            help="How the kept frames are chosen: importance (by the model), dp (dynamic programming on the estimated "
            "distortion), greedy (dp, then trial encodes).",
            show_default="importance",
            rich_help_panel=common.ADVANCED,
        ),
    ] = None,
    deadzone: Annotated[
        float | None,
        typer.Option(
            help="Dead zone, in quantizer steps: a latent within 0.5 + X of its prediction takes the predicted value. "
            "0 to 0.5.",
            show_default="0.15",
            rich_help_panel=common.ADVANCED,
        ),
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option(
            help="Motion search: fast (±32 px, fewer refinement steps) or normal (±48 px).",
            show_default="normal",
            rich_help_panel=common.ADVANCED,
        ),
    ] = None,
    refine: Annotated[
        int | None,
        typer.Option(
            help="Iterations of latent refinement: more take longer and give smaller files.",
            show_default="2; 0 with models other than mini",
            rich_help_panel=common.ADVANCED,
        ),
    ] = None,
    seed: common.Seed = 256,
    keep_tree: batch.KeepTree = False,
    any_name: common.AnyName = False,
) -> None:
    """Encode a video into a .dfc file, or several into --output-dir."""
    jobs = batch.plan(source, output, output_dir, keep_tree, ".dfc", yes, json, resume, any_name)
    if resume and any(job.output == "-" for job in jobs):
        raise UsageError("--resume needs an output file: name one with -o")
    # Modules that load torch, which takes seconds, are imported after the options are checked.
    from dfccodec.codec.choose.target import Target
    from dfccodec.codec.settings import make_settings
    from dfccodec.media.time_range import Span

    target = Target.of(target_size, bitrate, min_psnr, rd_lambda, strict)
    settings = make_settings(
        preset=preset, budget=budget, qp=qp, fill=fill, seed=seed, coding=coding, deadzone=deadzone, target=target,
        frame_selection=frame_selection, effort=effort, refine=refine,
    )  # fmt: skip
    _check_finished(jobs, settings.describe())
    span = Span.parse(start, end, duration)
    loaded = batch.cache_last(partial(_load, device=device, dtype=dtype), key=str)
    tracks = preset not in presets.WITHOUT_TRACKS
    selection = SourceOptions(tracks and not no_audio, tracks and not no_subtitles, span, size, video, crop, fps)

    def one(job: batch.Job, tell: batch.Tell) -> None:
        # In a batch, --resume also means to skip finished outputs, so it is allowed with settings that cannot resume.
        resumes = resume and (settings.resumable or not job.many)
        _encode(job, settings, lambda: loaded(model), selection, resumes, quiet, tell)

    batch.run(jobs, one, json, quiet)


def _check_finished(jobs: Sequence[batch.Job], settings: str) -> None:
    """Check that the files that --resume skips were made with these settings.

    Raises:
        UsageError: one was not.
    """
    from dfccodec.container.reader import StreamReader

    for job in jobs:
        if not job.done:
            continue
        with common.reading(job.output) as stream:
            made = dict(StreamReader(stream).preamble.tool).get("settings", settings)
        if made != settings:
            raise UsageError(
                f"--resume would keep {job.output}, which was encoded with {made}, beside files with {settings}: give "
                "the same options, another --output-dir, or -y to encode all again"
            )


def _load(spec: str, device: str, dtype: str) -> LoadedModel:
    from dfccodec.codec import api

    return api.load_model(spec, device, dtype)


def _encode(
    job: batch.Job,
    settings: Settings,
    load: Callable[[], LoadedModel],
    selection: SourceOptions,
    resume: bool,
    quiet: bool,
    tell: batch.Tell,
) -> None:
    """Encode one video; `resume` an interrupted run if there is one."""
    from dfccodec.media.input.open_input import standard_input
    from dfccodec.media.input.source import VideoSource

    output, name = job.output, standard_input() if job.source == "-" else Path(job.source)
    with VideoSource(name, **vars(selection)) as video, contextlib.ExitStack() as stack:
        from dfccodec.codec import frame_source
        from dfccodec.codec.encoder import encode_pictures

        common.limit_torch_threads()
        loaded = load()
        tracks = frame_source.open_tracks(video, stack)
        printed = len(video.notes)
        common.notes(video.notes, quiet)
        begun = perf_counter()
        opened = partial_output.writing(output, settings, loaded, resume, quiet)
        with opened as out, common.progress("encode", video.info.frames, quiet) as advance:
            shape = frame_source.FrameShape(selection.size, selection.crop, selection.fps)
            reopen = partial(frame_source.reopen_frames, name, span=selection.span, shape=shape, video=selection.video)
            second_pass = reopen if frame_source.is_repeatable(name) else None
            report = encode_pictures(video, video.info, out, loaded, settings, advance, second_pass, tracks)
        common.notes(report.notes[printed:], quiet)
    seconds = perf_counter() - begun
    bpp = report.size * 8 / (report.frames * video.info.width * video.info.height)
    common.print_stderr(
        f"{common.count(report.frames, 'frame')}, {report.kept} kept in {common.count(report.clips, 'clip')}, "
        f"{common.format_bytes(report.size)}, "
        f"{bpp:.4f} bits/pixel, {report.frames / seconds:.1f} frames/s",
        quiet,
    )
    if report.rd_cost_saved and settings.refine:  # only if --refine was given
        common.print_stderr(f"latent refinement: RD cost reduced by {report.rd_cost_saved:.1%}", quiet)
    if report.outcome:
        common.print_stderr(str(report.outcome), quiet)
    tell({
        "frames": report.frames, "kept": report.kept, "clips": report.clips, "bytes": report.size,
        "bits_per_pixel": bpp, "seconds": seconds, "settings": settings.describe(),
        "refined": report.rd_cost_saved, "target": report.outcome and report.outcome.record(),
        "notes": list(report.notes),
    })  # fmt: skip
