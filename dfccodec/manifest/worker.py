"""A worker: claims files of a list, encodes them and records the results, until all files are done or have failed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from dfccodec.errors import DfcError, ModelError, describe_error
from dfccodec.manifest import files
from dfccodec.manifest.claims import STALE_AFTER, Claim, Claims
from dfccodec.manifest.items import Item
from dfccodec.manifest.records import DONE, FAILED, Records
from dfccodec.runtime.atomic_output import no_folder
from dfccodec.runtime.process_identity import has_ended, identify

MAX_CRASHES = 5
"""Processes that may end over one file before it has failed, so that a file that kills its process stops nobody."""

_POLL = 0.5
"""Seconds between two looks while other workers have all that is left."""

_DAY = 86400.0

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""Errors of the output folder that all other files would meet too."""

Figures = dict[str, Any]


class Task(Protocol):
    """What is done with each file."""

    def encode(self, item: Item, output: Path) -> Figures:
        """Write the output of an item to a path, completely; returns figures for its record."""

    def find(self, item: Item, output: Path) -> Figures | None:
        """Figures of an output that exists already and is as this task would make it; None if there is none.

        Raises:
            DfcError: the output is another one.
        """


@dataclass(frozen=True)
class Folders:
    """The output folder and the folder of the state of a list in it."""

    output: Path
    state: Path
    results: Path

    @classmethod
    def of(cls, manifest: Path, output: Path) -> Folders:
        """The folders of a list."""
        return cls(output, output / f"{manifest.stem}.state", output / f"{manifest.stem}.results.jsonl")


class Worker:
    """One worker of a list.

    Args:
        folders, items: the list.
        task: what is done with each file.
        since: see :class:`Records`.
        overwrite: whether outputs without a record are replaced.
        stale_after: see :mod:`dfccodec.manifest.claims`.
        tell: receives each new record of this worker, and the number of files with one.
    """

    def __init__(
        self, folders: Folders, items: Sequence[Item], task: Task, since: Mapping[str, int] | None = None,
        overwrite: bool = False, stale_after: float = STALE_AFTER,
        tell: Callable[[dict[str, Any], int], None] = lambda record, count: None,
    ) -> None:  # fmt: skip
        self.name = f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._folders, self._items, self._task = folders, items, task
        self._overwrite, self._tell = overwrite, tell
        self._work = folders.state / "work" / self.name
        try:
            self._work.mkdir(parents=True)
            (self._work / "owner.json").write_text(json.dumps(identify()))
            self.records = Records(folders.state / "records", self.name, since)
            self._claims = Claims(folders.state / "claims", self.name, stale_after)
        except OSError as error:
            raise no_folder(Path(error.filename or folders.state), error) from None

    def run(self, proceed: Callable[[], bool] = lambda: True) -> None:
        """Work until every file has a record of this run.

        Args:
            proceed: asked before each file; the worker ends if it returns False.

        Raises:
            ModelError, OSError: no file can be encoded; files in work stay without a record.
        """
        left = list(self._items)
        try:
            with self._claims.heartbeat():
                while left := [item for item in left if not self.records.is_final(item.output)]:
                    if not proceed():
                        return
                    # Stale claims last: a file that ends its processes must not stop the others.
                    if not (self._pass(left, False, proceed) or self._pass(left, True, proceed)):
                        time.sleep(_POLL)
                    self.records.refresh()
        finally:
            shutil.rmtree(self._work, ignore_errors=True)
            self._sweep()

    def _pass(self, items: Sequence[Item], stale: bool, proceed: Callable[[], bool]) -> bool:
        """Process all items without a claim, or with a stale one too; returns whether there was one."""
        worked = False
        for item in items:
            if self.records.is_final(item.output):
                continue
            claim = self._claims.take(item.key, stale)
            if claim is None:
                continue
            try:
                self.records.refresh()  # its last owner wrote its record before it released its claim
                if not self.records.is_final(item.output):
                    worked = True
                    self._process(item, claim)
            finally:
                self._claims.release(claim)
            if not proceed():
                break
        return worked

    def _process(self, item: Item, claim: Claim) -> None:
        begun = time.time()
        try:
            if claim.crashes >= MAX_CRASHES:
                raise DfcError(
                    f"{claim.crashes} processes ended while they were encoding {item.source}: look for out of memory, "
                    "or encode it alone"
                )
            target = self._folders.output / item.output
            figures = None if self._overwrite else self._task.find(item, target)
            if figures is None:
                self._work.mkdir(exist_ok=True)  # another worker has removed it if this one was idle for a day
                staged = self._work / f"{item.key}.part"
                figures = self._task.encode(item, staged)
                target.parent.mkdir(parents=True, exist_ok=True)
                if not self._commit(staged, target):
                    return  # another worker has finished it after all; the next round finds its output
        except Exception as error:  # including a bug: the next file may still work
            if isinstance(error, ModelError) or getattr(error, "errno", None) in _NO_ROOM:
                raise
            self._record(item, claim, begun, {"state": FAILED, **describe_error(error)})
        else:
            self._record(item, claim, begun, {"state": DONE, **figures})

    def _commit(self, staged: Path, target: Path) -> bool:
        if self._overwrite:
            staged.replace(target)
            return True
        return files.publish(staged, target)

    def _record(self, item: Item, claim: Claim, begun: float, figures: Mapping[str, Any]) -> None:
        record = {
            "input": item.source, "output": item.output, **figures, "worker": self.name, "crashes": claim.crashes,
            "begun": _utc(begun), "ended": _utc(time.time()),
        }  # fmt: skip
        self.records.append(record)
        self.records.refresh()
        self._tell(record, self.records.count())

    def _sweep(self) -> None:
        """Remove the work of workers that have certainly ended, or of other machines, not written to for a day."""
        with contextlib.suppress(OSError):
            for folder in self._work.parent.iterdir():
                with contextlib.suppress(OSError, ValueError):
                    written = max(path.stat().st_mtime for path in folder.iterdir())
                    if has_ended(json.loads((folder / "owner.json").read_text())) or time.time() - written > _DAY:
                        shutil.rmtree(folder, ignore_errors=True)


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
