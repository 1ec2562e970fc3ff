"""Output that is either complete or not there: written beside the target, renamed at the end."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from dfccodec.errors import DfcError, UsageError

_LONGEST = 255


def settled(target: Path) -> Path:
    """The file that a path stands for, behind links.

    Raises:
        UsageError: what is there is a folder, or a pipe or a device, which a rename would replace with a file.
    """
    real = Path(os.path.realpath(target))
    with contextlib.suppress(OSError):  # nothing is there, or what is wrong with it shows when it is written
        mode = real.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UsageError(f"output {target} is a folder: name a file in it")
        if not stat.S_ISREG(mode):
            raise UsageError(f"output {target} is a pipe or a device: write to standard output, -o - > {target}")
    return real


def shortened(name: str, room: int) -> str:
    """A file's name that has `room` for so many bytes more: file systems take 255. A digest stands for what is cut."""
    raw = os.fsencode(name)
    if len(raw) + room <= _LONGEST:
        return name
    digest = hashlib.sha256(raw).hexdigest()[:16]
    return raw[: _LONGEST - room - len(digest)].decode(errors="ignore") + digest


def permissions(target: Path) -> int:
    """Mode of the file that becomes `target`: that of what is there, else that of any new file."""
    with contextlib.suppress(OSError):
        return stat.S_IMODE(target.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


@contextlib.contextmanager
def replacing_path(target: Path) -> Iterator[Path]:
    """A temporary path in the target's folder; on success it becomes the target, on any error it is removed.

    Raises:
        DfcError: the folder cannot be written.
        UsageError: the target is no file.
    """
    target = settled(target)
    try:
        prefix = f".{shortened(target.name, 32)}."
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=target.parent)
    except OSError as error:
        raise DfcError(f"cannot write into {target.parent}: {error.strerror}; name another output") from None
    os.close(handle)
    path = Path(name)
    try:
        yield path
        path.chmod(permissions(target))  # mkstemp makes files for their owner only
        path.replace(target)
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """As :func:`replacing_path`, as a binary stream, flushed to disk before the rename."""
    with replacing_path(target) as path, path.open("wb") as stream:
        yield cast(BinaryIO, stream)
        stream.flush()
        os.fsync(stream.fileno())
