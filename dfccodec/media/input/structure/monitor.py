"""Monitor of a source: chooses a scanner and tells where the structure of the container is broken."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from fractions import Fraction
from typing import BinaryIO

from dfccodec.media.input.structure import asf, flv, gif, matroska, mp4, mpegts, mxf, nut, ogg, png, riff, rm, swf
from dfccodec.media.input.structure.chain import Break, ChainScanner, scan_file

HEAD_BYTES = 2048
"""Number of leading bytes by which the container is recognized."""

_SIGNATURES: tuple[tuple[bytes, type[ChainScanner]], ...] = (
    (asf.SIGNATURE, asf.AsfScanner),
    (flv.SIGNATURE, flv.FlvScanner),
    (gif.SIGNATURES[0], gif.GifScanner),
    (gif.SIGNATURES[1], gif.GifScanner),
    (matroska.SIGNATURE, matroska.MatroskaScanner),
    (mxf.SIGNATURE, mxf.MxfScanner),
    (nut.SIGNATURE, nut.NutScanner),
    (ogg.SIGNATURE, ogg.OggScanner),
    (png.SIGNATURE, png.PngScanner),
    (riff.SIGNATURE, riff.RiffScanner),
    (rm.SIGNATURE, rm.RealMediaScanner),
    (swf.SIGNATURE, swf.SwfScanner),
)
_LEAST_STEP = 1 << 20
"""Minimum number of bytes that a file is scanned at once, except to explain a gap."""
_LOOKAHEAD = 1 << 17
"""Number of bytes after a position that are scanned to know whether the chain is broken before it."""
_MAX_CLUSTER = 8 << 20
"""Number of bytes before the first packet at which a scan starts, after a seek. A Matroska cluster is shorter."""


def choose_scanner(head: bytes) -> type[ChainScanner] | None:
    """Return the scanner of the container that starts with `head`; None if there is none."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind if kind is not riff.RiffScanner or head[8:12] == b"AVI " else None
    if head[4:8] in mp4.FIRST_BOXES:
        return mp4.Mp4Scanner
    return mpegts.MpegTsScanner if mpegts.find_packets(head) else None


class StructureMonitor:
    """Finds the breaks of a source, of a file by reading it again, of a pipe as its bytes pass by.

    Args:
        reopen: opens the bytes of a file, or None; the argument is None for a pipe, whose bytes :meth:`feed` gets.

    Attributes:
        has_seeked: whether the file is not read from its beginning. Breaks before the first packet are then left out.
    """

    def __init__(self, reopen: Callable[[], AbstractContextManager[BinaryIO | None]] | None = None) -> None:
        self._reopen = reopen
        self._scanner: ChainScanner | None = None
        self._head, self._fed, self._has_chosen = b"", 0, False
        self.has_seeked = False
        self._begin: int | None = None  # position of the first packet

    def feed(self, data: bytes) -> None:
        """Process the next bytes of a pipe; no bytes are its end."""
        if not self._has_chosen:
            self._head += data
            if len(self._head) < HEAD_BYTES and data:
                return
            data, self._head = self._head, b""
            self._choose(data[:HEAD_BYTES], 0)
        if self._scanner and data:
            self._scanner.feed(self._fed, data)
        elif self._scanner:
            self._scanner.finish()
        self._fed += len(data)

    def scan(self, place: int | None, exactly: bool = False) -> list[Break]:
        """Scan a file up to a position or a little further; return the breaks found so far.

        Args:
            place: byte position; None is the end of the file.
            exactly: whether to scan even a few bytes.
        """
        if self._begin is None:
            self._begin = place or 0
        wanted = self._scanner.wanted if self._scanner else 0
        end = None if place is None else place + _LOOKAHEAD
        if self._reopen and (end is None or end - wanted > (0 if exactly else _LEAST_STEP)):
            with contextlib.suppress(OSError, ValueError), self._reopen() as stream:
                self._scan_stream(stream, end)
        found = self._scanner.breaks if self._scanner else []
        return [b for b in found if b.end >= self._begin] if self.has_seeked else found

    @property
    def is_broken(self) -> bool:
        """Whether the chain is broken for sure, anywhere."""
        return self._scanner is not None and any(b.certain for b in self._scanner.breaks)

    def reaches(self, seconds: Fraction) -> bool:
        """Return whether the container, read to its end, goes on for `seconds`, if only with audio."""
        return self._scanner is not None and self._scanner.reaches(seconds)

    @property
    def ends_early(self) -> bool:
        """Whether the container, read to its end, states more elements than there are."""
        return self._scanner is not None and self._scanner.ends_early

    @property
    def is_searching(self) -> bool:
        """Whether the chain is broken and has not continued yet."""
        return self._scanner is not None and self._scanner.is_searching and not self._scanner.ended

    def _scan_stream(self, stream: BinaryIO | None, end: int | None) -> None:
        if stream is None:
            return
        if not self._has_chosen:
            far = max(0, (self._begin or 0) - _MAX_CLUSTER)
            self._choose(stream.read(HEAD_BYTES), far if self.has_seeked else 0)
        if self._scanner:
            scan_file(self._scanner, stream, end)

    def _choose(self, head: bytes, place: int) -> None:
        kind = choose_scanner(head)
        self._has_chosen = True
        self._scanner = kind(place if kind is matroska.MatroskaScanner else 0) if kind else None
