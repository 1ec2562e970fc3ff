"""`dfc decode`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import typer

from dfccodec.cli import batch, common
from dfccodec.errors import DamagedError, UsageError

if TYPE_CHECKING:
    from dfccodec.codec.decoder import Decoder
    from dfccodec.codec.look import PictureLook
    from dfccodec.media.output.conversion import OutputConversion
    from dfccodec.media.output.sink import VideoSink

_ENDINGS = {"matroska": "mkv", "yuv4mpegpipe": "y4m", "mpegts": "ts"}
"""File name extensions of containers with another name."""


FORMAT = "Output format"
"""Panel of `dfc decode --help`."""


@dataclass(frozen=True)
class OutputOptions:
    """Output of a decode: container, encoders, pixel format, and which tracks to copy."""

    container: str
    codec: str | None
    pix_fmt: str | None
    audio_codec: str | None
    audio: bool
    subtitles: bool


def decode(
    source: Annotated[list[str], typer.Argument(metavar="INPUT…", help="A .dfc file; - is standard input.")],
    output: batch.Output = "",
    output_dir: batch.OutputDir = "",
    conceal: Annotated[
        bool,
        typer.Option("--conceal", help="Continue after damage: repair it, or repeat the last good frame."),
    ] = False,
    yes: common.Force = False,
    quiet: common.Quiet = False,
    json: common.Json = False,
    format: Annotated[
        str,
        typer.Option(
            "--format",
            help="Container, if the output's name does not say: y4m for -, mp4 in a folder.",
            rich_help_panel=FORMAT,
        ),
    ] = "",
    codec: Annotated[
        str, typer.Option("--codec", help="Video encoder of the output, by ffmpeg's name.", rich_help_panel=FORMAT)
    ] = "",
    pix_fmt: Annotated[
        str,
        typer.Option(
            "--pix-fmt",
            help="Pixel format, by ffmpeg's name, as yuv444p.",
            show_default="yuv420p",
            rich_help_panel=FORMAT,
        ),
    ] = "",
    cfr: Annotated[
        str | None,
        typer.Option(
            "--cfr", help="Constant frame rate, as 25 or 30000/1001: repeat and skip frames.", rich_help_panel=FORMAT
        ),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate",
            help="Frame rate of a file with fill policy generate, as 60: makes frames between frames.",
            rich_help_panel=FORMAT,
        ),
    ] = None,
    start: common.Start = None,
    end: common.End = None,
    duration: common.Duration = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            help="Scale: source (as before encode --size), the short side, or WxH.",
            rich_help_panel=common.RANGE,
        ),
    ] = None,
    audio_codec: Annotated[
        str,
        typer.Option(
            "--audio-codec",
            help="Re-encode audio, by ffmpeg's name of the encoder, as aac, libopus.",
            rich_help_panel=common.TRACKS,
        ),
    ] = "",
    no_audio: common.NoAudio = False,
    no_subtitles: common.NoSubtitles = False,
    model: common.ModelOfFile = "",
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    fill: Annotated[
        str | None,
        typer.Option(
            "--fill",
            help="Dropped frames by another policy: token, hold, lerp, blend; motion if the file has motion.",
            show_default="that of the file",
            rich_help_panel=common.MODEL,
        ),
    ] = None,
    look: Annotated[
        str,
        typer.Option(
            "--look",
            help="faithful, sharp (adds detail that the file does not hold), a number from 0 to 1 between them, or "
            "file (what its writer suggests).",
            rich_help_panel=common.MODEL,
        ),
    ] = "faithful",
    keep_tree: batch.KeepTree = False,
    any_name: common.AnyName = False,
) -> None:
    """Decode a .dfc file into a video, or several into --output-dir."""
    if format and not format.replace("_", "").isalnum():
        raise UsageError(f"--format {format!r} is not a container: give one, as mp4, matroska or y4m")
    format = {ending: name for name, ending in _ENDINGS.items()}.get(format, format)
    suffix = "." + _ENDINGS.get(format, format or "mp4")
    jobs = batch.plan(source, output, output_dir, keep_tree, suffix, yes, json, any_name=any_name)
    # Modules that load torch, which takes seconds, are imported after the options are checked.
    from dfccodec.codec.fill import parse as parse_fill
    from dfccodec.codec.look_strength import strength_of
    from dfccodec.media.cfr import parse_rate
    from dfccodec.media.output.encoders import check_audio_encoder
    from dfccodec.media.output.format import container_for_path
    from dfccodec.media.time_range import Span

    if format and output not in ("", "-") and not any_name:
        _check_format(output, format)
    output = jobs[0].output
    kind = format or ("yuv4mpegpipe" if output == "-" else container_for_path(Path(output)))
    if output == "-" and kind in ("mp4", "mov"):
        raise UsageError(f"{kind} cannot be written to a pipe: use --format matroska or y4m, or name a file")
    if cfr and rate:
        raise UsageError(f"--cfr {cfr} and --rate {rate} both set the frame rate: give only one of them")
    span, repeat_at, make_at = Span.parse(start, end, duration), *(parse_rate(r) if r else None for r in (cfr, rate))
    policy = parse_fill(fill) if fill else None
    load = batch.cache_last(
        partial(common.load_model_of, spec=model or None, device=device, dtype=dtype, quiet=quiet),
        attrgetter("model"),
    )
    if audio_codec:
        check_audio_encoder(audio_codec)
    if kind == "image2" and output == "-":
        raise UsageError("images cannot be written to a pipe: name them, as %05d.png")
    options = OutputOptions(kind, codec or None, pix_fmt or None, audio_codec or None, not no_audio, not no_subtitles)

    strength_of(look)  # an unknown one is an error before any file is opened
    load_filter = lru_cache(maxsize=1)(partial(_load_look, device=device, dtype=dtype))

    def start_decoder(stream: BinaryIO) -> Decoder:
        from dfccodec.codec.decoder import Decoder

        decoder = Decoder(stream, load, conceal, span=span, fill_policy=policy, frame_rate=make_at)
        strength = strength_of(look, decoder.preamble.tool)
        decoder.look = load_filter(strength) if strength else None
        return decoder

    def one(job: batch.Job, tell: batch.Tell) -> None:
        _decode(job.source, job.output, start_decoder, repeat_at, size, options, quiet, tell)

    batch.run(jobs, one, json, quiet)


def _check_format(output: str, format: str) -> None:
    """Check that the name of an output is not that of another container.

    Raises:
        UsageError: it is.
    """
    from dfccodec.media.output.format import container_for_path

    try:
        named = container_for_path(Path(output))
    except UsageError:  # a name that says nothing fits
        return
    if named != format:
        raise UsageError(f"the suffix of {output} is not that of --format {format}: change one, or give -f")


def _load_look(look: float, device: str, dtype: str) -> PictureLook | None:
    from dfccodec.codec.look import load_look

    common.limit_torch_threads()
    return load_look(look, device=device, dtype=dtype)


def _decode(
    source: str,
    output: str,
    start_decoder: Callable[[BinaryIO], Decoder],
    frame_rate: Fraction | None,
    size: str | None,
    options: OutputOptions,
    quiet: bool,
    tell: batch.Tell,
) -> None:
    """Decode one file."""
    from dfccodec.media.output.conversion import OutputConversion
    from dfccodec.media.output.sink import TrackFilter, VideoSink
    from dfccodec.runtime.atomic_output import replacing_images, replacing_path

    with common.reading(source) as stream:
        decoder = start_decoder(stream)
        shape = OutputConversion(decoder.preamble, frame_rate, size)
        by_name = replacing_images if options.container == "image2" else replacing_path
        how = (options.container, options.codec, decoder.tags, options.audio_codec, options.pix_fmt)
        with contextlib.ExitStack() as stack:
            target = stack.enter_context(common.writing(output) if output == "-" else by_name(Path(output)))
            name = "standard output" if output == "-" else output
            sink = stack.enter_context(VideoSink(cast("Path | BinaryIO", target), shape.header, *how, name))
            decoder.tracks = TrackFilter(sink, options.audio, options.subtitles)
            frames, printed = _write_frames(decoder, shape, sink, quiet)
        common.notes(sink.notes[printed:], quiet)  # closing the output can add notes
    _report(decoder, frames, tell, quiet)


def _write_frames(decoder: Decoder, shape: OutputConversion, sink: VideoSink, quiet: bool) -> tuple[int, int]:
    """Write all frames. Returns the number of frames and the number of notes printed."""
    frames = printed = 0
    with common.progress("decode", 0, quiet) as advance:
        for picture in shape.convert(decoder):
            sink.write(picture.rgb, picture.pts, picture.duration)
            if not frames:
                common.notes(sink.notes, quiet)
                printed = len(sink.notes)
            frames += 1
            advance(frames)
    if not frames and decoder.damage:
        what = "clip of the file" if decoder.span.unlimited else "frame of the range"
        raise DamagedError(f"no {what} is intact: {decoder.damage[0].reason}", decoder.damage[0].offset)
    if not frames:
        raise UsageError("the file contains no frame: there is nothing to decode")
    return frames, printed


def _report(decoder: Decoder, frames: int, tell: batch.Tell, quiet: bool) -> None:
    common.print_stderr(common.count(frames, "frame"), quiet)
    tell({
        "frames": frames,
        "concealed": [{"first": a, "count": n} for a, n in decoder.lost_frames],
        "salvaged": [{"first": a, "count": n} for a, n in decoder.salvaged],
        "ended": decoder.reached_end,
        "lost_tracks": decoder.lost_tracks.record(),
        "damage": [common.fault(d) for d in decoder.damage],
    })  # fmt: skip
    for damage in decoder.damage:
        repaired = f"; {damage.repaired} was repaired" if damage.repaired else ""
        common.print_stderr(f"dfc: damage at byte {damage.offset}, {damage.size} bytes: {damage.reason}{repaired}")
    if decoder.damage:
        parts = [f"frames concealed: {_ranges(decoder.lost_frames) or 'none known'}"]
        if decoder.salvaged:
            parts.append(f"frames probably right, from damaged clips: {_ranges(decoder.salvaged)}")
        rest = "all others were decoded"
        if not decoder.reached_end:
            rest = f"all others up to where the file ends early, {frames} frames, were decoded"
        raise DamagedError(f"the file is damaged: {'; '.join([*parts, rest, *decoder.lost_tracks.notes()])}")


def _ranges(runs: list[tuple[int, int]]) -> str:
    """Text of (first frame, count) runs."""
    return ", ".join(f"{first} to {first + count - 1}" for first, count in runs)
