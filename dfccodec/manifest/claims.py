"""Claims: which process works on which file.

A claim is a file that only one process can create. While its owner lives, it touches the claim every `HEARTBEAT`
seconds. A claim is stale if its owner has certainly ended, which another process of the same machine knows at once, or
if its time of modification has not changed for `STALE_AFTER` seconds by the clock of the observer. So machines need no
common clock.

A stale claim is taken over by renaming it, which only one process can. It counts how often its file was claimed and not
finished.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfccodec.manifest import files
from dfccodec.runtime.process_identity import has_ended, identify

HEARTBEAT = 5.0
"""Seconds between two touches of a claim."""

STALE_AFTER = 60.0
"""Seconds without a touch after which a claim is stale."""


@dataclass(frozen=True)
class Claim:
    """A claim of this process.

    Args:
        path: the file.
        content: its bytes, unlike those of any other claim.
        crashes: how many processes before this one claimed the file and did not finish.
    """

    path: Path
    content: bytes
    crashes: int


class Claims:
    """Claims in a folder.

    Args:
        folder: the folder; created if missing.
        worker: name of this worker.
        stale_after: see `STALE_AFTER`.
    """

    def __init__(self, folder: Path, worker: str, stale_after: float = STALE_AFTER) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._worker, self._stale_after = folder, worker, stale_after
        self._seen: dict[Path, tuple[bytes, int, float]] = {}
        self._mine: Path | None = None
        self._stop = threading.Event()

    @contextlib.contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Touch the current claim from a thread, inside the block."""
        thread = threading.Thread(target=self._beat, name="dfc-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(min(HEARTBEAT, self._stale_after / 6)):
            mine = self._mine
            if mine is not None:
                with contextlib.suppress(OSError):  # it was taken over
                    os.utime(mine)

    def take(self, key: str, stale: bool = True) -> Claim | None:
        """Claim a key; None if another process has a claim that is not stale, or any claim without `stale`."""
        path = self._folder / f"{key}.json"
        claim = self._create(path, 0)
        if claim is None and stale:
            crashes = self._take_over(path)
            claim = None if crashes is None else self._create(path, crashes + 1)
        if claim is not None:
            self._seen.pop(path, None)
            self._mine = path
        return claim

    def release(self, claim: Claim) -> None:
        """Remove a claim of this process, unless another one has taken it over."""
        self._mine = None
        if _look(claim.path)[0] == claim.content:
            claim.path.unlink(missing_ok=True)

    def _create(self, path: Path, crashes: int) -> Claim | None:
        record = {"worker": self._worker, "id": uuid.uuid4().hex, "crashes": crashes, "owner": identify()}
        content = json.dumps(record).encode()
        return Claim(path, content, crashes) if files.create(path, content) else None

    def _take_over(self, path: Path) -> int | None:
        """Remove a stale claim; returns its number of crashes, or None if it is not stale or another one was faster."""
        content, touched = _look(path)
        if content is None:
            return None
        record = parse(content)
        if not (has_ended(record.get("owner", {})) or self._is_silent(path, content, touched)):
            return None
        removed = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        try:
            path.rename(removed)
        except FileNotFoundError:
            return None
        try:
            found = _look(removed)[0]
            if found != content:  # another process has taken it over between reading and renaming: give it back
                files.create(path, found or b"")
                return None
        finally:
            removed.unlink(missing_ok=True)
        return int(record.get("crashes", 0))

    def _is_silent(self, path: Path, content: bytes, touched: int) -> bool:
        """Whether a claim has not been touched for too long, as far as this process has seen."""
        now = time.monotonic()
        before = self._seen.get(path)
        if before is None or before[:2] != (content, touched):
            self._seen[path] = (content, touched, now)
            return False
        return now - before[2] > self._stale_after


def _look(path: Path) -> tuple[bytes | None, int]:
    """Contents of a claim, None if there is none, and its time of modification.

    The file is opened for both, because a client of NFS answers `stat` alone from memory for up to a minute.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(), os.fstat(stream.fileno()).st_mtime_ns
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        return None, 0


def parse(content: bytes) -> dict[str, Any]:
    """A claim as JSON; empty if it was never written."""
    try:
        record = json.loads(content)
    except ValueError:
        return {}
    return record if isinstance(record, dict) and isinstance(record.get("owner", {}), dict) else {}
