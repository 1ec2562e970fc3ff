"""Files that appear complete, and only once, on a shared folder."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
"""Errors of file systems without hard links."""


def create(path: Path, data: bytes) -> bool:
    """Create a file with its contents; returns False if it exists. Of several processes, one gets True.

    The file is written under another name and linked. On a file system without hard links it is created first and
    written then, so a reader may see it empty.
    """
    temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.part")
    try:
        temporary.write_bytes(data)
        linked = _link(temporary, path)
        return _create_in_place(path, data) if linked is None else linked
    finally:
        temporary.unlink(missing_ok=True)


def publish(source: Path, target: Path) -> bool:
    """Give a complete file its name; returns False if there is a file of that name.

    Of several processes, one gets True. On a file system without hard links two processes at the same moment may both
    get True, with one complete file.
    """
    linked = _link(source, target)
    if linked is None:
        linked = not target.exists()
        if linked:
            source.replace(target)
    source.unlink(missing_ok=True)
    return linked


def _link(source: Path, target: Path) -> bool | None:
    """Give a file a second name; False if that exists, None without hard links."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return None
    return True


def _create_in_place(path: Path, data: bytes) -> bool:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    with os.fdopen(handle, "wb") as stream:
        stream.write(data)
    return True
