"""What a decoded video is made into before it is written: another rate. Imports no PyAV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from dfccodec.container.reader import Preamble
from dfccodec.media.cfr import constant, constant_header
from dfccodec.media.picture import Picture


class Shape:
    """The form of the output.

    Args:
        preamble: of the file.
        rate: a constant rate in frames per second; None keeps the file's times.

    Attributes:
        header: geometry and time of the output.
    """

    def __init__(self, preamble: Preamble, rate: Fraction | None = None) -> None:
        self._rate = rate
        base = preamble.header.time_base
        self._base = Fraction(base.num, base.den)
        self.header = constant_header(preamble.header, rate) if rate else preamble.header

    def shaped(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        """Frames as the output wants them."""
        return constant(pictures, self._base, self._rate) if self._rate else iter(pictures)
