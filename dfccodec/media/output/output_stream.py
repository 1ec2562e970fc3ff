"""Writing into a stream of Python's, for ffmpeg."""

from __future__ import annotations

from fractions import Fraction
from typing import BinaryIO


class Pipe:
    """A stream for ffmpeg that remembers why it failed: PyAV reports only that it did.

    Args:
        stream: where it goes.
        aspect: of a pixel, for the head of a y4m, where PyAV lets nobody set it; None leaves all as it is.
    """

    def __init__(self, stream: BinaryIO, aspect: Fraction | None = None) -> None:
        self._stream, self._aspect = stream, aspect
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Pass on all of it, and say so.

        Raises:
            OSError: the stream's own, kept in `error` as well.
        """
        size, aspect, self._aspect = len(data), self._aspect, None
        if aspect is not None:
            data = bytes(data).replace(b" A0:0 ", b" A%d:%d " % aspect.as_integer_ratio(), 1)
        try:
            self._stream.write(data)
            return size
        except OSError as error:
            self.error = error
            raise
