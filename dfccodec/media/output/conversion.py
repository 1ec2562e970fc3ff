"""What a decoded video is made into before it is written: another size, another rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from fractions import Fraction

from dfccodec.container.reader import Preamble
from dfccodec.container.records import Header, Ratio
from dfccodec.errors import UsageError
from dfccodec.media.output.cfr import constant, constant_header
from dfccodec.media.picture import SOURCE_SIZE, Picture
from dfccodec.media.scale import aspect_after, fitted, parse_size, scaled


class OutputConversion:
    """The form of the output.

    Args:
        preamble: of the file.
        rate: a constant rate in frames per second; None keeps the file's times.
        size: `480`, `640x360`, or `source` for the size before `encode --size`; None keeps the file's.

    Attributes:
        header: geometry and time of the output.

    Raises:
        UsageError: the size is not understood.
    """

    def __init__(self, preamble: Preamble, rate: Fraction | None = None, size: str | None = None) -> None:
        self._rate = rate
        base = preamble.header.time_base
        self._base = Fraction(base.num, base.den)
        header = preamble.header
        self._size = _target(preamble, size) if size else (header.width, header.height)
        self._scaling = self._size != (header.width, header.height)
        if self._scaling:
            header = _resized(header, self._size)
        self.header = constant_header(header, rate) if rate else header

    def shaped(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        """Frames as the output wants them."""
        if self._scaling:
            pictures = (dataclasses.replace(p, rgb=scaled(p.rgb, self._size)) for p in pictures)
        return constant(pictures, self._base, self._rate) if self._rate else iter(pictures)


def _target(preamble: Preamble, size: str) -> tuple[int, int]:
    header = preamble.header
    if size != "source":
        return fitted((header.width, header.height), parse_size(size), header.rotation)
    text = dict(preamble.tool).get(SOURCE_SIZE)
    if text is None:
        return header.width, header.height
    try:
        return fitted((header.width, header.height), parse_size(text))
    except UsageError:
        raise UsageError(f"--size source: the file gives it as {text[:40]!a}: name a size yourself") from None


def _resized(header: Header, size: tuple[int, int]) -> Header:
    old = header.width, header.height
    aspect = aspect_after(Fraction(header.pixel_aspect.num, header.pixel_aspect.den), old, size)
    aspect = aspect if max(aspect.numerator, aspect.denominator) < 2**31 else aspect.limit_denominator(1 << 15)
    ratio = Ratio(aspect.numerator, aspect.denominator)
    return dataclasses.replace(header, width=size[0], height=size[1], pixel_aspect=ratio)
