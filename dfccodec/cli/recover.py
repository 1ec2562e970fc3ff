"""`dfc recover`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dfccodec.cli import common

if TYPE_CHECKING:
    from dfccodec.edit.recover import Lost, Recovered


def recover(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A damaged .dfc file; - is standard input.")],
    output: common.Output,
    json: common.Json = False,
    yes: common.Force = False,
    any_name: common.AnyName = False,
    quiet: common.Quiet = False,
) -> None:
    """Recover the intact parts of a damaged or truncated .dfc file as a valid one; no model needed."""
    common.check_output(output, yes, source, json, any_name=any_name)
    from dfccodec.edit.recover import recover as save

    with (
        common.reading(source) as stream,
        common.writing(output) as out,
        common.progress("recover", 0, quiet) as advance,
    ):
        found = save(stream, out, advance)
    _tell(found, quiet)
    if json:
        common.result({
            "clips": found.clips, "frames": found.frames, "kept": found.kept, "packets": found.packets,
            "bytes": found.size, "ended": found.ended,
            "lost": [
                {"first": p.first, "count": p.count, "start": float(p.start), "end": p.end and float(p.end)}
                for p in found.lost
            ],
            "lost_tracks": found.lost_tracks.record(),
            "faults": [common.fault(f) for f in found.faults],
        })  # fmt: skip


def _tell(found: Recovered, quiet: bool) -> None:
    for fault in found.faults:
        what = f"; {fault.repaired} was repaired" if fault.repaired else ""
        common.print_stderr(f"dfc: fault at byte {fault.offset}, {fault.size} bytes: {fault.reason}{what}", quiet)
    common.notes(map(_gap, found.lost), quiet)
    if not found.ended:
        common.notes(["the file ends without its index, so losses after its last clip are unknown"], quiet)
    if not found.faults:
        common.notes(["the file has no fault"], quiet)
    elif not found.lost and found.ended:
        common.notes(["no frame is lost"], quiet)
    common.notes(found.lost_tracks.notes(), quiet)
    size = common.format_bytes(found.size)
    frames, clips = common.count(found.frames, "frame"), common.count(found.clips, "clip")
    common.print_stderr(f"{frames}, {found.kept} kept in {clips}, {size}", quiet)


def _gap(lost: Lost) -> str:
    end = "the end" if lost.end is None else f"{float(lost.end):.3f} s"
    frames = f"frames {lost.first} to {lost.first + lost.count - 1} are lost"
    return f"{frames}, a gap in time from {float(lost.start):.3f} s to {end}"
