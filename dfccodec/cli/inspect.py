"""`dfc inspect`: contents of a file, kept frames and bits, without a model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfccodec.cli import batch, common
from dfccodec.errors import DamagedError, UsageError
from dfccodec.models.identity import latent_space, space_name
from dfccodec.terminal_text import escape_for_terminal

if TYPE_CHECKING:
    from dfccodec.container.scan import ClipHead, Summary

_MAX_CLIPS = 40
"""Maximum number of clips listed without --clips."""


def inspect(
    sources: Annotated[list[str], typer.Argument(metavar="INPUT…", help=".dfc files; - is standard input.")],
    clips: Annotated[bool, typer.Option("--clips", help=f"List all clips, not only the first {_MAX_CLIPS}.")] = False,
    json: common.Json = False,
    html: Annotated[
        str, typer.Option("--html", help="Write a page with the bits of every frame: one file for any browser.")
    ] = "",
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Put pictures into the page of --html; this needs the model.")
    ] = False,
    model: common.Model = "",
    device: common.Device = "auto",
    dtype: common.Dtype = "auto",
    yes: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Show the contents of .dfc files: header, model, kept frames, bits. Needs no model, no torch, no decompression.

    Several files get one line each. --html reads all latents.
    """
    _check_page(sources, html, pictures, yes)
    if len(sources) > 1:
        _inspect_each(sources, json)
        return
    if html:
        from dfccodec.cli import inspect_page

        load = inspect_page.Loading(model, device, dtype) if pictures else None
        summary = inspect_page.write(sources[0], html, load, quiet)
    else:
        summary = _scan(sources[0])
    if json:
        common.result(describe(summary))
    else:
        _show(sources[0], summary, clips)
    _refuse_damage(summary)


def _check_page(sources: list[str], html: str, pictures: bool, yes: bool) -> None:
    """Check the options of the page before any work.

    Raises:
        UsageError: they do not fit together.
        OutputExistsError: the page exists and `-y` was not given.
    """
    if not html:
        if pictures:
            raise UsageError("--pictures is about --html: name a page with --html")
        return
    if len(sources) > 1:
        raise UsageError(f"--html shows one file, and {len(sources)} are named: name one")
    if html == "-":
        raise UsageError("--html - is no file: name one, as report.html")
    if pictures and sources[0] == "-":
        raise UsageError("--pictures reads the file twice, which standard input cannot: name the file")
    common.check_output(html, yes, sources[0], any_name=True)
    common.check_page(html)


def _inspect_each(sources: list[str], json: bool) -> None:
    """Inspect several files, one line or record each."""
    wide = max(len(escape_for_terminal(source)) for source in sources)

    def look(source: str, tell: batch.Tell) -> None:
        summary = _scan(source)
        tell(record := describe(summary))
        if not json:
            sys.stdout.write(f"{escape_for_terminal(source):<{wide}} {_line(summary, record)}\n")
        _refuse_damage(summary)

    if not json:
        names = f"{'picture':>11} {'frames':>7} {'seconds':>9} {'kept':>6}  QP   {'size':>9}  bits/pixel  model"
        sys.stdout.write(f"{'file':<{wide}} {names}\n")
    batch.each(sources, look, json, quiet=True)


def _line(summary: Summary, record: dict[str, Any]) -> str:
    qps = sorted({c.clip.qp for c in summary.clips})
    qp = "" if not qps else str(qps[0]) if len(qps) == 1 else f"{qps[0]}–{qps[-1]}"
    size, kept = f"{record['width']}×{record['height']}", record["kept"] / max(record["frames"], 1)
    return (
        f"{size:>11} {record['frames']:>7} {record['seconds']:>9.3f} {kept:>6.1%}  {qp:<5}"
        f"{common.format_bytes(summary.size):>9}  {record['bits_per_pixel']:<10.4f}  {_model(summary)}"
    )


def _model(summary: Summary) -> str:
    """Name of the model, and the coding of its latents: what a set of files for training must have in common."""
    codings = sorted({_coding(c.clip.coding) for c in summary.clips})
    name = escape_for_terminal(summary.preamble.model.name[:40])
    return f"{name}, {' and '.join(codings)}" if codings else name


def _scan(source: str) -> Summary:
    from dfccodec.container.scan import scan

    with common.reading(source) as stream:
        return scan(stream)


def _refuse_damage(summary: Summary) -> None:
    if summary.damage:
        first = summary.damage[0]
        places = "1 place is" if len(summary.damage) == 1 else f"{len(summary.damage)} places are"
        raise DamagedError(f"{places} damaged; the first: {first.reason}", first.offset)


def describe(summary: Summary) -> dict[str, Any]:
    """The JSON record; its schema is `dfccodec/cli/inspect.schema.json`."""
    p, h = summary.preamble, summary.preamble.header
    space = latent_space(p.model)
    frames = sum(c.clip.frames for c in summary.clips)
    kept = sum(int(c.clip.kept.sum()) for c in summary.clips)
    return {
        "bytes": summary.size,
        "version": h.version,
        "width": h.width, "height": h.height, "rotation": 90 * h.rotation,
        "pixel_aspect": [h.pixel_aspect.num, h.pixel_aspect.den],
        "rate": [h.rate.num, h.rate.den], "time_base": [h.time_base.num, h.time_base.den],
        "channels": h.channels, "patch": h.patch, "tile": h.tile, "overlap": h.overlap, "clip_frames": h.clip_frames,
        "model": {
            "name": p.model.name, "fingerprint": p.model.fingerprint.hex(),
            "latent_space": None if space is None else space.hex(), "config": p.model.config,
        },
        "frames": frames, "kept": kept, "seconds": _seconds(summary),
        "bits_per_pixel": _bpp(summary, frames), "ratio_to_raw": _to_raw(summary, frames),
        "ratio_to_source": _to_source(summary),
        "bytes_by_part": summary.bytes_by_part(),
        "tool": [list(pair) for pair in p.tool], "tags": [list(pair) for pair in p.tags],
        "streams": [{"id": s.id, "kind": s.kind, "codec": s.codec} for s in summary.streams],
        "clips": [_clip(c) for c in summary.clips],
        "damage": [{"offset": d.offset, "bytes": d.size, "reason": d.reason} for d in summary.damage],
    }  # fmt: skip


