"""How many times an animation plays: of GIF and APNG, whose demuxers in ffmpeg do not report it. Imports no PyAV.

It is a tag: `PLAYS` is `1` for an animation that plays once, and so on (SPEC.md 5.5). Without it, it plays for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

KEY = "PLAYS"
"""Key of the tag."""
HEAD = 1 << 16
"""Maximum number of bytes from the beginning of a file that :func:`plays` reads."""

_EXTENSION, _IMAGE, _APPLICATION = 0x21, 0x2C, 0xFF
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_MOST = 1 << 16
"""Maximum number of plays that a GIF can state: the first one and 65535 repetitions."""


def plays(head: bytes) -> int | None:
    """Number of times an animation plays; 0 is for ever, None is unknown.

    Args:
        head: first bytes of a file.
    """
    if head.startswith((b"GIF87a", b"GIF89a")):
        return _gif(head)
    return _apng(head) if head.startswith(b"\x89PNG\r\n\x1a\n") else None


def _gif(head: bytes) -> int | None:
    """Of the application extension before the first image; the value is the number of repetitions."""
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
            if name in _LOOPS and not first and len(block) >= 3 and block[0] & 7 == 1:
                repeats = int.from_bytes(block[1:3], "little")
                return repeats and repeats + 1
            place, first = place + 1 + head[place], False
        place += 1
    return None


def _apng(head: bytes) -> int | None:
    """Of the chunk acTL, which stands before the first image."""
    place = 8
    while place + 12 <= len(head):
        length, kind = int.from_bytes(head[place : place + 4], "big"), head[place + 4 : place + 8]
        if kind == b"IDAT":
            return None  # a PNG that is no animation
        if kind == b"acTL" and place + 16 <= len(head):
            return int.from_bytes(head[place + 12 : place + 16], "big")
        place += 12 + length
    return None


def to_tags(head: bytes) -> list[tuple[str, str]]:
    """The tag of an animation that does not play for ever; none for one that does, and for other files."""
    count = plays(head)
    return [(KEY, str(count))] if count else []


def from_tags(tags: Sequence[tuple[str, str]]) -> int:
    """Number of times to play; 0 is for ever, as where no tag says otherwise."""
    text = next((value for key, value in tags if key.upper() == KEY), "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def gif_option(tags: Sequence[tuple[str, str]]) -> str:
    """Value of the option `loop` of ffmpeg's GIF muxer: -1 is once, 0 for ever, another the number of repetitions."""
    count = min(from_tags(tags), _MOST)
    return str(count - 1 or -1) if count else "0"
