"""Conversion to a constant frame rate: each output frame is the one on display at its time. Imports no PyAV."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from fractions import Fraction

from dfccodec.container.records import Header, Ratio
from dfccodec.errors import UsageError
from dfccodec.media.picture import Picture

_MAX_RATE = 1000
"""Maximum frame rate in frames per second."""


FrameRate = str | float | Fraction
"""Frames per second, as text or number."""


def parse_rate(text: FrameRate) -> Fraction:
    """Parse a frame rate: `25`, `29.97` or `30000/1001`.

    Raises:
        UsageError: it is not a rate, or it exceeds 1000 frames per second.
    """
    try:
        rate = Fraction(text)
    except (ValueError, TypeError, ArithmeticError):
        rate = Fraction(0)
    if not 0 < rate <= _MAX_RATE:
        raise UsageError(f"rate {text!r} is not understood: give frames per second as 25, 29.97 or 30000/1001")
    return rate.limit_denominator(1_000_000)


def constant_rate_header(header: Header, rate: Fraction) -> Header:
    """Return the header for a constant frame rate; its time base is the duration of a frame."""
    ratio = Ratio(rate.numerator, rate.denominator)
    return dataclasses.replace(header, rate=ratio, time_base=Ratio(ratio.den, ratio.num))


def to_constant_rate(pictures: Iterable[Picture], time_base: Fraction, rate: Fraction) -> Iterator[Picture]:
    """Repeat and discard frames to get one every 1/rate seconds.

    Args:
        pictures: frames with timestamps in units of `time_base`.
        time_base: time base in seconds.
        rate: frames per second.

    Returns:
        frames with timestamps in units of 1/rate; start and end of the input frames are rounded to whole units.
    """
    number: int | None = None
    picture, emitted = None, False
    for picture in pictures:
        begin = round(picture.pts * time_base * rate)
        end = round((picture.pts + picture.duration) * time_base * rate)
        number = begin if number is None else number
        while number < end:
            yield Picture(picture.rgb, number, 1)
            number += 1
            emitted = True
    if picture is not None and not emitted:  # the video is shorter than half an output frame
        yield Picture(picture.rgb, number or 0, 1)
