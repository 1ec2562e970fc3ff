"""`dfc compare`."""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfccodec.cli import common
from dfccodec.errors import InputError, UsageError

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel
    from dfccodec.report.compare import Comparison
    from dfccodec.report.page_pictures import PagePictures
    from dfccodec.report.video_facts import VideoFacts
    from dfccodec.report.videos import ComparedVideo


def compare(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="The source video.")],
    coded: Annotated[
        list[str] | None, typer.Argument(metavar="[CODED…]", help="Coded videos: .dfc files or any video.")
    ] = None,
    output: Annotated[
        str, typer.Option("-o", "--output", help="Write all side by side: a video, or a picture of the middle frame.")
    ] = "",
    wipe: Annotated[
        bool, typer.Option("--wipe", help="In -o, the source left of a moving divider, the coded video right of it.")
    ] = False,
    height: Annotated[
        int, typer.Option(min=0, max=8192, help="Height of each picture in -o, in pixels.", show_default="the source's")
    ] = 0,
    html: Annotated[
        str, typer.Option("--html", help="Write a page with pictures, curves and figures: one file for any browser.")
    ] = "",
    budgets: Annotated[
        str, typer.Option(help="Also encode the source with these budgets, as 16,8,4,1, and compare the results.")
    ] = "",
    qp: Annotated[
        int | None, typer.Option(min=0, max=63, help="Quantizer index for --budgets.", show_default="as dfc encode")
    ] = None,
    metrics: Annotated[
        str, typer.Option(help="Of psnr, ms-ssim, lpips, vmaf, with commas.", show_default="all that are at hand")
    ] = "",
    per_frame: Annotated[str, typer.Option("--csv", help="Write the figures of every frame as CSV.")] = "",
    model: common.Model = "",
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    json: common.Json = False,
    yes: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Compare coded videos with their source: size, quality, and pictures side by side."""
    names = list(coded or [])
    _check_arguments(source, names, budgets)
    _check_outputs({"-o": output, "--csv": per_frame, "--html": html}, [source, *names], yes)
    if qp is not None and not budgets:
        raise UsageError("--qp is that of the encodes of --budgets: give --budgets, or leave out --qp")
    if (wipe or height) and not output:
        raise UsageError(f"{'--wipe' if wipe else '--height'} is about -o: name a picture or a video with -o")
    from dfccodec.codec import api
    from dfccodec.report.compare import RowSink
    from dfccodec.report.compare import compare as measure
    from dfccodec.report.drawing import Drawing
    from dfccodec.report.measure import parse_metrics
    from dfccodec.report.page_pictures import PagePictures

    chosen, planned = parse_metrics(metrics), _parse_budgets(budgets)
    common.limit_torch_threads()
    loaded = api.load_model(model or "mini", device, dtype) if planned or model else None
    with contextlib.ExitStack() as stack:
        encoded = _encode(stack, Path(source), planned, qp, loaded, quiet) if loaded and planned else []
        first, *others = _open(stack, Path(source), [*((Path(name), "", "") for name in names), *encoded], loaded)
        lines: list[str] = []
        sinks: list[RowSink] = [pictures := PagePictures(first.frames)] if html else []
        if output:
            sinks.append(stack.enter_context(Drawing(Path(output), first, others, wipe, height)))
        with common.progress("compare", first.frames, quiet) as advance:
            results = measure(first, others, metrics=chosen, sinks=sinks, notes=lines.append, progress=advance)
        facts = _read_facts(others, results, quiet) if html or per_frame else []
    if per_frame:
        with common.writing(per_frame) as stream:
            stream.write(_frames_as_csv(results, facts).encode())
    if html:
        _write_page(html, first, results, facts, pictures, lines)
    if json:
        common.result(_record(first, results))
    elif per_frame != "-":
        typer.echo(_table(results))
    common.notes(lines, quiet)


def _check_arguments(source: str, names: Sequence[str], budgets: str) -> None:
    """Check the names on the command line.

    Raises:
        UsageError: one cannot be used here.
        InputError: a file does not exist.
    """
    if "-" in (source, *names):
        raise UsageError("dfc compare reads files, not standard input: name the files")
    if not names and not budgets:
        raise UsageError("there is nothing to compare: name coded videos, or give --budgets")
    for name in (source, *names):
        if not Path(name).exists():
            raise InputError(f"{name} does not exist: check the name")


def _check_outputs(outputs: dict[str, str], sources: Sequence[str], yes: bool) -> None:
    """Check all outputs before any work.

    Args:
        outputs: name of each, by its option; empty if it is not given.
        sources: names of the inputs.
        yes: whether existing files may be replaced.

    Raises:
        UsageError: one is invalid.
        OutputExistsError: one exists and `-y` was not given.
    """
    seen: dict[str, str] = {}
    for option, example in (("-o", "side.png or side.mp4"), ("--html", "report.html")):
        if outputs[option] == "-":
            raise UsageError(f"{option} - is no file: name one, as {example}")
    for option, name in outputs.items():
        if name and name in seen:
            raise UsageError(f"{seen[name]} and {option} both name {name}: name two files")
        seen[name] = option
        for source in sources if name else ():
            common.check_output(name, yes, source, any_name=True)
    if html := outputs["--html"]:
        common.check_page(html)
    if output := outputs["-o"]:
        from dfccodec.report.picture_writer import container_of

        container_of(Path(output))


def _parse_budgets(text: str) -> list[str]:
    from dfccodec.codec.choose.budgets import Budget

    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        Budget.parse(part)
    return parts


def _open(
    stack: contextlib.ExitStack, source: Path, coded: Sequence[tuple[Path, str, str]], loaded: LoadedModel | None
) -> list[ComparedVideo]:
    """Open the source and all coded videos, of which path, label and caption are given."""
    from dfccodec.container.streams import is_dfc
    from dfccodec.report.videos import ComparedVideo

    videos = [stack.enter_context(ComparedVideo(source, loaded, caption="Original"))]
    for path, label, caption in coded:
        video = ComparedVideo(path, loaded if is_dfc(path) else None, label, caption)
        videos.append(stack.enter_context(video))
    return videos


def _encode(
    stack: contextlib.ExitStack, source: Path, budgets: list[str], qp: int | None, loaded: LoadedModel, quiet: bool
) -> list[tuple[Path, str, str]]:
    """Encode the source with each budget into a temporary folder; return paths, labels and captions."""
    from dfccodec.codec import api

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dfc-compare-")))
    out = []
    options: dict[str, Any] = {} if qp is None else {"qp": qp}
    for number, budget in enumerate(budgets):
        path = folder / f"{number}.dfc"
        with common.progress(f"encode {budget}", 0, quiet) as advance:
            api.encode(source, path, budget=budget, model=loaded, audio=False, progress=advance, **options)
        out.append((path, f"budget {budget}", f"Top-{budget}" if budget.isdigit() else budget))
    return out


def _read_facts(videos: Sequence[ComparedVideo], results: Sequence[Comparison], quiet: bool) -> list[VideoFacts]:
    """Read bits per frame, parts and settings of the coded files."""
    from dfccodec.report.video_facts import read_facts

    out = []
    for video, result in zip(videos, results, strict=True):
        frames = result.matches.matched + result.matches.extra
        with common.progress(f"bits of {video.name}", frames, quiet) as advance:
            out.append(read_facts(video.path, video.bytes, frames, advance))
    return out


def _write_page(
    target: str, source: ComparedVideo, results: Sequence[Comparison], facts: Sequence[VideoFacts],
    pictures: PagePictures, notes: Sequence[str],
) -> None:  # fmt: skip
    from dfccodec.report.html_page import write_page
    from dfccodec.report.page_data import compare_data

    each = list(zip(results, facts, strict=True))
    lines = [*notes, pictures.note()]
    data = compare_data(source, each, pictures.seconds, pictures.numbers, lines, common.command_line())
    with common.writing(target) as stream:
        write_page(stream, data, pictures.rows)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table(results: Sequence[Comparison]) -> str:
    """The figures as text, one line for each video."""
    width = max(5, *(len(r.name) for r in results))
    lines = [f"{'video':<{width}} {'size':>10} {'bits/pixel':>10} {'PSNR':>7} {'MS-SSIM':>8} {'LPIPS':>7} {'VMAF':>6}"]
    for r in results:
        q = r.quality
        psnr = "equal" if q["psnr"] is None and r.frames else _number(q["psnr"], 2)
        lines.append(
            f"{r.name:<{width}} {common.format_bytes(r.bytes):>10} {r.bits_per_pixel:>10.4f} {psnr:>7} "
            f"{_number(q['ms_ssim'], 4):>8} {_number(q['lpips'], 4):>7} {_number(q['vmaf'], 1):>6}"
        )
    return "\n".join(lines)


def _record(source: ComparedVideo, results: Sequence[Comparison]) -> dict[str, Any]:
    """The JSON record, as in compare.schema.json."""
    return {
        "source": {"name": source.name, "bytes": source.bytes},
        "coded": [
            {
                "name": r.name, "bytes": r.bytes, "width": r.width, "height": r.height,
                "frames": {"matched": r.matches.matched, "missing": r.matches.missing, "extra": r.matches.extra},
                "shift_seconds": float(r.matches.shift), "bits_per_pixel": r.bits_per_pixel, **r.quality,
            }
            for r in results
        ],
    }  # fmt: skip


def _frames_as_csv(results: Sequence[Comparison], facts: Sequence[VideoFacts]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["video", "seconds", "kept", "psnr", "ms_ssim", "lpips", "vmaf", "bits"])
    for r, known in zip(results, facts, strict=True):
        scores: Sequence[float | None] = r.vmaf or [None] * len(r.frames)
        for frame, score in zip(r.frames, scores, strict=True):
            kept = "" if frame.kept is None else int(frame.kept)
            bits = known.bits[frame.coded]
            values = [f"{frame.psnr:.4f}", frame.ms_ssim, frame.lpips, score, None if bits is None else round(bits)]
            rows.writerow([r.name, f"{float(frame.seconds):.6f}", kept, *("" if v is None else v for v in values)])
    return text.getvalue()
