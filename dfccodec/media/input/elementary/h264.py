"""Picture numbers of H.264 (ISO/IEC 14496-10, sections 7.3.2.1, 7.3.2.2 and 7.3.3)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from dfccodec.media.input.elementary.nal import BitReader, iter_nal_units
from dfccodec.media.input.elementary.picture_order import PictureNumber

_SLICE, _PARTITION_A, _IDR, _SPS, _PPS = 1, 2, 5, 7, 8
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
_HEADER_BYTES = 256
"""Number of bytes of a NAL unit that are read; scaling lists in a sequence parameter set take up to 500, rarely."""
_BASE_LISTS, _ALL_LISTS = 8, 12


@dataclass(frozen=True)
class _Sequence:
    """What is needed of a sequence parameter set; `order_bits` is None if pictures are numbered by `frame_num`."""

    frame_bits: int
    order_bits: int | None
    separate_planes: bool
    frames_only: bool
    gaps_allowed: bool


class H264Numbers:
    """Reads the number of each picture from packets in decoding order."""

    def __init__(self) -> None:
        self._sequences: dict[int, _Sequence] = {}
        self._pictures: dict[int, int] = {}  # sequence parameter set of each picture parameter set
        self._last_reference = 0

    def read(self, data: bytes) -> Iterator[PictureNumber]:
        """Yield the numbers of the pictures of a packet. Units that cannot be read are skipped."""
        for unit in iter_nal_units(data, _HEADER_BYTES):
            kind = unit[0] & 31 if unit else 0
            bits = BitReader(unit[1:])
            with contextlib.suppress(EOFError, KeyError):
                if kind == _SPS:
                    number, sequence = _read_sequence(bits)
                    self._sequences[number] = sequence
                elif kind == _PPS:
                    self._pictures[bits.read_ue()] = bits.read_ue()
                elif kind in (_SLICE, _PARTITION_A, _IDR) and bits.read_ue() == 0:
                    picture = self._read_slice(bits, kind == _IDR, bool(unit[0] & 0x60))
                    if picture:
                        yield picture

    def _read_slice(self, bits: BitReader, idr: bool, reference: bool) -> PictureNumber | None:
        """Read the header of the first slice of a picture, from `slice_type` on."""
        bits.read_ue()
        sequence = self._sequences[self._pictures[bits.read_ue()]]
        bits.read(2 * sequence.separate_planes)
        frame = bits.read(sequence.frame_bits)
        second_field = not sequence.frames_only and bits.read_flag() and bits.read_flag()
        if sequence.order_bits is None:
            return self._number_by_frame(sequence, frame, idr, reference, second_field)
        if idr:
            bits.read_ue()
        order, modulus = bits.read(sequence.order_bits), 1 << sequence.order_bits
        if sequence.frames_only:
            return PictureNumber(order, modulus, idr)
        return None if second_field else PictureNumber(order // 2, modulus // 2, idr)

    def _number_by_frame(
        self, sequence: _Sequence, frame: int, idr: bool, reference: bool, second_field: bool
    ) -> PictureNumber | None:
        """Number reference pictures only: others share the number of the next."""
        if sequence.gaps_allowed or not reference or second_field:
            return None
        return PictureNumber(frame, 1 << sequence.frame_bits, idr)


def _read_sequence(bits: BitReader) -> tuple[int, _Sequence]:
    profile = bits.read(8)
    bits.read(16)
    number = bits.read_ue()
    separate = False
    if profile in _HIGH_PROFILES:
        chroma = bits.read_ue()
        separate = chroma == 3 and bits.read_flag()
        bits.read_ue()
        bits.read_ue()
        bits.read(1)
        if bits.read_flag():
            for index in range(_ALL_LISTS if chroma == 3 else _BASE_LISTS):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_bits = bits.read_ue() + 4
    order = bits.read_ue()
    order_bits = bits.read_ue() + 4 if order == 0 else None
    if order == 1:
        bits.read(1)
        bits.read_se()
        bits.read_se()
        for _ in range(min(bits.read_ue(), 255)):
            bits.read_se()
    bits.read_ue()
    gaps = bits.read_flag()
    bits.read_ue()
    bits.read_ue()
    return number, _Sequence(frame_bits, order_bits, separate, bits.read_flag(), gaps)


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    if not bits.read_flag():
        return
    scale = 8
    for _ in range(size):
        scale = (scale + bits.read_se()) % 256
        if scale == 0:
            return
