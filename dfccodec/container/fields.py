"""Bounds-checked reading and writing of the fields of a payload."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from dfccodec.errors import DamagedError, LimitError
from dfccodec.limits import MAX_PAIRS, MAX_TEXT


class Fields:
    """Cursor over a payload that never reads past its end.

    Args:
        payload: the bytes.
        what: name of the payload for messages, such as "chunk CLIP".
        offset: file offset of the payload, for messages; None if unknown.

    Attributes:
        position: number of bytes read.
    """

    def __init__(self, payload: bytes, what: str, offset: int | None = None) -> None:
        self.payload, self.what, self.offset = payload, what, offset
        self.position = 0

    def fail(self, message: str) -> DamagedError:
        """Return an error with the file offset of the cursor."""
        return DamagedError(f"{self.what}: {message}", None if self.offset is None else self.offset + self.position)

    def take(self, count: int, field: str) -> bytes:
        """Return the next `count` bytes.

        Raises:
            DamagedError: the payload is too short. All other methods that read raise it too.
        """
        left = len(self.payload) - self.position
        if count > left:
            raise self.fail(f"field {field} needs {count} bytes, {left} are left")
        self.position += count
        return self.payload[self.position - count : self.position]

    def unpack(self, layout: str, field: str) -> tuple[Any, ...]:
        """Read a little-endian struct."""
        layout = "<" + layout
        return struct.unpack(layout, self.take(struct.calcsize(layout), field))

    def text(self, field: str) -> str:
        """Read a text: a 16-bit length and that many bytes of UTF-8."""
        (length,) = self.unpack("H", field)
        try:
            return self.take(length, field).decode("utf-8")
        except UnicodeDecodeError:
            raise self.fail(f"field {field} is not UTF-8") from None

    def end(self) -> None:
        """Check that the payload is read to its end.

        Raises:
            DamagedError: bytes are left over.
        """
        left = len(self.payload) - self.position
        if left:
            raise self.fail(f"{left} bytes after the last field")


def pack_text(text: str) -> bytes:
    """Encode a text as a 16-bit length and UTF-8. A long text is truncated after the last character that fits."""
    data = text.encode("utf-8", "replace")
    if len(data) > MAX_TEXT:
        data = data[:MAX_TEXT].decode("utf-8", "ignore").encode("utf-8")
    return struct.pack("<H", len(data)) + data


def pack_pairs(pairs: Sequence[tuple[str, str]]) -> bytes:
    """Encode key/value pairs: a 16-bit count, then key and value of each as text.

    Raises:
        LimitError: the number of pairs is over the limit.
    """
    if len(pairs) > MAX_PAIRS:
        raise LimitError(f"{len(pairs)} key/value pairs: at most {MAX_PAIRS}")
    return struct.pack("<H", len(pairs)) + b"".join(pack_text(k) + pack_text(v) for k, v in pairs)
