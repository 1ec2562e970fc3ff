"""Number of times that a GIF or APNG animation plays; ffmpeg's demuxers do not report it. Imports no PyAV.

The number is stored as the tag `PLAYS` (SPEC.md 5.5): `1` plays once. Without the tag, the animation plays forever.
"""

from __future__ import annotations

from collections.abc import Sequence

TAG_KEY = "PLAYS"
"""Key of the tag."""
HEAD_BYTES = 1 << 16
"""Maximum number of bytes that :func:`play_count` reads from the beginning of a file."""

_EXTENSION, _IMAGE, _APPLICATION = 0x21, 0x2C, 0xFF
_LOOP_EXTENSIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_MAX_GIF_PLAYS = 1 << 16
"""Maximum number of plays that a GIF can state: the first one and 65535 repetitions."""


def play_count(head: bytes) -> int | None:
    """Return the number of times that an animation plays; 0 is forever, None is unknown.

    Args:
        head: first bytes of a file.
    """
    if head.startswith((b"GIF87a", b"GIF89a")):
        return _gif_play_count(head)
    return _apng_play_count(head) if head.startswith(b"\x89PNG\r\n\x1a\n") else None


def _gif_play_count(head: bytes) -> int | None:
    """Read the application extension before the first image; its value is the number of repetitions."""
    if len(head) < 13:
        return None
    place = 13 + (3 << (head[10] & 7) + 1 if head[10] & 0x80 else 0)
    while place + 2 < len(head):
        if head[place] != _EXTENSION:
            return 1 if head[place] == _IMAGE else None
        name = head[place + 3 : place + 14] if head[place + 1] == _APPLICATION else b""
        place += 2
        first = True
        while place < len(head) and head[place]:
            block = head[place + 1 : place + 1 + head[place]]
            if name in _LOOP_EXTENSIONS and not first and len(block) >= 3 and block[0] & 7 == 1:
                repeats = int.from_bytes(block[1:3], "little")
                return repeats and repeats + 1
            place, first = place + 1 + head[place], False
        place += 1
    return None


def _apng_play_count(head: bytes) -> int | None:
    """Read the acTL chunk, which precedes the first image."""
    place = 8
    while place + 12 <= len(head):
        length, kind = int.from_bytes(head[place : place + 4], "big"), head[place + 4 : place + 8]
        if kind == b"IDAT":
            return None  # a still PNG
        if kind == b"acTL" and place + 16 <= len(head):
            return int.from_bytes(head[place + 12 : place + 16], "big")
        place += 12 + length
    return None


def to_tags(head: bytes) -> list[tuple[str, str]]:
    """Return the tag of an animation with a limited number of plays; no tag otherwise."""
    count = play_count(head)
    return [(TAG_KEY, str(count))] if count else []


def from_tags(tags: Sequence[tuple[str, str]]) -> int:
    """Return the number of plays stated in the tags; 0 is forever, the default."""
    text = next((value for key, value in tags if key.upper() == TAG_KEY), "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def gif_loop_option(tags: Sequence[tuple[str, str]]) -> str:
    """Return the value of `loop` for ffmpeg's GIF muxer: number of repetitions, -1 for none, 0 for forever."""
    count = min(from_tags(tags), _MAX_GIF_PLAYS)
    return str(count - 1 or -1) if count else "0"
