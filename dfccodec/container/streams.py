"""Opening and checking of binary streams."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from dfccodec.container.chunks import SIGNATURE
from dfccodec.errors import InputError, NotDfcError, UsageError
from dfccodec.runtime.atomic_output import replacing

Readable = str | Path | BinaryIO | bytes | bytearray | memoryview
"""A path, the content as bytes, or a binary stream."""


def open_binary(path: str | Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        InputError: the file cannot be opened.
    """
    if not str(path):
        raise InputError("the file name is empty: give a name, or - for standard input")
    try:
        return cast(BinaryIO, Path(path).open("rb"))
    except OSError as error:
        raise InputError(f"cannot open {path}: {error.strerror}") from None


def open_source(source: Readable) -> BinaryIO:
    """Return a source as a binary stream.

    Raises:
        InputError: the file cannot be opened.
        UsageError: the source is a text stream, closed, or of another type.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    return open_binary(source) if isinstance(source, str | Path) else require_binary(source)


def require_binary(stream: BinaryIO, verb: str = "read") -> BinaryIO:
    """Check that a value is an open binary stream, and return it.

    Args:
        stream: the stream.
        verb: `read` or `write`, the method it must support.

    Raises:
        UsageError: the value is a text stream, closed, not open for `verb`, or no stream.
    """
    given: object = stream
    if isinstance(given, io.TextIOBase):
        raise UsageError("the stream is a text stream: open it with 'rb' or 'wb'")
    if not hasattr(given, verb):
        ways = "a path, bytes or a binary stream" if verb == "read" else "a path or a binary stream"
        raise UsageError(f"cannot {verb} a value of type {type(given).__name__}: give {ways}")
    if getattr(given, "closed", False):
        raise UsageError(f"the stream to {verb} is closed: open it again")
    able = getattr(given, "readable" if verb == "read" else "writable", None)
    if callable(able) and not able():
        raise UsageError(f"the stream is not open to {verb}: open it with {'rb' if verb == 'read' else 'wb'!r}")
    return stream


def seekable(stream: object) -> bool:
    """Whether a stream is seekable; False if it has no `seekable` method."""
    able = getattr(stream, "seekable", None)
    return bool(able and able())


@contextlib.contextmanager
def with_source_name(name: object) -> Iterator[None]:
    """Add the file name to any `NotDfcError` raised in this block."""
    try:
        yield
    except NotDfcError as error:
        if str(error).startswith(f"{name} "):  # an inner block has named it
            raise
        raise NotDfcError(f"{name} is {error}") from None


@contextlib.contextmanager
def open_output(out: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open an output. For a path, a temporary file is written and renamed after success."""
    if isinstance(out, str | Path):
        with replacing(Path(out)) as stream:
            yield stream
    else:
        yield require_binary(out, "write")


def is_dfc(path: Path) -> bool:
    """Return whether a file begins as a `.dfc` file does."""
    with contextlib.suppress(OSError), path.open("rb") as stream:
        return stream.read(len(SIGNATURE)) == SIGNATURE
    return False
