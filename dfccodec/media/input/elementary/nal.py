"""NAL units of H.264 and HEVC (byte stream format: annex B of both standards) and the bits in them."""

from __future__ import annotations

import re
from collections.abc import Iterator

_START, _ESCAPED = re.compile(rb"\x00\x00\x01"), re.compile(rb"\x00\x00\x03")
_MAX_ZEROS = 32
"""Maximum number of leading zeros of an Exp-Golomb code."""


def iter_nal_units(data: bytes, size: int) -> Iterator[bytes]:
    """Yield the first bytes of each NAL unit of a packet, without emulation prevention bytes.

    Args:
        data: a packet in byte stream format.
        size: maximum number of bytes of a unit to return; headers need no more.
    """
    for match in _START.finditer(data):
        unit = data[match.end() : match.end() + size]
        end = _START.search(unit)
        yield _ESCAPED.sub(b"\0\0", unit[: end.start()] if end else unit)


class BitReader:
    """Reads bits and Exp-Golomb codes (H.264, section 9.1) from the most significant bit on.

    Raises:
        EOFError: if the data end, or a code is longer than any valid one.
    """

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, bits: int) -> int:
        """Read an unsigned number of `bits` bits."""
        if bits > self._left:
            raise EOFError
        self._left -= bits
        return self._value >> self._left & ((1 << bits) - 1)

    def read_flag(self) -> bool:
        """Read one bit."""
        return bool(self.read(1))

    def read_ue(self) -> int:
        """Read an unsigned Exp-Golomb code."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > _MAX_ZEROS:
                raise EOFError
        return (1 << zeros) - 1 + self.read(zeros)

    def read_se(self) -> int:
        """Read a signed Exp-Golomb code."""
        code = self.read_ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)
