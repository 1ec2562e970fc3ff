"""Types passed between media and codec: a frame and the metadata of a video. Imports no PyAV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from dfccodec.container.records import Packet, StreamInfo

SOURCE_SIZE = "source_size"
"""Key in `tool` of the size before scaling, such as 1920x1080 (SPEC.md 5.5)."""


@dataclass(frozen=True)
class Picture:
    """A frame: `rgb` is (H, W, 3) uint8; `pts` and `duration` are in units of the video's time base."""

    rgb: np.ndarray
    pts: int
    duration: int


@dataclass(frozen=True)
class SourceInfo:
    """Metadata of a video. Ratios are exact; `frames` and `size` (bytes) are 0 if unknown.

    `rotation` is the number of clockwise 90° steps that turn the picture upright. `colour` is (range, primaries,
    transfer, matrix, bits) in H.273 code points. `tags` holds the container's metadata, chapters, and track titles.
    `source_size` is (width, height) before scaling; (0, 0) if the video was not scaled.
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
    """A source of audio and subtitle packets, such as `media.input.tracks.Tracks`.

    Times are in seconds and use the clock of the video. Declare all `streams` before the first clip. `packets_until`
    yields (stream, packets) for all packets that start before `end`. `remaining_packets` yields the packets after the
    last frame. `total_bytes` is 0 if unknown. Call `mark_clip` after the frames of each clip were read.
    """

    @property
    def streams(self) -> Sequence[StreamInfo]: ...
    def packets_until(self, end: Fraction | None) -> Iterator[tuple[int, list[Packet]]]: ...
    def remaining_packets(self) -> Iterator[tuple[int, list[Packet]]]: ...
    def total_bytes(self) -> int: ...
    def mark_clip(self) -> None: ...
    def close(self) -> None: ...


class PacketSink(Protocol):
    """A receiver of decoded packets, such as `media.output.sink.VideoSink`."""

    def declare(self, info: StreamInfo) -> None: ...
    def packets(self, stream: int, packets: Sequence[Packet]) -> None: ...
