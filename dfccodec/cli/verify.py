"""`dfc verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfccodec.cli import batch, common
from dfccodec.errors import DamagedError, NotDfcError, UnsupportedError

if TYPE_CHECKING:
    from dfccodec.edit.verify import Verdict


def verify(
    sources: Annotated[list[str], typer.Argument(metavar="INPUT…", help=".dfc files; - is standard input.")],
    json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Check every checksum, count and integer of .dfc files; no model needed."""
    if len(sources) == 1:
        _verify(sources[0], common.result if json else lambda _: None, quiet)
        return
    batch.each(sources, lambda source, tell: _verify(source, tell, quiet), json, quiet)


def _verify(source: str, tell: batch.Tell, quiet: bool) -> None:
    """Verify one file.

    Args:
        source: name of the file.
        tell: receives the JSON record.
        quiet: print nothing for a valid file.

    Raises:
        DfcError: the file is not valid.
    """
    from dfccodec.container.chunks import Damage
    from dfccodec.edit.verify import verify as check

    try:
        with common.reading(source) as stream, common.progress("verify", 0, quiet) as advance:
            verdict = check(stream, advance)
    except (DamagedError, UnsupportedError, NotDfcError) as error:
        # Header, model or steps are faulty: only the first fault can be reported.
        kind = "not-dfc" if isinstance(error, NotDfcError) else None
        tell(_record(None, [common.fault(Damage.of(error, getattr(error, "offset", 0) or 0, 0), kind)]))
        raise
    tell(_record(verdict, [common.fault(f) for f in verdict.faults]))
    clips, frames = common.count(verdict.clips, "clip"), common.count(verdict.frames, "frame")
    if verdict.faults:
        for fault in verdict.faults:
            common.print_stderr(f"dfc: fault at byte {fault.offset}, {fault.size} bytes: {fault.reason}")
        intact = f"{clips} with {frames} {'is' if verdict.clips == 1 else 'are'} intact"
        if verdict.faults[0].kind == "unsupported":
            raise UnsupportedError(f"{source} needs a newer reader: {verdict.faults[0].reason}; before that {intact}")
        raise DamagedError(f"{source} is damaged: {common.count(len(verdict.faults), 'fault')}; {intact}")
    common.print_stderr(f"{source}: ok, {clips}, {frames}, {verdict.kept} kept", quiet)


def _record(verdict: Verdict | None, faults: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON record, as in verify.schema.json; `verdict` is None if header, model or steps are unreadable."""
    return {
        "valid": not faults,
        "clips": verdict.clips if verdict is not None else 0,
        "frames": verdict.frames if verdict is not None else 0,
        "kept": verdict.kept if verdict is not None else 0,
        "latent_sha256": verdict.latent_hash.hex() if verdict is not None else None,
        "faults": faults,
    }
