"""Records: what workers have finished or failed at.

Each worker appends to a file of its own, so no line is ever written by two. A line that a killed worker left half
written is no record: its video is encoded again, or its output is found.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfccodec.runtime.atomic_output import naming

DONE, FAILED = "done", "failed"


@dataclass(frozen=True, slots=True)
class _Place:
    file: str
    offset: int
    state: str
    final: bool


class Records:
    """Records in a folder.

    Args:
        folder: the folder; created if missing.
        worker: name of this worker.
        since: number of bytes of each file that earlier runs have written, from :func:`sizes`. Failures recorded there
            are tried again. None: those that are there now.
    """

    def __init__(self, folder: Path, worker: str, since: Mapping[str, int] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._own = folder, folder / f"{worker}.jsonl"
        self._read: dict[str, int] = {}
        self._places: dict[str, _Place] = {}
        self._torn = False
        self._since = dict(sizes(folder) if since is None else since)
        self.refresh()

    def refresh(self) -> None:
        """Read what workers have appended since the last call."""
        for name, size in sizes(self._folder).items():
            if size > self._read.get(name, 0):
                self._read_on(name)

    def _read_on(self, name: str) -> None:
        offset = self._read.get(name, 0)
        with (self._folder / name).open("rb") as stream:
            stream.seek(offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    break  # being written, or its writer was killed
                self._note(name, offset, line)
                offset += len(line)
        self._read[name] = offset

    def _note(self, name: str, offset: int, line: bytes) -> None:
        record = parse(line)
        output, state = record.get("output"), record.get("state")
        if not isinstance(output, str) or state not in (DONE, FAILED):
            return
        known = self._places.get(output)
        final = state == DONE or offset >= self._since.get(name, 0)
        if known is None or (known.state != DONE and (final or not known.final)):
            self._places[output] = _Place(name, offset, state, final)

    def is_final(self, output: str) -> bool:
        """Whether an output is done, or has failed in this run."""
        return output in self._places and self._places[output].final

    def count(self) -> int:
        """Number of outputs with a record."""
        return sum(place.final for place in self._places.values())

    def get(self, output: str) -> dict[str, Any]:
        """The record of an output; empty if there is none."""
        place = self._places.get(output)
        if place is None:
            return {}
        with (self._folder / place.file).open("rb") as stream:
            stream.seek(place.offset)
            return parse(stream.readline())

    def append(self, record: Mapping[str, Any]) -> None:
        """Append a record and flush it to disk."""
        line = encode(record)
        handle = os.open(self._own, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        with naming(self._own), os.fdopen(handle, "wb") as stream:
            torn, self._torn = self._torn, True
            stream.write(b"\n" * torn + line)
            stream.flush()
            os.fsync(handle)
            self._torn = False


def sizes(folder: Path) -> dict[str, int]:
    """Number of bytes of each file of records; empty if the folder does not exist."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.name.endswith(".jsonl")}
    except FileNotFoundError:
        return {}


def encode(record: Mapping[str, Any]) -> bytes:
    """A record as a line. Names that are not valid Unicode are escaped."""
    try:
        return json.dumps(record, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(record).encode() + b"\n"


def parse(line: bytes) -> dict[str, Any]:
    """A line as a record; empty if it is none."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
