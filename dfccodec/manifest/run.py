"""What the runs of a list have in common: their options, and the table of results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dfccodec.errors import UsageError
from dfccodec.manifest import files
from dfccodec.manifest.items import Item
from dfccodec.manifest.records import FAILED, Records, encode, parse
from dfccodec.manifest.worker import Folders
from dfccodec.runtime.atomic_output import no_folder, replacing


def check_same_options(folders: Folders, options: Mapping[str, str]) -> None:
    """Record the options of the first run of a list, and check those of later ones.

    Raises:
        UsageError: they differ.
        DfcError: the folder cannot be written.
    """
    place = folders.state / "run.json"
    try:
        folders.state.mkdir(parents=True, exist_ok=True)
        created = files.create(place, json.dumps(dict(options), indent=1).encode() + b"\n")
        made = dict(options) if created else parse(place.read_bytes())
    except OSError as error:
        raise no_folder(folders.output, error) from None
    for name in options:
        if made.get(name) != options[name]:
            raise UsageError(
                f"{folders.output} has files of this manifest with {name} {made.get(name)!r}, not {options[name]!r}: "
                f"give the same options, another --output-dir, or remove {folders.state} and the files"
            )


@dataclass
class Totals:
    """Numbers of files by state, and the first that failed.

    Args:
        states: number of files by state.
        failed: sources of the first three failed files.
        exit_code: the highest of failed files, or 0.
    """

    states: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    exit_code: int = 0


def write_results(folders: Folders, items: Sequence[Item], records: Records) -> Totals:
    """Write the state of every file, in the order of the list; the file appears when complete."""
    totals = Totals()
    with replacing(folders.results) as stream:
        for record in _results(items, records):
            state = record["state"]
            totals.states[state] += 1
            if state == FAILED:
                totals.failed += [record["input"]] if len(totals.failed) < 3 else []
                code = record.get("exit_code")
                totals.exit_code = max(totals.exit_code, code if isinstance(code, int) else 1)
            stream.write(encode(record))
    return totals


def _results(items: Sequence[Item], records: Records) -> Iterator[dict[str, Any]]:
    for item in items:
        yield {"input": item.source, "output": item.output, "state": "open", **records.get(item.output)}
