"""`dfc pack`."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from dfccodec.cli import common


def pack(
    sources: Annotated[
        list[str], typer.Argument(metavar="FOLDER…", help="Folders, searched recursively, .dfc files or glob patterns.")
    ],
    output: Annotated[str, typer.Option("-o", "--output", help="Folder for the shards and their index.")],
    shard_size: Annotated[str, typer.Option(help="Size of a shard, as 1000MiB, 300MB or bytes.")] = "1000MiB",
    shuffle: Annotated[
        int | None, typer.Option(min=0, help="Mix the files by this seed.", show_default="order of names")
    ] = None,
    mixed_qp: Annotated[bool, typer.Option("--mixed-qp", help="Accept files of different QPs.")] = False,
    skip_damaged: Annotated[
        bool, typer.Option("--skip-damaged", help="Leave out damaged files and name them.")
    ] = False,
    json: common.Json = False,
    yes: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Pack .dfc files and their captions into tar shards for WebDataset. Needs no model and no torch.

    Run it again after an interruption: finished shards stay. README.md in the output is a dataset card for the
    Hugging Face hub.
    """
    from dfccodec.codec.choose.target import parse_size
    from dfccodec.data.pack import pack_folder

    size = parse_size(shard_size, "--shard-size")

    logging.basicConfig(format="dfc: note: %(message)s")
    with common.progress("pack", 0, quiet) as advance:
        report = pack_folder(
            list(sources), output, shard_bytes=size, seed=shuffle, mixed_qp=mixed_qp, overwrite=yes, progress=advance,
            on_damage="skip" if skip_damaged else "raise",
        )  # fmt: skip
    there = f", {report.reused} of them there already" if report.reused else ""
    common.print_stderr(
        f"{common.count(report.files, 'file')} in {common.count(report.shards, 'shard')}{there}, "
        f"{common.format_bytes(report.size)}",
        quiet,
    )
    if json:
        common.result({"files": report.files, "shards": report.shards, "reused": report.reused, "bytes": report.size})
