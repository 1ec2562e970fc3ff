"""Conversion of the decoded video before it is written: scaling and a constant frame rate."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from fractions import Fraction

from dfccodec.container.reader import Preamble
from dfccodec.container.records import Header, Ratio
from dfccodec.errors import UsageError
from dfccodec.media.cfr import constant_rate_header, to_constant_rate
from dfccodec.media.picture import SOURCE_SIZE, Picture
from dfccodec.media.scale import fit_size, parse_size, scale_rgb, scaled_pixel_aspect


class OutputConversion:
    """Converts frames to the size and rate of the output.

    Args:
        preamble: start of the .dfc file: header and metadata.
        rate: constant frame rate in frames per second; None keeps the timestamps of the file.
        size: `480`, `640x360`, or `source` for the size before `encode --size`; None keeps the size of the file.

    Attributes:
        header: geometry and timing of the output.

    Raises:
        UsageError: the size is not valid.
    """

    def __init__(self, preamble: Preamble, rate: Fraction | None = None, size: str | None = None) -> None:
        self._rate = rate
        base = preamble.header.time_base
        self._base = Fraction(base.num, base.den)
        header = preamble.header
        self._size = _target_size(preamble, size) if size else (header.width, header.height)
        self._scaling = self._size != (header.width, header.height)
        if self._scaling:
            header = _resize_header(header, self._size)
        self.header = constant_rate_header(header, rate) if rate else header

    def convert(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        """Convert frames to the size and rate of the output."""
        if self._scaling:
            pictures = (dataclasses.replace(p, rgb=scale_rgb(p.rgb, self._size)) for p in pictures)
        return to_constant_rate(pictures, self._base, self._rate) if self._rate else iter(pictures)


def _target_size(preamble: Preamble, size: str) -> tuple[int, int]:
    header = preamble.header
    if size != "source":
        return fit_size((header.width, header.height), parse_size(size), header.rotation)
    text = dict(preamble.tool).get(SOURCE_SIZE)
    if text is None:
        return header.width, header.height
    try:
        return fit_size((header.width, header.height), parse_size(text))
    except UsageError:
        raise UsageError(f"--size source: the file states the invalid size {text[:40]!a}: give a size") from None


def _resize_header(header: Header, size: tuple[int, int]) -> Header:
    old = header.width, header.height
    aspect = scaled_pixel_aspect(Fraction(header.pixel_aspect.num, header.pixel_aspect.den), old, size)
    aspect = aspect if max(aspect.numerator, aspect.denominator) < 2**31 else aspect.limit_denominator(1 << 15)
    ratio = Ratio(aspect.numerator, aspect.denominator)
    return dataclasses.replace(header, width=size[0], height=size[1], pixel_aspect=ratio)
