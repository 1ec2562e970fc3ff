"""`dfc encode`."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from dfccodec.cli import common


def encode(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Any video PyAV reads; - is standard input.")],
    output: common.Output,
    budget: Annotated[
        str,
        typer.Option(help="Frames kept: 8 (of 32), 25%, all, bernoulli, bernoulli:0.185, threshold, threshold:0.5."),
    ] = "8",
    qp: Annotated[int, typer.Option(help="Quantizer index, 0 (finest) to 63 (coarsest).")] = 24,
    fill: Annotated[
        str, typer.Option(help="What stands where a frame was dropped: token, motion, hold, lerp.")
    ] = "motion",
    coding: Annotated[str, typer.Option(help="How integers are coded: range (smaller), zstd.")] = "range",
    snap: Annotated[
        float | None,
        typer.Option(help="Slack in steps to repeat the kept frame before, 0 to 0.5.", show_default="0.15"),
    ] = None,
    model: common.Model = "mini",
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    seed: common.Seed = 256,
    json: common.Json = False,
    yes: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Encode a video into a .dfc file."""
    common.check_output(output, yes, source, json)
    from dfccodec.codec import api
    from dfccodec.codec import fill as fills
    from dfccodec.codec.budgets import Budget
    from dfccodec.codec.encoder import encode_pictures
    from dfccodec.codec.integers import parse_coding
    from dfccodec.codec.quantizer import SNAP
    from dfccodec.codec.settings import Settings
    from dfccodec.media.source import VideoSource, standard_input

    settings = Settings(
        Budget.parse(budget), qp, fills.parse(fill), seed, parse_coding(coding), SNAP if snap is None else snap
    )
    with VideoSource(standard_input() if source == "-" else Path(source)) as video:
        common.use_free_threads()
        loaded = api.load_model(model, device, dtype)
        if video.info.other_streams:
            common.say(
                f"dfc: note: {video.info.other_streams} sound or subtitle stream(s) are not carried yet",
                quiet,
            )
        begun = perf_counter()
        with common.writing(output) as out, common.progress("encode", video.info.frames, quiet) as advance:
            report = encode_pictures(video, video.info, out, loaded, settings, advance)
    seconds = perf_counter() - begun
    bpp = report.size * 8 / (report.frames * video.info.width * video.info.height)
    common.say(
        f"{report.frames} frames, {report.kept} kept in {report.clips} clips, {common.human(report.size)}, "
        f"{bpp:.4f} bits/pixel, {report.frames / seconds:.1f} frames/s",
        quiet,
    )
    if json:
        common.result({
            "frames": report.frames, "kept": report.kept, "clips": report.clips, "bytes": report.size,
            "bits_per_pixel": bpp, "seconds": seconds, "settings": settings.describe(),
        })  # fmt: skip
