"""GIF89a: a chain of blocks, each a chain of sub-blocks.

Nothing but its size marks a sub-block: after damage the chain often goes on by chance, with pictures damaged or lost.
So the pixels of each picture are counted too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dfccodec.media.input.structure.chain import INVALID, NEED_MORE, Break, ChainScanner
from dfccodec.media.input.structure.gif_lzw import count_pixels

SIGNATURES = (b"GIF87a", b"GIF89a")

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_HEADER, _IMAGE_HEADER = 13, 11
_MAX_CODE_SIZE = 11
_MAX_IMAGE = 1 << 24
"""Maximum number of bytes of image data whose pixels are counted."""
_MAX_UNUSED = 16
"""Maximum number of bytes after the last pixel of a usual image. Encoders write 1 to 3 for an end code."""
_MAX_ZEROS = 16
"""Maximum number of zeros between blocks. Some programs write one too many."""
_CONTROL, _CONTROL_SIZE = (0xF9, 4), 8
_COMMENT = (0xFE, 0)
_LABELS = {0x01: 12, 0xF9: 4, 0xFF: 11}
"""Label of an extension: size of its first sub-block. Other extensions may have any size."""


@dataclass
class _ImageData:
    """Data of an image: the position of the first sub-block, the number of pixels, and the sub-blocks so far."""

    place: int
    code_size: int
    pixels: int
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, part: bytes) -> None:
        """Add the content of the next sub-block."""
        self.size += len(part)
        if self.size <= _MAX_IMAGE:
            self.parts.append(part)
        else:
            self.parts.clear()

    def locate(self, offset: int) -> int:
        """Return the byte position in the file of a byte of the data."""
        place = self.place + 1
        for part in self.parts:
            if offset < len(part):
                break
            offset -= len(part)
            place += len(part) + 1
        return place + offset


class GifScanner(ChainScanner):
    """Scanner of GIF. The chain continues with the next control extension, which animations have before every image."""

    PATTERN = re.compile(rb"\x21\xf9\x04[\s\S]{4}\x00[\x2c\x21]")
    PATTERN_SIZE = 9
    CONFIRM = 6
    READ_SIZE = 1 << 16

    def __init__(self, place: int = 0) -> None:
        super().__init__(place)
        self._has_header, self._in_block = place > 0, False
        self._image: _ImageData | None = None
        self._images, self._all_whole, self._all_used = 0, True, True  # what is usual for the encoder
        self._extensions = {_COMMENT, *_LABELS.items()}  # labels and sizes that are usual
        self._zeros = 0  # number of consecutive zeros between blocks
        self._damage: Break | None = None  # of the last image
        self._doubt: Break | None = None  # damage of the first image if the second one differs from it
        self._ends_early = False

    @property
    def ends_early(self) -> bool:
        """See :meth:`ChainScanner.ends_early`. A file without a trailer is complete."""
        return self._ends_early

    def finish(self) -> None:
        """See :meth:`ChainScanner.finish`."""
        if not (self.ended or self._searching or self._broken is not None):
            end = self._buffer_place + len(self._buffer)
            rest = self._buffer[max(0, self._place - self._buffer_place) :]
            if self._in_block and self._image:
                self._image.add(rest[1:])
                self._check_image(self._image, end, at_end=True)
            else:
                self._ends_early = self._in_block or bool(rest)
        super().finish()

    def measure(self, data: bytes, at: int) -> int:
        """See :meth:`ChainScanner.measure`."""
        if not self._has_header:
            if len(data) - at < _HEADER:
                return NEED_MORE
            self._has_header = True
            return _HEADER + _color_table_size(data[at + 10])
        kind = data[at]
        if self._in_block and not self._searching:
            return self._measure_sub_block(data, at)
        self._image = None
        self._zeros = 0 if kind else self._zeros + 1
        if kind == _TRAILER:
            self.ended = True
            return 1
        if kind == _EXTENSION:
            return self._measure_extension(data, at)
        if kind == _IMAGE:
            return self._measure_image(data, at)
        return INVALID if kind or self._zeros > _MAX_ZEROS else 1

    def _measure_sub_block(self, data: bytes, at: int) -> int:
        size = data[at]
        if self._image:
            if len(data) - at <= size:
                return NEED_MORE
            if size:
                self._image.add(data[at + 1 : at + 1 + size])
            elif self._broken is None:
                self._check_image(self._image, self._buffer_place + at + 1)
        self._in_block = size > 0
        return 1 + size

    def _measure_extension(self, data: bytes, at: int) -> int:
        if len(data) - at < 3:
            return NEED_MORE
        label, size = data[at + 1 : at + 3]
        kind = label, size if label in _LABELS else 0
        if kind == _CONTROL and len(data) - at < _CONTROL_SIZE:
            return NEED_MORE
        is_long = kind == _CONTROL and data[at + _CONTROL_SIZE - 1] > 0
        if self._images and (is_long or kind not in self._extensions):  # damage rather than a new kind
            return INVALID
        self._extensions.add(kind)
        self._in_block = True
        return 2

    def _measure_image(self, data: bytes, at: int) -> int:
        if len(data) - at < _IMAGE_HEADER:
            return NEED_MORE
        size = 10 + _color_table_size(data[at + 9])
        if len(data) <= at + size:
            return NEED_MORE
        if not 1 < data[at + size] <= _MAX_CODE_SIZE:
            return INVALID
        width, height = (int.from_bytes(data[at + n : at + n + 2], "little") for n in (5, 7))
        self._image = _ImageData(self._buffer_place + at + size + 1, data[at + size], width * height)
        self._in_block = True
        return size + 1

    def _check_image(self, image: _ImageData, end: int, at_end: bool = False) -> None:
        """Record a break if the data do not hold the pixels of the image. The chain goes on, perhaps by chance.

        Args:
            image: the image.
            end: byte position after it.
            at_end: whether the file ends there, without the end of the image.
        """
        if not image.pixels or image.size > _MAX_IMAGE:
            return
        found = count_pixels(b"".join(image.parts), image.code_size, image.pixels)
        if found is None:
            return
        whole, used = found.pixels == image.pixels, image.size - found.used <= _MAX_UNUSED
        place = image.locate(found.used)
        # Some encoders write too few pixels, or bytes that nobody reads. Then they do so in most images.
        unusual = (self._all_whole and not whole) or (self._all_used and not used)
        if at_end and found.valid and not whole:
            self._ends_early = True
        elif not found.valid or (unusual and self._images):
            self._record(place, end, within=True)
            self._damage, self._doubt = self.breaks[-1], None
        else:
            self._damage = None
            if self._doubt and whole and used:
                self._record(self._doubt.start, self._doubt.end, within=True)
                self._all_whole = self._all_used = True
            self._doubt = Break(place, end) if unusual else None
            self._images += 1
            self._all_whole &= whole
            self._all_used &= used

    def _record(self, start: int, end: int, certain: bool = True, within: bool = False) -> None:
        if self._damage and self.breaks[-1] == self._damage:  # one hole
            start = self.breaks.pop().start
        super()._record(start, end, certain, within)


def _color_table_size(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
