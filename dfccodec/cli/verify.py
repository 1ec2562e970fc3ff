"""`dfc verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from dfccodec.cli import common
from dfccodec.errors import DamagedError


def verify(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A .dfc file; - is standard input.")],
    json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Check every checksum, count and integer of a .dfc file; no model needed."""
    from dfccodec.codec.verify import verify as check

    with common.reading(source) as stream, common.progress("verify", 0, quiet) as advance:
        verdict = check(stream, advance)
    if json:
        common.result({
            "valid": not verdict.faults, "clips": verdict.clips, "frames": verdict.frames, "kept": verdict.kept,
            "latent_sha256": verdict.latent_hash.hex(),
            "faults": [{"offset": f.offset, "bytes": f.size, "reason": f.reason} for f in verdict.faults],
        })  # fmt: skip
    if verdict.faults:
        for fault in verdict.faults:
            common.say(f"dfc: fault at byte {fault.offset}, {fault.size} bytes: {fault.reason}")
        raise DamagedError(
            f"{source} is damaged: {len(verdict.faults)} fault(s); "
            f"{verdict.clips} clips with {verdict.frames} frames are whole"
        )
    common.say(f"{source}: ok, {verdict.clips} clips, {verdict.frames} frames, {verdict.kept} kept", quiet)
