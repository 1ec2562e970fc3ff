"""Pictures of a report page: WebP of evenly spaced frames, of bounded total size."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dfccodec.media.output.webp import encode_webp
from dfccodec.media.scale import scale_rgb

MAX_BYTES = 24 << 20
"""Maximum size of all pictures of a page; in the page they are a third larger."""
MAX_SIDE = 1280
"""Maximum side of a picture in pixels; larger ones are scaled down."""
QUALITY = 85
"""Quality of WebP, 0 to 100."""


class TimedPicture(Protocol):
    """What is needed of a frame; see `videos.TimedFrame`."""

    @property
    def rgb(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        ...

    @property
    def seconds(self) -> Fraction:
        """Presentation time."""
        ...


class PagePictures:
    """Collects pictures of the frames of one or several videos.

    Pictures of every frame are collected until they are too large together. Then every second one is left out, and so
    on: at any time the frames are evenly spaced.

    Args:
        frames: number of frames of the first video if known, otherwise 0.
        max_bytes: maximum size of all pictures.

    Attributes:
        seconds: time of each frame of the first video, also of those without pictures.
        numbers: numbers of the frames with pictures.
        rows: for each of them, a picture of each video; None if it has none.
        scaled: whether pictures are scaled down.
    """

    def __init__(self, frames: int = 0, max_bytes: int = MAX_BYTES) -> None:
        self._frames, self._limit, self._stride, self._bytes = frames, max_bytes, 1, 0
        self.seconds: list[Fraction] = []
        self.numbers: list[int] = []
        self.rows: list[list[bytes | None]] = []
        self.scaled = False

    def add(self, row: Sequence[TimedPicture | None]) -> None:
        """Add the frames of all videos at one time; the first video has one at each time."""
        number, first = len(self.seconds), row[0]
        assert first is not None
        self.seconds.append(first.seconds)
        if number % self._stride:
            return
        self._keep(number, [None if frame is None else self._encode(frame.rgb) for frame in row])
        if number == 0:  # skip pictures that would be left out later: encoding takes time
            while self._frames and self._bytes * self._frames > self._limit * self._stride:
                self._stride *= 2
        while self._bytes > self._limit and len(self.rows) > 1:
            self._thin_out()

    def note(self) -> str:
        """A sentence on what the pictures are, for the reader of the page."""
        spacing = "every second one" if self._stride == 2 else f"every {self._stride}th"
        shown = (
            f"{len(self.numbers)} of {len(self.seconds)} frames have pictures, {spacing}, to limit the size of the page"
        )
        shown = "all frames have pictures" if self._stride == 1 else shown
        scaled = f", scaled to {MAX_SIDE} pixels at most" if self.scaled else ""
        return f"{shown}; they are lossy copies (WebP{scaled}), figures are measured on the originals"

    def _keep(self, number: int, pictures: list[bytes | None]) -> None:
        self.numbers.append(number)
        self.rows.append(pictures)
        self._bytes += _size(pictures)

    def _thin_out(self) -> None:
        self._stride *= 2
        kept = [(n, row) for n, row in zip(self.numbers, self.rows, strict=True) if n % self._stride == 0]
        self.numbers, self.rows = [n for n, _ in kept], [row for _, row in kept]
        self._bytes = sum(map(_size, self.rows))

    def _encode(self, rgb: npt.NDArray[np.uint8]) -> bytes:
        side = max(rgb.shape[:2])
        if side > MAX_SIDE:
            self.scaled = True
            height, width = (max(round(length * MAX_SIDE / side), 1) for length in rgb.shape[:2])
            rgb = scale_rgb(rgb, (width, height))
        return encode_webp(rgb, QUALITY)


def _size(pictures: list[bytes | None]) -> int:
    return sum(len(picture) for picture in pictures if picture)
