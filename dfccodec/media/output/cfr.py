"""Frames at a constant rate: each moment shows the frame that is on display then. Imports no PyAV."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from fractions import Fraction

from dfccodec.container.records import Header, Ratio
from dfccodec.errors import UsageError
from dfccodec.media.picture import Picture

_MOST = 1000
"""Frames per second at the most."""


def parse_rate(text: str) -> Fraction:
    """`25`, `29.97` or `30000/1001`.

    Raises:
        UsageError: it is no rate, or none up to 1000 frames per second.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= _MOST:
        raise UsageError(f"rate {text!r} is not understood: give frames per second as 25, 29.97 or 30000/1001")
    return rate.limit_denominator(1_000_000)


def constant_header(header: Header, rate: Fraction) -> Header:
    """The header of the same video at a constant rate, a tick a frame."""
    ratio = Ratio(rate.numerator, rate.denominator)
    return dataclasses.replace(header, rate=ratio, time_base=Ratio(ratio.den, ratio.num))


def constant(pictures: Iterable[Picture], time_base: Fraction, rate: Fraction) -> Iterator[Picture]:
    """Repeat and leave out frames so that there is one every 1/rate seconds.

    Args:
        pictures: frames with times in ticks of `time_base`.
        time_base: seconds per tick.
        rate: frames per second.

    Returns:
        frames with times in ticks of 1/rate; begins and ends of frames are rounded to whole ticks.
    """
    number: int | None = None
    picture, shown = None, False
    for picture in pictures:
        begin = round(picture.pts * time_base * rate)
        end = round((picture.pts + picture.duration) * time_base * rate)
        number = begin if number is None else number
        while number < end:
            yield Picture(picture.rgb, number, 1)
            number += 1
            shown = True
    if picture is not None and not shown:  # the whole video is shorter than half a frame of that rate
        yield Picture(picture.rgb, number or 0, 1)
