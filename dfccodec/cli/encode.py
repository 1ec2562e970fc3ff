"""`dfc encode`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
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
class Picked:
    """What of a source is encoded; see `media.source.VideoSource`."""

    audio: bool
    subtitles: bool
    span: Span
    size: str | None
    video: int | None


def encode(
    source: Annotated[list[str], typer.Argument(metavar="INPUT…", help="Any video PyAV reads; - is standard input.")],
    output: batch.Output = "",
    output_dir: batch.OutputDir = "",
    mirror: batch.Mirror = False,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Frames kept: 8 (of 32), 25%, all, bernoulli, bernoulli:0.185, threshold, threshold:0.5, auto, "
            "auto:1.5, auto:1.5:2,4,8,16 (by content; weight of a higher rate; frames per kept frame).",
            show_default="8; with a target, what serves it best",
        ),
    ] = None,
    qp: Annotated[
        int | None,
        typer.Option(
            help="Quantizer index, 0 (finest) to 63 (coarsest).", show_default="24; with a target, what serves it best"
        ),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"Options by name; those given beside it win: {presets.table()}.")
    ] = None,
    fill: Annotated[
        str | None,
        typer.Option(help="What stands where a frame was dropped: token, motion, hold, lerp.", show_default="motion"),
    ] = None,
    coding: Annotated[
        str | None,
        typer.Option(
            help="How integers are coded: inter (smallest: expects what has moved), range, zstd.",
            show_default="inter; range with models other than mini",
        ),
    ] = None,
    snap: Annotated[
        float | None,
        typer.Option(help="Slack in steps to repeat the kept frame before, 0 to 0.5.", show_default="0.15"),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            help="How frames are chosen: importance (the model's), dp (by what gaps cost), greedy (dp, then tries).",
            show_default="importance",
        ),
    ] = None,
    effort: Annotated[
        str | None, typer.Option(help="How long to search for motion: fast, normal.", show_default="normal")
    ] = None,
    refine: Annotated[
        int | None,
        typer.Option(
            help="Steps of descent on the latents themselves: more take longer, files get smaller.",
            show_default="2; 0 with models other than mini",
        ),
    ] = None,
    target_size: Annotated[
        str | None, typer.Option(help="Size of the file, as 2MiB, 300kB or bytes; hit within 3 %.")
    ] = None,
    bitrate: Annotated[
        str | None, typer.Option(help="Bits a second of video, the whole file, as 300k; hit within 3 %.")
    ] = None,
    min_psnr: Annotated[
        float | None, typer.Option(help="RGB-PSNR of the whole video in dB; reached from there to 0.2 dB above.")
    ] = None,
    price: Annotated[
        float | None,
        typer.Option("--lambda", help="Squared error one bit must save, of samples in 0…1; about 0.02 is QP 24."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail and write nothing when a target is missed.")] = False,
    size: Annotated[str | None, typer.Option("--size", help="Scale first: the short side, as 480, or 640x360.")] = None,
    start: common.Start = None,
    end: common.End = None,
    duration: common.Duration = None,
    video: Annotated[
        int | None,
        typer.Option("--video", min=0, help="Which video stream, from 0, where there are several or it is a cover."),
    ] = None,
    no_audio: common.NoAudio = False,
    no_subtitles: common.NoSubtitles = False,
    model: common.Model = "mini",
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    seed: common.Seed = 256,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with what an interrupted run has left; a batch passes over outputs that are there."
        ),
    ] = False,
    json: common.Json = False,
    yes: common.Force = False,
    any_name: common.AnyName = False,
    quiet: common.Quiet = False,
) -> None:
    """Encode a video into a .dfc file, or several into --output-dir."""
    jobs = batch.plan(source, output, output_dir, mirror, ".dfc", yes, json, resume, any_name)
    if resume and any(job.output == "-" for job in jobs):
        raise UsageError("--resume needs a file to go on with, standard output keeps none: name one with -o")
    # What loads torch, seconds, is imported once options and the source have been found right.
    from dfccodec.codec.choose.target import Target
    from dfccodec.codec.options import make_settings
    from dfccodec.media.time_range import Span

    target = Target.of(target_size, bitrate, min_psnr, price, strict)
    settings = make_settings(
        preset=preset, budget=budget, qp=qp, fill=fill, seed=seed, coding=coding, snap=snap, target=target,
        select=select, effort=effort, refine=refine,
    )  # fmt: skip
    span = Span.parse(start, end, duration)
    loaded = batch.cache_last(partial(_load, device=device, dtype=dtype), key=str)
    picked = Picked(not no_audio, not no_subtitles, span, size, video)

    def one(job: batch.Job, tell: batch.Tell) -> None:
        # In a batch --resume means what is done, too, so it goes with settings that leave no parts.
        onward = resume and (settings.resumable or not job.many)
        _encode(job, settings, lambda: loaded(model), picked, onward, quiet, tell)

    batch.run(jobs, one, json, quiet)


def _load(spec: str, device: str, dtype: str) -> LoadedModel:
    from dfccodec.codec import api

    return api.load_model(spec, device, dtype)


def _encode(
    job: batch.Job,
    settings: Settings,
    load: Callable[[], LoadedModel],
    picked: Picked,
    resume: bool,
    quiet: bool,
    tell: batch.Tell,
) -> None:
    """Encode one video; go on with what an interrupted run has left to `resume`."""
    from dfccodec.media.input.source import VideoSource, standard_input

    output, name = job.output, standard_input() if job.source == "-" else Path(job.source)
    with VideoSource(name, **vars(picked)) as video, contextlib.ExitStack() as stack:
        from dfccodec.codec import api
        from dfccodec.codec.encoder import encode_pictures

        common.use_free_threads()
        loaded = load()
        tracks = api.opened_tracks(video, stack)
        told = len(video.notes)
        common.notes(video.notes, quiet)
        begun = perf_counter()
        opened = partial_output.writing(output, settings, loaded, resume, quiet)
        with opened as out, common.progress("encode", video.info.frames, quiet) as advance:
            look = partial(api.reopen_frames, name, span=picked.span, size=picked.size, video=picked.video)
            again = look if api.repeatable(name) else None
            report = encode_pictures(video, video.info, out, loaded, settings, advance, again, tracks)
        common.notes(report.notes[told:], quiet)
    seconds = perf_counter() - begun
    bpp = report.size * 8 / (report.frames * video.info.width * video.info.height)
    common.print_stderr(
        f"{common.count(report.frames, 'frame')}, {report.kept} kept in {common.count(report.clips, 'clip')}, "
        f"{common.format_bytes(report.size)}, "
        f"{bpp:.4f} bits/pixel, {report.frames / seconds:.1f} frames/s",
        quiet,
    )
    if report.rd_cost_saved and settings.refine:  # by default nobody asked
        common.print_stderr(f"refinement: {report.rd_cost_saved:.1%} less of error and bits together", quiet)
    if report.outcome:
        common.print_stderr(str(report.outcome), quiet)
    tell({
        "frames": report.frames, "kept": report.kept, "clips": report.clips, "bytes": report.size,
        "bits_per_pixel": bpp, "seconds": seconds, "settings": settings.describe(),
        "refined": report.rd_cost_saved, "target": report.outcome and report.outcome.record(),
        "notes": list(report.notes),
    })  # fmt: skip
