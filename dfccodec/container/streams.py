"""A `.dfc` file by its name: opened, and named by the errors about it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from dfccodec.errors import InputError, NotDfcError, UsageError
from dfccodec.runtime.atomic_output import replacing

Readable = str | Path | BinaryIO | bytes | bytearray | memoryview
"""A path, the bytes themselves, or a binary stream."""


def open_binary(path: str | Path) -> BinaryIO:
    """A file, to be read.

    Raises:
        InputError: it does not open.
    """
    if not str(path):
        raise InputError("a file's name is empty: give one, or - for standard input")
    try:
        return cast(BinaryIO, Path(path).open("rb"))
    except OSError as error:
        raise InputError(f"cannot open {path}: {error.strerror}") from None


def readable(source: Readable) -> BinaryIO:
    """A source as a binary stream.

    Raises:
        InputError: it does not open.
        UsageError: it is a stream of text, closed, or nothing to read from.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    return open_binary(source) if isinstance(source, str | Path) else require_binary(source)


def require_binary(stream: BinaryIO, verb: str = "read") -> BinaryIO:
    """The stream itself.

    Args:
        stream: to read from, or to write to.
        verb: `read` or `write`.

    Raises:
        UsageError: it is one of text, closed, open for the other, or no stream at all.
    """
    given: object = stream
    if isinstance(given, io.TextIOBase):
        raise UsageError("the stream is one of text: open it with 'rb' or 'wb'")
    if not hasattr(given, verb):
        ways = "a path, bytes or a binary stream" if verb == "read" else "a path or a binary stream"
        raise UsageError(f"nothing to {verb}: a value of type {type(given).__name__}; give {ways}")
    if getattr(given, "closed", False):
        raise UsageError(f"the stream to {verb} is closed: open it again")
    able = getattr(given, "readable" if verb == "read" else "writable", None)
    if callable(able) and not able():
        raise UsageError(f"the stream is not open to {verb}: open it with {'rb' if verb == 'read' else 'wb'!r}")
    return stream


def seekable(stream: object) -> bool:
    """Whether a stream can seek; one that does not say cannot."""
    able = getattr(stream, "seekable", None)
    return bool(able and able())


@contextlib.contextmanager
def with_source_name(name: object) -> Iterator[None]:
    """What is found in here to be no `.dfc` file is said to be so by its name.

    Raises:
        NotDfcError: the same, with the name in front.
    """
    try:
        yield
    except NotDfcError as error:
        raise NotDfcError(f"{name} is {error}") from None


@contextlib.contextmanager
def open_output(out: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """An output to write to; a path is written beside and renamed when all went well."""
    if isinstance(out, str | Path):
        with replacing(Path(out)) as stream:
            yield stream
    else:
        yield require_binary(out, "write")
