"""Error messages for inputs that are not a video, more specific than "Invalid data found". Imports no PyAV."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from dfccodec.container.chunks import SIGNATURE
from dfccodec.media.input.completeness import HEAD_BYTES, is_mp4, iter_boxes

MOOV_AT_END = "an mp4 whose index is at the end cannot come through a pipe: give the file's name"
"""Message for an mp4 that does not decode from a pipe. By default, writers put its index (moov box) last."""

_MAX_INDEX_BYTES = 1 << 22
"""Maximum number of index bytes that are read."""
_ARCHIVES = {
    b"PK\3\4": "a ZIP archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "gzip data",
}
_WEB_PREFIXES = (b"<!doctype html", b"<html", b"<?xml")


@runtime_checkable
class PipeStart(Protocol):
    """A pipe: its first bytes, and the number of bytes received so far."""

    head: bytes
    size: int


def diagnose(source: Path | BinaryIO | PipeStart, name: str) -> str:
    """Return an error message with a fix; empty if ffmpeg's own message is as good.

    Args:
        source: a path, a seekable stream, or a pipe with `head` and `size`.
        name: name of the source in messages.
    """
    if isinstance(source, PipeStart):
        return _diagnose_pipe(source.head, source.size, name)
    try:
        if isinstance(source, Path):
            if source.is_dir():
                return f"{name} is a folder: name a file in it"
            with source.open("rb") as stream:
                return _diagnose_seekable(stream, name)
        return _diagnose_seekable(source, name)
    except OSError:
        return ""


def _diagnose_pipe(head: bytes, size: int, name: str) -> str:
    if not size:
        return f"{name} is empty: no data came through the pipe; check the program that writes to it"
    return f"{name} does not open: {MOOV_AT_END}" if is_mp4(head) else _diagnose_head(head[:HEAD_BYTES], name)


def _diagnose_seekable(stream: BinaryIO, name: str) -> str:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    if not size:
        return f"{name} is empty (0 bytes): name another file"
    if is_mp4(head) and b"moov" not in {kind for kind, _ in iter_boxes(stream, size)}:
        return (
            f"{name} has no index (moov box): its recording or download stopped early, and no player can read it "
            "without the index; download it again, or repair it with untrunc and an intact file of the same camera"
        )
    if is_mp4(head) and b"encv" in _read_index(stream, size):
        return f"{name} is encrypted (DRM): it cannot be decoded without its key; name an unencrypted file"
    return _diagnose_head(head, name)


def _read_index(stream: BinaryIO, size: int) -> bytes:
    """Return the first bytes of an mp4's moov box, which name the stream types."""
    begin = 0
    for kind, end in iter_boxes(stream, size):
        if kind == b"moov":
            stream.seek(begin)
            return stream.read(min(end - begin, _MAX_INDEX_BYTES))
        begin = end
    return b""


def _diagnose_head(head: bytes, name: str) -> str:
    if head.startswith(SIGNATURE):
        return f"{name} is already a .dfc file: make a video with dfc decode, or a smaller file with dfc trim"
    if head[8:12] == b"WEBP" and b"ANIM" in head[:64]:
        return f"{name} is an animated WebP, which ffmpeg does not read: convert it to GIF, APNG or mp4 first"
    for mark, what in _ARCHIVES.items():
        if head.startswith(mark):
            return f"{name} is {what}: unpack it and name a video in it"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_WEB_PREFIXES):
        return f"{name} is a web page or XML, not a video: check the address, and whether the download needs a login"
    if len(head) == HEAD_BYTES and not head.strip(b"\0"):
        return f"{name} starts with zeros: its data was never written, as after a failed download; get it again"
    return ""
