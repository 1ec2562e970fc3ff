"""The partial output of an encode: kept if the encode is interrupted, and resumed by the next run.

For `out.dfc` there are two files: `.out.dfc.part`, the output so far, and `.out.dfc.part.log`, one line of JSON about
the run, then one digest per clip of the frames it was coded from, written before the clip. A process locks its partial
output while it lives, so the next run can take over the files of a killed process at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import BinaryIO, cast

from dfccodec.codec.partial_scan import DIGEST_BYTES, FinishedClips, find_finished_clips
from dfccodec.container import chunks
from dfccodec.errors import DfcError, InputError, UsageError
from dfccodec.runtime.atomic_output import naming, no_folder, permissions, resolve_target, shorten_name

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class BusyError(DfcError):
    """Another process is writing this partial output, or it belongs to another user."""


class PartialOutput:
    """A file that is being written: a binary stream for a `Writer`, which writes chunk by chunk.

    When an interrupted run is resumed, the bytes written must equal the existing ones up to the end of the last
    complete clip, and replace everything after it. The existing files stay unchanged until this run codes a new frame.

    Args:
        target: path of the finished file.
        record: everything besides the source that determines the bytes of the file, by name.
        resume: resume the existing partial output; otherwise it is discarded.

    Attributes:
        path: the output so far.
        clips, frames: numbers of clips and frames taken from the interrupted run.
        discarded_bytes: bytes of an interrupted run that are not resumed.
        resumable: after an error, whether another run can resume.

    Raises:
        DfcError: the folder cannot be written, or the partial output is in use (`BusyError`).
        UsageError: the partial output was made with other options, or the target is not a file.
    """

    def __init__(self, target: Path, record: dict[str, str], resume: bool) -> None:
        target = resolve_target(target)
        self._target, self._record = target, record
        name = shorten_name(target.name, len("..part.log"))
        self.path = target.with_name(f".{name}.part")
        self._log_path = target.with_name(f".{name}.part.log")
        self._stream = _open_locked(self.path)
        self._log: BinaryIO | None = None
        self._place, self.resumable = 0, False
        try:
            found = FinishedClips()
            if resume:
                found = find_finished_clips(self._stream, self._log_path, record, self.refusal)
            self._digests, self.frames, self._end = found.digests, found.frames, found.end
            self.clips = len(found.digests)
            self._worth = self.clips > 0
            self.discarded_bytes = 0 if self.clips else self._stream.seek(0, os.SEEK_END)
        except BaseException:
            self._stream.close()
            raise

    def refusal(self, why: str) -> UsageError:
        """The error of a run that cannot resume this partial output."""
        return UsageError(
            f"cannot resume {self.path}: {why}; give the same source and options, or leave out --resume to start from "
            "the beginning"
        )

    def digest(self, clip: int) -> str:
        """Digest of the frames from which an existing clip was coded."""
        return self._digests[clip]

    def reader(self) -> BinaryIO:
        """A second stream over the output so far."""
        return cast(BinaryIO, self.path.open("rb"))

    def record_digest(self, digest: str) -> None:
        """Record the digest of the frames of the next clip, before it is coded."""
        if self._log is None:
            self._log = self._open_log()
        with naming(self._log_path):
            self._log.write(digest.encode() + b"\n")
            self._log.flush()

    def _open_log(self) -> BinaryIO:
        """Open the log and truncate it after the digests in use. If no clip is resumed, discard the existing output."""
        log = cast(BinaryIO, os.fdopen(os.open(self._log_path, _FLAGS, 0o666), "r+b"))
        if self.clips:
            log.seek(len(log.readline()) + self.clips * (2 * DIGEST_BYTES + 1))
        else:
            self._stream.truncate(0)
            log.write(json.dumps(self._record).encode() + b"\n")
        log.truncate()
        return log

    def write(self, data: bytes) -> int:
        """Write a chunk, or compare it with the existing one.

        Raises:
            UsageError: the existing chunk differs.
        """
        if self._place < self._end:
            self._stream.seek(self._place)
            if self._stream.read(len(data)) != data:
                what = f"chunk {chunks.name(data[:4])}" if self._place else "the signature"
                raise self.refusal(f"{what} at byte {self._place} differs with this source")
        else:
            if self._place == self._end:
                self._stream.seek(self._end)
                self._stream.truncate()
            with naming(self._target):
                self._stream.write(data)
                self._stream.flush()  # complete chunks survive the process, however it ends
            self._worth |= data[:4] == chunks.CLIP
        self._place += len(data)
        return len(data)

    def finish(self) -> None:
        """Rename it to the target."""
        with naming(self._target):
            os.fsync(self._stream.fileno())
        if sys.platform == "win32":
            self._stream.close()  # Windows cannot rename an open file; elsewhere the lock must outlast the renaming
        self.path.chmod(permissions(self._target))
        self.path.replace(self._target)
        self._close(keep=False)

    def abandon(self, error: BaseException) -> None:
        """Close after an error.

        If dfc rejected the encode, delete what this run has written. After an external failure (interrupt, full disk,
        unreadable input), keep the finished clips for `--resume`.
        """
        refused = isinstance(error, DfcError) and not isinstance(error, InputError)
        # Whether the files of an earlier run are still unchanged.
        untouched = self._log is None and (self._end or self.discarded_bytes)
        self.resumable = self._worth and not refused
        if not (self.resumable or untouched):
            self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # on a full disk closing fails again; report the first error
            self._close(keep=bool(self.resumable or untouched))

    def _close(self, keep: bool) -> None:
        if self._log is not None:
            self._log.close()
        if not keep:
            self._log_path.unlink(missing_ok=True)
        self._stream.close()


def _open_locked(path: Path) -> BinaryIO:
    """Open or create a file and lock it."""
    while True:
        try:
            handle = os.open(path, _FLAGS, 0o666)
        except OSError as error:
            raise no_folder(path.parent, error) from None
        try:
            _lock(handle, path)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return cast(BinaryIO, os.fdopen(handle, "r+b"))
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its owner has just renamed or removed it: create another


def _lock(handle: int, path: Path) -> None:
    """Lock an open file for this process, if the file system has locks."""
    if sys.platform == "win32":
        return
    import fcntl

    if os.fstat(handle).st_uid != os.geteuid():
        raise BusyError(f"{path} belongs to another user: remove it, or name another output")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(f"{path} is being written by another dfc: wait for it, or name another output") from None
    except OSError:
        pass  # a network file system without locks: the user has to avoid two encodes to one target
