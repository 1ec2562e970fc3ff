"""Opens inputs: a file, a pipe, a numbered image sequence, or a glob."""

from __future__ import annotations

import io
import os
import stat
import sys
import threading
from pathlib import Path
from typing import BinaryIO, cast

import av
from av.container import InputContainer

from dfccodec.container.streams import seekable
from dfccodec.errors import InputError
from dfccodec.media.decode_errors import describe_error
from dfccodec.media.input.completeness import stated_length
from dfccodec.media.input.diagnosis import diagnose
from dfccodec.media.input.image_sequence import is_image_sequence, open_image_sequence
from dfccodec.media.input.structure.monitor import StructureMonitor
from dfccodec.media.loops import HEAD_BYTES
from dfccodec.runtime.fork_garbage import keep_garbage_in_forks

_READ_LOCK = threading.Lock()
"""Makes seek and read of a shared stream atomic: threads read video and audio at the same time."""
_DRAIN_SIZE, _MAX_DRAIN = 1 << 16, 16 << 20
"""Number of bytes that are read at once, and in all, from a pipe after the last packet."""


class IndependentReader(io.RawIOBase):
    """A reader with its own position on a shared seekable stream."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._position = stream, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_CUR:
            offset, whence = offset + self._position, os.SEEK_SET
        with _READ_LOCK:
            self._position = self._stream.seek(offset, whence)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with _READ_LOCK:
            self._stream.seek(self._position)
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)


class PipeInput:
    """A pipe in the form that PyAV reads. An exception during a read ends the input for ffmpeg and is stored.

    PyAV discards exceptions from its callbacks, including KeyboardInterrupt, and ffmpeg would try again.

    Attributes:
        head: the first bytes received.
        size: number of bytes received so far.
        structure: finds the breaks of the container's structure.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._error: BaseException | None = None
        self.structure = StructureMonitor()
        self.head, self.size = b"", 0

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; return no bytes at the end and after an error."""
        if self._error is not None:
            return b""
        try:
            data = self._stream.read(size)
        except BaseException as error:
            self._error = error
            return b""
        self.head += data[: max(0, HEAD_BYTES - len(self.head))]
        self.size += len(data)
        self.structure.feed(data)
        return data

    def drain(self) -> None:
        """Read on if ffmpeg stopped at a break, to see whether more of the video comes after it."""
        end = self.size + _MAX_DRAIN
        while self.structure.is_searching and self.size < end and self.read(_DRAIN_SIZE):
            pass

    def check(self) -> None:
        """Raise the stored exception, if there is one."""
        if self._error is not None:
            raise self._error

    @property
    def name(self) -> object:
        """The `name` of the Python stream; None if it has none."""
        return getattr(self._stream, "name", None)

    @property
    def missing_bytes(self) -> int:
        """Number of bytes not received, according to the container. Valid at the end of the pipe."""
        return max(0, (stated_length(self.head) or 0) - self.size)


def is_single_pass(source: Path | BinaryIO) -> bool:
    """Return whether a source can be read only once: a pipe, a device, a socket, or a stream that cannot seek."""
    if not isinstance(source, Path):
        return not seekable(source)
    try:
        mode = source.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def open_pipe(source: Path) -> BinaryIO:
    """Open a named pipe. Python waits for the writer, so Ctrl-C and SIGTERM can interrupt the wait.

    Raises:
        InputError: the pipe cannot be opened.
    """
    try:
        return cast(BinaryIO, source.open("rb", buffering=0))
    except OSError as error:
        raise InputError(f"cannot open {source}: {error.strerror}") from None


def standard_input() -> BinaryIO:
    """Return the binary stream of `-`, unbuffered: Python cannot exit while a thread waits in a buffered read."""
    return cast(BinaryIO, open(sys.stdin.fileno(), "rb", buffering=0, closefd=False))


def display_name(source: Path | BinaryIO | PipeInput) -> str:
    """Return the name of a source for messages."""
    if isinstance(source, Path):
        return str(source)
    name = getattr(source, "name", None)
    if name in (0, "<stdin>"):
        return "standard input"
    return name if isinstance(name, str) and isinstance(source, PipeInput) else "the stream"


def open_input(source: Path | BinaryIO | PipeInput) -> InputContainer:
    """Open a source with ffmpeg.

    Args:
        source: a path, an image sequence pattern such as `%04d.png` or `*.png`, a seekable stream, or another
            stream wrapped in a `PipeInput`.

    Raises:
        InputError: ffmpeg cannot open the source.
    """
    keep_garbage_in_forks()
    try:
        if isinstance(source, Path) and is_image_sequence(source):
            return open_image_sequence(source)
        # ffmpeg gets a file: URL, so that it does not read a name with a colon as a protocol.
        place: object = f"file:{source}" if isinstance(source, Path) else source
        place = place if isinstance(source, Path | PipeInput) else IndependentReader(source)
        return av.open(place, "r", metadata_errors="replace")  # old files have tags in any encoding
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if isinstance(source, PipeInput):
            source.check()
        raise InputError(diagnose(source, display_name(source)) or _open_error(source, error)) from None


def _open_error(source: Path | BinaryIO | PipeInput, error: Exception) -> str:
    return f"cannot open {display_name(source)}: {describe_error(error)}"
