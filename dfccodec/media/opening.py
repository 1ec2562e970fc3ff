"""Opening what a person names as a video: a file, a pipe, a numbered series of pictures, a glob."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer

from dfccodec.container.chunks import SIGNATURE
from dfccodec.errors import InputError

_SHARED = threading.Lock()
"""Seeking and reading of a shared stream is one thing: pictures and sound are read in threads of their own."""


class View(io.RawIOBase):
    """A seekable stream read at a place of this object's own, so that two readers of one stream do not disturb."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._place = stream, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset, whence = offset + self._place, os.SEEK_SET
        with _SHARED:
            self._place = self._stream.seek(offset, whence)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with _SHARED:
            self._stream.seek(self._place)
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


class Feed:
    """A pipe as ffmpeg is given it: what goes wrong in Python while ffmpeg reads is kept, and to ffmpeg is the end.

    PyAV drops exceptions out of a callback, Ctrl-C among them, and ffmpeg would ask again.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._error: BaseException | None = None

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end, and after an error."""
        if self._error is None:
            try:
                return self._stream.read(size)
            except BaseException as error:
                self._error = error
        return b""

    def check(self) -> None:
        """Raise what was kept."""
        if self._error is not None:
            raise self._error


def name_of(source: Path | BinaryIO | Feed) -> str:
    """A source for people."""
    if isinstance(source, Path):
        return str(source)
    stream = source._stream if isinstance(source, Feed) else source
    return "standard input" if getattr(stream, "name", None) in (0, "<stdin>") else "the stream"


def open_input(source: Path | BinaryIO | Feed) -> InputContainer:
    """Open a source with ffmpeg.

    Args:
        source: a path; a stream that seeks; another stream in a `Feed`; or a path that does not exist but describes
            pictures: `%04d.png`, `*.png`.

    Raises:
        InputError: nothing PyAV opens.
    """
    try:
        if isinstance(source, Feed):
            return av.open(source, "r")
        if not isinstance(source, Path):
            return av.open(View(source), "r")
        name = str(source)
        if not source.exists() and "%" in name:
            return av.open(name, format="image2")
        if not source.exists() and any(c in name for c in "*?["):
            return av.open(name, format="image2", options={"pattern_type": "glob"})
        # Paths go to ffmpeg as file: URLs, so that a name with a colon is never taken for a protocol.
        return av.open(f"file:{source}")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(source, Feed):
            source.check()
        if _is_dfc(source):
            raise InputError(
                f"{name_of(source)} is a .dfc file already: dfc decode makes a video of it, dfc trim a smaller file"
            ) from None
        raise InputError(f"cannot open {name_of(source)}: {reason(error)}") from None


def _is_dfc(source: Path | BinaryIO | Feed) -> bool:
    """Whether a source that ffmpeg does not know begins as our own files do; of a pipe that is gone."""
    try:
        if isinstance(source, Path):
            with source.open("rb") as stream:
                return stream.read(len(SIGNATURE)) == SIGNATURE
        if isinstance(source, Feed):
            return False
        return source.seek(0) == 0 and source.read(len(SIGNATURE)) == SIGNATURE
    except OSError:
        return False


def reason(error: Exception) -> str:
    """An ffmpeg error in one line, without Python's numbering."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0]
