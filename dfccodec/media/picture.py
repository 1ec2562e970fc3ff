"""What passes between media and codec: one frame, and what a video says of itself. Imports no PyAV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from dfccodec.container.records import Packet, StreamInfo

SOURCE_SIZE = "source_size"
"""Key in `tool` of the size before scaling, as 1920x1080 (SPEC.md 5.5)."""


@dataclass(frozen=True)
class Picture:
    """One frame: `rgb` (H, W, 3) uint8, `pts` and `duration` in ticks of the video's time base."""

    rgb: np.ndarray
    pts: int
    duration: int


@dataclass(frozen=True)
class SourceInfo:
    """What a video says of itself; ratios are exact, `frames` and `size` are 0 where unknown.

    `rotation` counts quarter turns clockwise that bring the picture upright. `colour` is (range, primaries,
    transfer, matrix, bits) in H.273 code points. `tags` are the container's metadata and its chapters
    (`media.chapters`). `source_size` is (width, height) before scaling, where there was any.
    """

    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    pixel_aspect: Fraction = Fraction(1)
    rotation: int = 0
    colour: tuple[int, int, int, int, int] = (0, 2, 2, 2, 8)
    frames: int = 0
    size: int = 0
    tags: tuple[tuple[str, str], ...] = ()
    source_size: tuple[int, int] = (0, 0)


class PacketSource(Protocol):
    """Where packets of sound and subtitles come from (`media.tracks.Tracks`); times are seconds of the pictures' clock.

    `streams` are to be declared before the first clip; `until` gives (stream, packets) of all that begins before
    `end`, `rest` what is left behind the last picture, `size` the bytes of all, 0 where it is not known. `mark`
    tells it that the pictures of one more clip were read.
    """

    @property
    def streams(self) -> Sequence[StreamInfo]: ...
    def until(self, end: Fraction | None) -> Iterator[tuple[int, list[Packet]]]: ...
    def rest(self) -> Iterator[tuple[int, list[Packet]]]: ...
    def size(self) -> int: ...
    def mark(self) -> None: ...


class PacketSink(Protocol):
    """Where a decoder sends them (`media.sink.VideoSink`)."""

    def declare(self, info: StreamInfo) -> None: ...
    def packets(self, stream: int, packets: Sequence[Packet]) -> None: ...
