"""`dfc thumbnail`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfccodec.cli import common
from dfccodec.errors import UsageError


def thumbnail(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A .dfc file.")],
    output: common.Output,
    size: Annotated[int, typer.Option(min=1, max=4096, help="Largest side of the picture in pixels.")] = 256,
    model: Annotated[str, typer.Option("--model", help="Location of the file's model, if its name does not say.")] = "",
    yes: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Write one frame of a .dfc file as a small PNG, for file managers and galleries.

    It is the most important kept frame of the clip at a tenth of the file. The output is always a PNG.
    """
    if source == "-":
        raise UsageError("dfc thumbnail reads a part of a file, not standard input: name a file")
    common.check_output(output, yes, source, any_name=True)
    if (suffix := Path(output).suffix.lower()) in (".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm"):
        raise UsageError(f"a thumbnail is a PNG, not a {suffix} file: name it .png")
    from dfccodec.media.output.png import encode_png
    from dfccodec.report.thumbnail import make_thumbnail

    common.limit_torch_threads()
    with common.reading(source):  # reports what is no .dfc file
        picture = make_thumbnail(Path(source), size, model or None)
    _write(output, encode_png(picture))
    common.print_stderr(f"{picture.shape[1]}×{picture.shape[0]} pixels", quiet)


def _write(output: str, content: bytes) -> None:
    """Write the picture; a file that exists is written in place, because tumbler reads the one that it has opened."""
    if output != "-" and Path(output).exists():
        Path(output).write_bytes(content)
        return
    with common.writing(output) as out:
        out.write(content)
