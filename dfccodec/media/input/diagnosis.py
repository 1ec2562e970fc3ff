"""Why a source is no video, said better than "Invalid data found": what people give by mistake. Imports no PyAV."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from dfccodec.container.chunks import SIGNATURE
from dfccodec.media.input.completeness import HEAD, boxes, is_mp4

INDEX_LAST = "an mp4 whose index stands at the end cannot come through a pipe: give the file's name"
"""Of an mp4 that does not decode from a pipe: writers put its index (the moov box) last unless told otherwise."""

_INDEX = 1 << 22
"""Bytes of an index that are looked at."""
_ARCHIVES = {
    b"PK\3\4": "a ZIP archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "gzip data",
}
_WEB = (b"<!doctype html", b"<html", b"<?xml")


@runtime_checkable
class Pipe(Protocol):
    """What has come through a pipe: its first bytes, and how many there were."""

    head: bytes
    size: int


def diagnosis(source: Path | BinaryIO | Pipe, name: str) -> str:
    """What a source is instead of a video, with the way out; empty where nothing is known better than ffmpeg's word.

    Args:
        source: a path, a stream that seeks, or a pipe with its `head` and `size` so far.
        name: of it, for people.
    """
    if isinstance(source, Pipe):
        return _pipe(source.head, source.size, name)
    try:
        if isinstance(source, Path):
            if source.is_dir():
                return f"{name} is a folder: name a file in it"
            with source.open("rb") as stream:
                return _seekable(stream, name)
        return _seekable(source, name)
    except OSError:
        return ""


def _pipe(head: bytes, size: int, name: str) -> str:
    if not size:
        return f"{name} is empty: nothing came through the pipe; did the program before it fail?"
    return f"{name} does not open: {INDEX_LAST}" if is_mp4(head) else _head(head[:HEAD], name)


def _seekable(stream: BinaryIO, name: str) -> str:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    head = stream.read(HEAD)
    if not size:
        return f"{name} is empty (0 bytes): nothing was written into it"
    if is_mp4(head) and b"moov" not in {kind for kind, _ in boxes(stream, size)}:
        return (
            f"{name} has no index (moov box): its recording or download stopped before the end, and without it no "
            "player can show it; get it anew, or repair it with a tool such as untrunc and another file of that camera"
        )
    if is_mp4(head) and b"encv" in _index(stream, size):
        return f"{name} is encrypted (DRM): nobody shows it without its key"
    return _head(head, name)


def _index(stream: BinaryIO, size: int) -> bytes:
    """The beginning of an mp4's index, where the kinds of its streams are named."""
    begin = 0
    for kind, end in boxes(stream, size):
        if kind == b"moov":
            stream.seek(begin)
            return stream.read(min(end - begin, _INDEX))
        begin = end
    return b""


def _head(head: bytes, name: str) -> str:
    if head.startswith(SIGNATURE):
        return f"{name} is a .dfc file already: dfc decode makes a video of it, dfc trim a smaller file"
    if head[8:12] == b"WEBP" and b"ANIM" in head[:64]:
        return f"{name} is an animated WebP, which ffmpeg does not read: make a GIF, APNG or mp4 of it first"
    for mark, what in _ARCHIVES.items():
        if head.startswith(mark):
            return f"{name} is {what}: unpack it and name a video in it"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_WEB):
        return f"{name} is a web page or XML, no video: a download that needs a login or another address gives such"
    if len(head) == HEAD and not head.strip(b"\0"):
        return f"{name} begins with zeros: it was never written, as after a download or a disk that failed"
    return ""
