"""`dfc encode`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dfccodec.cli import batch, common, encode_manifest
from dfccodec.cli.encode_batch import encode_batch
from dfccodec.cli.encode_file import EncodeOptions, SourceOptions, check_finished
from dfccodec.cli.folders import expand
from dfccodec.codec import presets
from dfccodec.errors import UsageError

MANY = "Many videos"
QUALITY = "Rate and quality targets"
"""Panels of `dfc encode --help`, after the first one, which has what most people need."""


EPILOG = (
    "Forms of --budget: 8 (of 32), 25%, all, bernoulli:0.185 (random, with this share), threshold:0.5 (frames "
    "above this importance), auto:1.5:2,4,8,16 (by content: weight of a higher rate, then the rates to choose from, in "
    f"frames per kept frame). Presets: {presets.table()}. Options on the command line take precedence over a preset."
)


def encode(
    source: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT…", help="Videos that PyAV reads, or folders of videos; - is standard input."),
    ] = None,
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
    manifest: Annotated[
        str,
        typer.Option(
            "--manifest",
            help="Encode the videos of a list, one JSON object a line, together with all other processes and machines "
            "that run the same command.",
            rich_help_panel=MANY,
        ),
    ] = "",
    recursive: Annotated[
        bool,
        typer.Option("--recursive", help="Look into subfolders of input folders, too.", rich_help_panel=MANY),
    ] = False,
    processes: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            help="Processes at the same time, which share the CPUs.",
            show_default="1",
            rich_help_panel=MANY,
        ),
    ] = None,
    ray: Annotated[
        str,
        typer.Option(
            "--ray",
            metavar="ADDRESS",
            help="Run the --jobs of a --manifest on this Ray cluster: auto, local, or an address.",
            rich_help_panel=MANY,
        ),
    ] = "",
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
    no_tags: Annotated[
        bool,
        typer.Option(
            "--no-tags",
            help="Leave tags out, such as the title, the date, and the place where a phone was. Chapters stay.",
            rich_help_panel=common.TRACKS,
        ),
    ] = False,
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
            help="Motion search around the motion of the camera: fast (±32 px, fewer refinement steps) or normal "
            "(±48 px).",
            show_default="normal",
            rich_help_panel=common.ADVANCED,
        ),
    ] = None,
    refine: Annotated[
        int | None,
        typer.Option(
            help="Iterations of latent refinement: more take longer and give smaller files.",
            show_default="1; 0 with models other than mini",
            rich_help_panel=common.ADVANCED,
        ),
    ] = None,
    look: Annotated[
        str,
        typer.Option(
            "--look",
            help="Look to suggest to readers: faithful, sharp or 0 to 1; see dfc decode --look file.",
            rich_help_panel=common.ADVANCED,
        ),
    ] = "faithful",
    seed: common.Seed = 256,
    keep_tree: batch.KeepTree = False,
    any_name: common.AnyName = False,
) -> None:
    """Encode a video into a .dfc file, or several into --output-dir."""
    jobs: list[batch.Job] = []
    if ray and not manifest:
        raise UsageError(f"--ray {ray} needs a list: give --manifest LIST and --output-dir FOLDER")
    if manifest:
        encode_manifest.check(manifest, source or [], output, output_dir, recursive)
    else:
        jobs = _plan(source or [], recursive, output, output_dir, keep_tree, yes, json, resume, any_name)
    # Modules that load torch, which takes seconds, are imported after the options are checked.
    from dfccodec.codec.choose.target import Target
    from dfccodec.codec.settings import make_settings
    from dfccodec.media.time_range import Span

    target = Target.of(target_size, bitrate, min_psnr, rd_lambda, strict)
    settings = make_settings(
        preset=preset, budget=budget, qp=qp, fill=fill, seed=seed, coding=coding, deadzone=deadzone, target=target,
        frame_selection=frame_selection, effort=effort, refine=refine, look=look,
    )  # fmt: skip
    tracks, span = preset not in presets.WITHOUT_TRACKS, Span.parse(start, end, duration)
    carried = tracks and not no_audio, tracks and not no_subtitles
    selection = SourceOptions(*carried, span, size, video, crop, fps, not no_tags)
    options = EncodeOptions(settings, selection, model, device, dtype)
    if manifest:
        task = encode_manifest.ManifestTask(Path(manifest), Path(output_dir), keep_tree, options, yes, quiet)
        encode_manifest.run(task, processes or 1, json, ray)
        return
    check_finished(jobs, options)
    encode_batch(jobs, options, resume, json, quiet, processes or 1)


def _plan(
    sources: Sequence[str], recursive: bool, output: str, folder: str, keep_tree: bool, yes: bool, json: bool,
    resume: bool, any_name: bool,
) -> list[batch.Job]:  # fmt: skip
    """The inputs and outputs of the command line.

    Raises:
        UsageError, OutputExistsError: they are invalid.
    """
    if not sources:
        raise UsageError("no input. As in: dfc encode in.mp4 -o out.dfc")
    folders = [source for source in sources if source and Path(source).is_dir()]
    if folders and not output and not folder:
        raise UsageError(f"input {folders[0]} is a folder: give --output-dir FOLDER for its videos")
    files, inside = expand(sources, recursive) if folder or recursive else (sources, {})
    jobs = batch.plan(files, output, folder, keep_tree, ".dfc", yes, json, resume, any_name, inside)
    if resume and any(job.output == "-" for job in jobs):
        raise UsageError("--resume needs an output file: name one with -o")
    return jobs