def _clip(head: ClipHead) -> dict[str, Any]:
    c = head.clip
    return {
        "first_frame": c.first_frame, "frames": c.frames, "kept": [int(i) for i in c.kept.nonzero()[0]],
        "importance": [int(i) for i in c.importance], "qp": c.qp, "fill": int(c.fill),
        "coding": _coding(c.coding), "first_pts": c.first_pts,
        "offset": head.offset, "bytes": head.size, "latent_bytes": head.latent_bytes, "fill_bytes": head.fill_bytes,
    }  # fmt: skip


def _coding(number: int) -> str:
    """Name of a coding, or its number if this reader does not know it."""
    from dfccodec.container.records import Coding

    return {c.value: c.name.lower() for c in Coding}.get(number, str(number))


def _seconds(summary: Summary) -> float:
    base = summary.preamble.header.time_base
    ticks = sum(sum(c.clip.durations) * (c.clip.frames if len(c.clip.durations) == 1 else 1) for c in summary.clips)
    return ticks * base.num / base.den


def _bpp(summary: Summary, frames: int) -> float:
    h = summary.preamble.header
    return summary.size * 8 / max(frames * h.width * h.height, 1)


def _to_raw(summary: Summary, frames: int) -> float:
    """Compression ratio to 8-bit RGB."""
    h = summary.preamble.header
    return frames * h.width * h.height * 3 / max(summary.size, 1)


def _to_source(summary: Summary) -> float | None:
    """Compression ratio to the source file; None if its size is unknown."""
    size = dict(summary.preamble.tool).get("source_bytes", "")
    return int(size) / max(summary.size, 1) if size.isdigit() and len(size) < 19 else None


def _show(source: str, summary: Summary, every: bool) -> None:
    # Plain text without rich, whose import would take a fifth of the run time (benchmarks/speed/startup.py).
    listed = summary.clips if every else summary.clips[:_MAX_CLIPS]
    lines = _header_lines(source, summary) + (_timeline(summary, listed) if listed else [])
    if len(listed) < len(summary.clips):
        lines.append(f"… and {len(summary.clips) - len(listed)} more clips: --clips lists them")
    sys.stdout.write("\n".join(lines) + "\n")


def _header_lines(source: str, summary: Summary) -> list[str]:
    p, h, record = summary.preamble, summary.preamble.header, describe(summary)
    rotation = f", rotated by {90 * h.rotation}°" if h.rotation else ""
    tiles = f", tiles of {h.tile} overlapping by {h.overlap}" if h.tile else ""
    codings = sorted({_coding(c.clip.coding) for c in summary.clips})
    coded = f", coding {' and '.join(codings)}" if codings else ""
    to_source, frames = record["ratio_to_source"], common.count(record["frames"], "frame")
    parts = ", ".join(
        f"{name.replace('_', ' ')} {common.format_bytes(n)}" for name, n in summary.bytes_by_part().items() if n
    )
    space = latent_space(p.model)
    of_space = "" if space is None else f", latent space {space_name(space)}"
    rows = [
        ("file", f"{source}, {common.format_bytes(summary.size)}, version {h.version}"),
        ("picture", f"{h.width}×{h.height}{rotation}, {float(h.rate):.3f} frames/s"),
        ("length", f"{frames}, {record['seconds']:.3f} s, {common.count(len(summary.clips), 'clip')}"),
        ("model", f"{p.model.name}, fingerprint {p.model.fingerprint.hex()[:16]}…{of_space}"),
        ("latents", f"{h.channels} channels at 1/{h.patch}{tiles}{coded}"),
        (
            "kept",
            f"{record['kept']} of {frames} ({record['kept'] / max(record['frames'], 1):.1%})",
        ),
        ("rate", f"{record['bits_per_pixel']:.4f} bits/pixel"),
        (
            "compression",
            f"{record['ratio_to_raw']:.0f}:1 to raw RGB" + (f", {to_source:.2f}:1 to its source" if to_source else ""),
        ),
        ("bytes", parts),
        *((f"tool: {key}", value) for key, value in p.tool),
        *((f"tag: {key}", value) for key, value in p.tags),
    ]
    return [f"{escape_for_terminal(key):<19} {escape_for_terminal(value)}" for key, value in rows]


def _timeline(summary: Summary, clips: list[ClipHead]) -> list[str]:
    h = summary.preamble.header
    wide = max(c.clip.frames for c in clips)
    wide = max(wide, len("kept █ dropped ·"))
    lines = ["", f"{'frames':>13}  {'kept █ dropped ·':<{wide}}  {'kept':>5}  QP {'bytes':>9}  bits/pixel"]
    for head in clips:
        c = head.clip
        frames, kept = f"{c.first_frame}–{c.first_frame + c.frames - 1}", f"{int(c.kept.sum())}/{c.frames}"
        line = "".join("█" if k else "·" for k in c.kept)
        bpp = head.size * 8 / (c.frames * h.width * h.height)
        lines.append(
            f"{frames:>13}  {line:<{wide}}  {kept:>5}  {c.qp:>2} {common.format_bytes(head.size):>9}  {bpp:.4f}"
        )
    return lines
