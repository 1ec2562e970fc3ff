"""Completeness of a source: compares the length stated in its container with the bytes received.

A partial download decodes without any error up to its end. Containers that state their own length reveal it. Imports no
PyAV.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

HEAD_BYTES = 4096
"""Number of leading bytes that :func:`stated_length` needs."""

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip")
_UNKNOWN_SWF_SIZES = (0, 100 << 20, 0xFFFFFFFF)
"""Sizes that ffmpeg and others write into an SWF file when they do not know it."""
_MAX_BOXES = 10_000
"""Maximum number of top-level mp4 boxes that are read; a fragmented file has two every few seconds."""


def stated_length(head: bytes) -> int | None:
    """Return the file size in bytes that the header states; None if it states none.

    Supports Matroska and WebM (RFC 8794, section 6: size of the Segment), RIFF (AVI: size of the first chunk), ASF
    (WMV: File Properties Object) and SWF without compression. RealMedia states a size too, but ffmpeg writes it wrong.
    """
    if head.startswith(_ASF):
        place = head.find(_ASF_PROPERTIES)
        return int.from_bytes(head[place + 40 : place + 48], "little") or None if place > 0 else None
    if head.startswith(_EBML):
        return _matroska_length(head)
    if head[:4] == b"RIFF" and len(head) >= 12:
        size = int.from_bytes(head[4:8], "little")
        return 8 + size if 0 < size < 0xFFFFFFFF else None
    if head[:3] == b"FWS" and len(head) >= 8:
        size = int.from_bytes(head[4:8], "little")
        return size if size not in _UNKNOWN_SWF_SIZES else None
    return None


def _matroska_length(head: bytes) -> int | None:
    size, place = _read_ebml_size(head, len(_EBML))
    if size is None or head[place + size : place + size + 4] != _SEGMENT:
        return None
    length, place = _read_ebml_size(head, place + size + 4)
    return None if length is None else place + length


def _read_ebml_size(data: bytes, place: int) -> tuple[int | None, int]:
    """Return an EBML size and the position after it; None if the size is unknown, as in live streams."""
    if place >= len(data) or not data[place]:
        return None, place
    width = 9 - data[place].bit_length()
    raw = int.from_bytes(data[place : place + width], "big")
    value = raw & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), place + width


def count_missing_bytes(stream: BinaryIO) -> int:
    """Return the number of bytes that a file lacks according to its container; 0 if complete or not stated.

    Args:
        stream: a seekable stream; its position changes.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    stated = stated_length(head)
    if stated is None and is_mp4(head):
        stated = max((end for _, end in iter_boxes(stream, size)), default=0)
    return max(0, (stated or 0) - size)


def iter_boxes(stream: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield type and end position of each top-level mp4 box (ISO/IEC 14496-12, section 4.2).

    The end of the last box may lie after the end of the file.
    """
    place = 0
    for _ in range(_MAX_BOXES):
        if place >= size:  # a box may state any size, even one that no file can have
            return
        stream.seek(place)
        head = stream.read(16)
        if len(head) < 8:
            return
        length = int.from_bytes(head[:4], "big")
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:], "big")
        place = place + length if length else size  # size 0 extends to the end of the file
        yield head[4:8], place
        if 0 < length < 8:
            return


def is_mp4(head: bytes) -> bool:
    """Return whether a file starts like an mp4 or QuickTime file."""
    return head[4:8] in _FIRST_BOXES
