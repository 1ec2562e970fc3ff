"""Output that is either complete or not there: written beside the target, renamed at the end."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from dfccodec.errors import DfcError


@contextlib.contextmanager
def replacing_path(target: Path) -> Iterator[Path]:
    """A temporary path in the target's folder; on success it becomes the target, on any error it is removed.

    Raises:
        DfcError: the folder cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise DfcError(f"cannot write into {target.parent}: {error.strerror}; name another output") from None
    os.close(handle)
    path = Path(name)
    try:
        yield path
        umask = os.umask(0)
        os.umask(umask)
        path.chmod(0o666 & ~umask)  # mkstemp makes files for their owner only
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
