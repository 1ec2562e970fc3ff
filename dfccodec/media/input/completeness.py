"""Whether a source is all there: the length that its container states against the bytes that came.

A half-finished download decodes up to where it stops, without any error. Containers that state their own length give
it away. Imports no PyAV.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

HEAD = 4096
"""Bytes of the beginning that :func:`stated_length` wants to see."""

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip")
_BOXES = 10_000
"""Top-level boxes of an mp4 that are looked at: a fragmented one has two for every few seconds."""


def stated_length(head: bytes) -> int | None:
    """Bytes that a file has by the first bytes of it; None where they do not say.

    Matroska and WebM (RFC 8794, section 6; the size of the Segment), RIFF (AVI; the first of its chunks) and ASF (WMV;
    File Properties Object).
    """
    if head.startswith(_ASF):
        place = head.find(_ASF_PROPERTIES)
        return int.from_bytes(head[place + 40 : place + 48], "little") or None if place > 0 else None
    if head.startswith(_EBML):
        return _matroska(head)
    if head[:4] == b"RIFF" and len(head) >= 12:
        size = int.from_bytes(head[4:8], "little")
        return 8 + size if 0 < size < 0xFFFFFFFF else None
    return None


def _matroska(head: bytes) -> int | None:
    size, place = _number(head, len(_EBML))
    if size is None or head[place + size : place + size + 4] != _SEGMENT:
        return None
    length, place = _number(head, place + size + 4)
    return None if length is None else place + length


def _number(data: bytes, place: int) -> tuple[int | None, int]:
    """An EBML size and the place behind it; None where the size is unknown, as in live streams."""
    if place >= len(data) or not data[place]:
        return None, place
    width = 9 - data[place].bit_length()
    raw = int.from_bytes(data[place : place + width], "big")
    value = raw & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), place + width


def missing_bytes(stream: BinaryIO) -> int:
    """Bytes that a file lacks by its container's own account; 0 for one that is whole or does not say.

    Args:
        stream: a stream that seeks; its place is left somewhere else.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(HEAD)
    stated = stated_length(head)
    if stated is None and is_mp4(head):
        stated = max((end for _, end in boxes(stream, size)), default=0)
    return max(0, (stated or 0) - size)


def boxes(stream: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Top-level boxes of an mp4 (ISO/IEC 14496-12, section 4.2): type, and the place of the end.

    The end of the last one may lie behind the end of the file.
    """
    place = 0
    for _ in range(_BOXES):
        stream.seek(place)
        head = stream.read(16)
        if place >= size or len(head) < 8:
            return
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        place = place + length if length else size  # 0 reaches to the end of the file
        yield head[4:8], place
        if 0 < length < 8:
            return


def is_mp4(head: bytes) -> bool:
    """Whether a file begins as mp4 and QuickTime files do."""
    return head[4:8] in _FIRST_BOXES
