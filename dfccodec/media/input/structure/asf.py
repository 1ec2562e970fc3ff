"""ASF and WMV (Advanced Systems Format 01.20.06): packets of a fixed size; objects of each stream have numbers."""

from __future__ import annotations

import re
from fractions import Fraction

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, ChainScanner

SIGNATURE = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")

_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_HEADER_SIZE, _OBJECT_HEADER, _PROPERTIES_SIZE, _DATA_HEADER = 30, 24, 104, 50
_PACKETS_FIELD, _PACKET_SIZE_FIELD = 56, 92
_PACKET_START = b"\x82\0\0"
"""Error correction data, which nearly all packets start with."""
_MAX_PACKET, _MAX_OBJECT = 1 << 19, 1 << 30
_WIDTHS = (0, 1, 2, 4)
"""Number of bytes of a field with each 2-bit type."""


class AsfScanner(ChainScanner):
    """Scanner of ASF. A missing object number is uncertain: programs that cut a file may leave the other numbers."""

    PATTERN = re.compile(re.escape(_PACKET_START))
    PATTERN_SIZE = 3

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._packet_size = 0
        self._stated_packets = self._packets = 0
        self._in_data = place > 0
        self._first = True  # whether the next packet is the first one
        self._numbers: dict[int, int] = {}  # number of the last object of each stream

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        return self._measure_packet(data, at) if self._in_data else self._measure_object(data, at)

    def _measure_object(self, data: bytes, at: int) -> int:
        head = data[at : at + _PROPERTIES_SIZE]
        if len(head) < _DATA_HEADER:
            return NEED_MORE
        if head.startswith(SIGNATURE):
            return _HEADER_SIZE
        if head.startswith(_DATA):
            self._in_data = True
            self.ended = not 0 < self._packet_size <= _MAX_PACKET
            return _DATA_HEADER
        if head.startswith(_PROPERTIES):
            if len(head) < _PROPERTIES_SIZE:
                return NEED_MORE
            self._stated_packets = int.from_bytes(head[_PACKETS_FIELD : _PACKETS_FIELD + 8], "little")
            self._packet_size = int.from_bytes(head[_PACKET_SIZE_FIELD : _PACKET_SIZE_FIELD + 4], "little")
        size = int.from_bytes(head[16:24], "little")
        return size if _OBJECT_HEADER <= size <= _MAX_OBJECT else INVALID

    def _measure_packet(self, data: bytes, at: int) -> int:
        head = data[at : at + len(_PACKET_START)]
        if not _PACKET_START.startswith(head):
            self.ended |= self._first  # packets without error correction data cannot be recognized
            return INVALID
        if len(data) < at + self._packet_size:
            return NEED_MORE
        self._first = False
        self._packets += 1
        try:
            self._check_payloads(data[at + len(head) : at + self._packet_size], self._buffer_place + at)
        except IndexError:  # the contents of the packet are damaged
            self._record_loss(self._buffer_place + at)
        return self._packet_size

    def reaches(self, seconds: Fraction) -> bool:
        """See :meth:`ChainScanner.reaches`. The header states the number of packets."""
        return 0 < self._stated_packets <= self._packets

    def _record_loss(self, place: int) -> None:
        if self._broken is None:
            self._record(place, place + self._packet_size, certain=False)

    def _check_payloads(self, packet: bytes, place: int) -> None:
        """Check the object numbers in a packet.

        Raises:
            IndexError: a payload does not fit into the packet.
        """
        flags, properties, at = packet[0], packet[1], 2
        at += _WIDTHS[flags >> 5 & 3] + _WIDTHS[flags >> 1 & 3]
        width = _WIDTHS[flags >> 3 & 3]
        end = len(packet) - int.from_bytes(packet[at : at + width], "little")
        at += width + 6
        count, length_width = (packet[at] & 63, _WIDTHS[packet[at] >> 6]) if flags & 1 else (1, 0)
        at += flags & 1
        for _ in range(count):
            at = self._check_payload(packet, at, end, (properties, length_width), place)
        if at > end:
            raise IndexError

    def _check_payload(self, packet: bytes, at: int, end: int, types: tuple[int, int], place: int) -> int:
        """Check the payload at `at`; return the position of the next one."""
        properties, length_width = types
        stream, number_width = packet[at] & 127, _WIDTHS[properties >> 4 & 3]
        number = int.from_bytes(packet[at + 1 : at + 1 + number_width], "little")
        at += 1 + number_width + _WIDTHS[properties >> 2 & 3]
        width = _WIDTHS[properties & 3]
        extra = int.from_bytes(packet[at : at + width], "little")
        at += width + extra
        size = int.from_bytes(packet[at : at + length_width], "little") if length_width else end - at
        at += length_width
        last, self._numbers[stream] = self._numbers.get(stream), number
        if extra == 1:  # several small objects: their numbers are not followed
            del self._numbers[stream]
        elif last is not None and (number - last) % (1 << 8 * number_width) > 1:
            self._record_loss(place)
        return at + size
