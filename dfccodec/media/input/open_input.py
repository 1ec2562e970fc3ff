"""Opening what a person names as a video: a file, a pipe, a numbered series of pictures, a glob."""

from __future__ import annotations

import io
import os
import stat
import threading
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.container import InputContainer

from dfccodec.container.streams import seekable
from dfccodec.errors import InputError
from dfccodec.media.decode_errors import reason
from dfccodec.media.input.completeness import stated_length
from dfccodec.media.input.diagnosis import diagnosis
from dfccodec.media.input.image_sequence import is_series, open_series
from dfccodec.media.loops import HEAD

_SHARED = threading.Lock()
"""Seeking and reading of a shared stream is one thing: pictures and sound are read in threads of their own."""


class IndependentReader(io.RawIOBase):
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


class PipeInput:
    """A pipe as ffmpeg is given it: what goes wrong in Python while ffmpeg reads is kept, and to ffmpeg is the end.

    PyAV drops exceptions out of a callback, Ctrl-C among them, and ffmpeg would ask again.

    Attributes:
        head: the first bytes that came.
        size: how many came so far.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._error: BaseException | None = None
        self.head, self.size = b"", 0

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end, and after an error."""
        if self._error is not None:
            return b""
        try:
            data = self._stream.read(size)
        except BaseException as error:
            self._error = error
            return b""
        self.head += data[: max(0, HEAD - len(self.head))]
        self.size += len(data)
        return data

    def check(self) -> None:
        """Raise what was kept."""
        if self._error is not None:
            raise self._error

    @property
    def name(self) -> object:
        """Of the stream, as Python has it; None where it has none."""
        return getattr(self._stream, "name", None)

    @property
    def missing_bytes(self) -> int:
        """Bytes that have not come, by the container's own account; for the end of the pipe."""
        return max(0, (stated_length(self.head) or 0) - self.size)


def read_once(source: Path | BinaryIO) -> bool:
    """Whether a source gives its bytes one time only: a pipe, a device, a socket, a stream that does not seek."""
    if not isinstance(source, Path):
        return not seekable(source)
    try:
        mode = source.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def open_once(source: Path) -> BinaryIO:
    """A pipe by its path. Python waits for whoever writes into it, so that Ctrl-C and SIGTERM end the waiting.

    Raises:
        InputError: it does not open.
    """
    try:
        return cast(BinaryIO, source.open("rb", buffering=0))
    except OSError as error:
        raise InputError(f"cannot open {source}: {error.strerror}") from None


def name_of(source: Path | BinaryIO | PipeInput) -> str:
    """A source for people."""
    if isinstance(source, Path):
        return str(source)
    name = getattr(source, "name", None)
    if name in (0, "<stdin>"):
        return "standard input"
    return name if isinstance(name, str) and isinstance(source, PipeInput) else "the stream"


def open_input(source: Path | BinaryIO | PipeInput) -> InputContainer:
    """Open a source with ffmpeg.

    Args:
        source: a path; a stream that seeks; another stream in a `PipeInput`; or a path that does not exist but
            describes
            pictures: `%04d.png`, `*.png`.

    Raises:
        InputError: nothing PyAV opens.
    """
    try:
        if isinstance(source, Path) and is_series(source):
            return open_series(source)
        # Paths go to ffmpeg as file: URLs, so that a name with a colon is never taken for a protocol.
        place: object = f"file:{source}" if isinstance(source, Path) else source
        place = place if isinstance(source, Path | PipeInput) else IndependentReader(source)
        return av.open(place, "r", metadata_errors="replace")  # tags of old files are in any encoding
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(source, PipeInput):
            source.check()
        raise InputError(diagnosis(source, name_of(source)) or _plain(source, error)) from None


def _plain(source: Path | BinaryIO | PipeInput, error: Exception) -> str:
    return f"cannot open {name_of(source)}: {reason(error)}"
