"""Adapter of a Python stream for output by ffmpeg."""

from __future__ import annotations

from fractions import Fraction
from typing import BinaryIO


class OutputStream:
    """A stream for ffmpeg that stores the error of a failed write, which PyAV does not report.

    Args:
        stream: the output.
        aspect: pixel aspect ratio to write into a y4m header, because PyAV cannot set it; None changes nothing.
    """

    def __init__(self, stream: BinaryIO, aspect: Fraction | None = None) -> None:
        self._stream, self._aspect = stream, aspect
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of `data` and return its length.

        Raises:
            OSError: the stream's own error, also stored in `error`.
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
