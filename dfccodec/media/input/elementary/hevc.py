"""Picture numbers of HEVC (ISO/IEC 23008-2, sections 7.3.2.2, 7.3.2.3, 7.3.3 and 7.3.6.1)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dfccodec.media.input.elementary.nal import BitReader, iter_nal_units
from dfccodec.media.input.elementary.picture_order import PictureNumber

_FIRST_IRAP, _LAST_IRAP, _FIRST_BLA, _LAST_IDR = 16, 23, 16, 20
_IDR, _LAST_SLICE = (19, 20), 31
_SPS, _PPS = 33, 34
_HEADER_BYTES = 192
_PROFILE_BITS, _LEVEL_BITS = 88, 8


class HevcNumbers:
    """Reads the number of each picture from packets in decoding order."""

    def __init__(self) -> None:
        self._sequences: dict[int, tuple[int, bool]] = {}  # bits of the number, separate color planes
        self._pictures: dict[int, tuple[int, bool, int]] = {}  # sequence, output flag present, number of extra bits

    def read(self, data: bytes) -> Iterator[PictureNumber]:
        """Yield the numbers of the pictures of a packet. Units that cannot be read are skipped."""
        for unit in iter_nal_units(data, _HEADER_BYTES):
            if len(unit) < 3 or unit[0] & 1 or unit[1] >> 3:  # an enhancement layer
                continue
            kind, bits = unit[0] >> 1, BitReader(unit[2:])
            with contextlib.suppress(EOFError, KeyError):
                if kind == _SPS:
                    self._read_sequence(bits)
                elif kind == _PPS:
                    number, sequence = bits.read_ue(), bits.read_ue()
                    bits.read(1)
                    self._pictures[number] = (sequence, bits.read_flag(), bits.read(3))
                elif kind <= _LAST_SLICE and bits.read_flag():
                    yield self._read_slice(bits, kind)

    def _read_slice(self, bits: BitReader, kind: int) -> PictureNumber:
        """Read the header of the first slice segment of a picture, after its first flag."""
        if _FIRST_IRAP <= kind <= _LAST_IRAP:
            bits.read(1)
        sequence, has_output_flag, extra_bits = self._pictures[bits.read_ue()]
        order_bits, separate = self._sequences[sequence]
        bits.read(extra_bits)
        bits.read_ue()
        bits.read(has_output_flag + 2 * separate)
        value = 0 if kind in _IDR else bits.read(order_bits)
        return PictureNumber(value, 1 << order_bits, _FIRST_BLA <= kind <= _LAST_IDR)

    def _read_sequence(self, bits: BitReader) -> None:
        bits.read(4)
        layers = bits.read(3)
        bits.read(1 + _PROFILE_BITS + _LEVEL_BITS)
        present = [bits.read(2) for _ in range(layers)]
        bits.read(2 * (8 - layers) if layers else 0)
        for flags in present:
            bits.read((flags >> 1) * _PROFILE_BITS + (flags & 1) * _LEVEL_BITS)
        number = bits.read_ue()
        separate = bits.read_ue() == 3 and bits.read_flag()
        bits.read_ue()
        bits.read_ue()
        if bits.read_flag():
            for _ in range(4):
                bits.read_ue()
        bits.read_ue()
        bits.read_ue()
        self._sequences[number] = (bits.read_ue() + 4, separate)
