"""What an encode has done so far, beside its target: kept when it is interrupted, found again, added to, renamed.

For `out.dfc` these are `.out.dfc.part`, the file so far, and `.out.dfc.part.log`: a line of JSON on the run that wrote
it, then for each clip a digest of the frames it was coded from, written before the clip is. A part is one process's own
while that process lives; the lock goes with it, so what a killed one leaves can be taken over at once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import sys
from pathlib import Path
from typing import BinaryIO, cast

from dfccodec.container import chunks
from dfccodec.container.reader import ClipAt, StreamReader
from dfccodec.errors import DfcError, InputError, UsageError
from dfccodec.runtime.atomic_output import naming, no_folder, permissions, resolve_target, shortened

DIGEST_BYTES = 16
_DIGEST = re.compile(rb"[0-9a-f]{%d}" % (2 * DIGEST_BYTES))
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class BusyError(DfcError):
    """Another process writes this part, or it is another user's."""


class PartialOutput:
    """A file that is being written; a binary stream to a `Writer`, which gives it chunk by chunk.

    Where it goes on with what an interrupted run has left, bytes written must equal those that are there up to the end
    of the last whole clip, and replace what is behind that. Of an old part nothing is touched until this run has frames
    to code that are not in it.

    Args:
        target: where the finished file goes.
        record: what the bytes of the file follow from besides the source, by name.
        resume: go on with what is there; otherwise it is dropped.

    Attributes:
        path: the file so far.
        clips, frames: what is taken over from an interrupted run.
        discarded_bytes: bytes of an interrupted run that this one does not go on with.
        resumable: after an error, whether another run can go on with what there is.

    Raises:
        DfcError: the folder cannot be written, or the part is in use (`BusyError`).
        UsageError: what is there was made with other options, or the target is no file.
    """

    def __init__(self, target: Path, record: dict[str, str], resume: bool) -> None:
        target = resolve_target(target)
        self._target, self._record = target, record
        name = shortened(target.name, len("..part.log"))
        self.path = target.with_name(f".{name}.part")
        self._log_path = target.with_name(f".{name}.part.log")
        self._stream = _own(self.path)
        self._log: BinaryIO | None = None
        self.clips = self.frames = self._end = self._place = 0
        self._digests: list[str] = []
        self.resumable = self._worth = False
        try:
            if resume:
                self._look()
            self.discarded_bytes = 0 if self.clips else self._stream.seek(0, os.SEEK_END)
        except BaseException:
            self._stream.close()
            raise

    def _look(self) -> None:
        """Find the whole clips whose frames are known, in a part that was made as this one would be."""
        ends, frames = [0], [0]
        try:
            self._stream.seek(0)
            for item in StreamReader(self._stream):
                if isinstance(item, ClipAt):
                    if item.clip.first_frame != frames[-1]:
                        break
                    ends.append(item.offset + item.size)
                    frames.append(frames[-1] + item.clip.frames)
        except DfcError:
            pass  # cut short before its first clip: nothing to go on with
        if len(ends) == 1:
            return
        lines = self._log_path.read_bytes().split(b"\n")[:-1] if self._log_path.exists() else []
        self._compare(lines[0] if lines else b"")
        self._digests = [line.decode() for line in itertools.takewhile(_DIGEST.fullmatch, lines[1:])]
        self.clips = min(len(self._digests), len(ends) - 1)
        self.frames, self._end = frames[self.clips], ends[self.clips]
        self._worth = self.clips > 0

    def _compare(self, line: bytes) -> None:
        """Refuse a part that another run than this one would have made."""
        try:
            old = json.loads(line)
            if not isinstance(old, dict):
                raise ValueError
        except ValueError:
            raise self.refusal(f"{self._log_path.name}, which says how it was made, cannot be read") from None
        for name, value in self._record.items():
            if old.get(name) != value:
                raise self.refusal(f"{name} was {str(old.get(name))[:300]!r}, is {value!r}")

    def refusal(self, why: str) -> UsageError:
        """The error of a run that cannot go on with this part."""
        return UsageError(
            f"cannot resume {self.path}: {why}; give the same source and options, or leave out --resume to begin anew"
        )

    def digest(self, clip: int) -> str:
        """Digest of the frames that a clip taken over was coded from."""
        return self._digests[clip]

    def reader(self) -> BinaryIO:
        """Another stream over the file so far."""
        return cast(BinaryIO, self.path.open("rb"))

    def record_digest(self, digest: str) -> None:
        """Remember the digest of the frames of the next clip, before it is coded."""
        if self._log is None:
            self._log = self._opened_log()
        with naming(self._log_path):
            self._log.write(digest.encode() + b"\n")
            self._log.flush()

    def _opened_log(self) -> BinaryIO:
        """The log, cut behind the digests that are of use; an old part that is of no use goes first."""
        log = cast(BinaryIO, os.fdopen(os.open(self._log_path, _FLAGS, 0o666), "r+b"))
        if self.clips:
            log.seek(len(log.readline()) + self.clips * (2 * DIGEST_BYTES + 1))
        else:
            self._stream.truncate(0)
            log.write(json.dumps(self._record).encode() + b"\n")
        log.truncate()
        return log

    def write(self, data: bytes) -> int:
        """Add a chunk, or compare it with the one that is there.

        Raises:
            UsageError: what is there is another.
        """
        if self._place < self._end:
            self._stream.seek(self._place)
            if self._stream.read(len(data)) != data:
                what = f"chunk {chunks.name(data[:4])}" if self._place else "the signature"
                raise self.refusal(f"{what} at byte {self._place} would be another with this source")
        else:
            if self._place == self._end:
                self._stream.seek(self._end)
                self._stream.truncate()
            with naming(self._target):
                self._stream.write(data)
                self._stream.flush()  # what is complete outlives this process, however it ends
            self._worth |= data[:4] == chunks.CLIP
        self._place += len(data)
        return len(data)

    def finish(self) -> None:
        """Make it the target."""
        with naming(self._target):
            os.fsync(self._stream.fileno())
        if sys.platform == "win32":
            self._stream.close()  # no open file is renamed there; elsewhere the lock must outlast the renaming
        self.path.chmod(permissions(self._target))
        self.path.replace(self._target)
        self._close(keep=False)

    def abandon(self, error: BaseException) -> None:
        """Let go after an error: what dfc refuses leaves nothing new, what came from outside leaves the clips."""
        refused = isinstance(error, DfcError) and not isinstance(error, InputError)
        untouched = self._log is None and (self._end or self.discarded_bytes)  # an old part is as it was
        self.resumable = self._worth and not refused
        if not (self.resumable or untouched):
            self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what does not fit on a full disk fails once more; the first error counts
            self._close(keep=bool(self.resumable or untouched))

    def _close(self, keep: bool) -> None:
        if self._log is not None:
            self._log.close()
        if not keep:
            self._log_path.unlink(missing_ok=True)
        self._stream.close()


def _own(path: Path) -> BinaryIO:
    """Open a file, made where it is missing, and lock it."""
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
        os.close(handle)  # whoever held it has just renamed or removed it: make another


def _lock(handle: int, path: Path) -> None:
    """Lock an open file for this process, where the system and the file system have locks."""
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
        pass  # a network without locks: two encodes of one target at a time are the user's to avoid
