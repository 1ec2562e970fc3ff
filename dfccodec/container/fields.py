"""Bounded reading and writing of the fields inside a payload."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from dfccodec.errors import DamagedError, LimitError
from dfccodec.limits import MAX_PAIRS, MAX_TEXT


class Fields:
    """A cursor over a payload that never reads past its end.

    Args:
        payload: the bytes.
        what: what they are, for messages ("chunk CLIP").
        offset: where the payload begins in the file, for messages.
    """

    def __init__(self, payload: bytes, what: str, offset: int | None = None) -> None:
        self.payload, self.what, self.base = payload, what, offset
        self.place = 0

    def fail(self, message: str) -> DamagedError:
        """An error that says where in the file the cursor stands."""
        return DamagedError(f"{self.what}: {message}", None if self.base is None else self.base + self.place)

    def take(self, count: int, field: str) -> bytes:
        """The next `count` bytes.

        Raises:
            DamagedError: fewer are left; so it is with all below that read.
        """
        left = len(self.payload) - self.place
        if count > left:
            raise self.fail(f"field {field} needs {count} bytes, {left} are left")
        self.place += count
        return self.payload[self.place - count : self.place]

    def unpack(self, layout: str, field: str) -> tuple[Any, ...]:
        """A little-endian struct."""
        layout = "<" + layout
        return struct.unpack(layout, self.take(struct.calcsize(layout), field))

    def text(self, field: str) -> str:
        """A 16-bit length and that many bytes of UTF-8."""
        (length,) = self.unpack("H", field)
        try:
            return self.take(length, field).decode("utf-8")
        except UnicodeDecodeError:
            raise self.fail(f"field {field} is not UTF-8") from None

    def end(self) -> None:
        """Refuse bytes that no field claims.

        Raises:
            DamagedError: there are some.
        """
        left = len(self.payload) - self.place
        if left:
            raise self.fail(f"{left} bytes too many")


def pack_text(text: str) -> bytes:
    """A 16-bit length and UTF-8; cut at the last whole character that fits."""
    data = text.encode("utf-8", "replace")
    if len(data) > MAX_TEXT:
        data = data[:MAX_TEXT].decode("utf-8", "ignore").encode("utf-8")
    return struct.pack("<H", len(data)) + data


def pack_pairs(pairs: Sequence[tuple[str, str]]) -> bytes:
    """Key/value pairs: a 16-bit count, then key and value of each as text.

    Raises:
        LimitError: too many for a reader.
    """
    if len(pairs) > MAX_PAIRS:
        raise LimitError(f"{len(pairs)} key/value pairs: at most {MAX_PAIRS}")
    return struct.pack("<H", len(pairs)) + b"".join(pack_text(k) + pack_text(v) for k, v in pairs)
