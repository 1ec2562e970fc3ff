"""The typed records of a `.dfc` file. Frozen; validated where they enter (`pack`), not here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

VERSION = 1


class Fill(IntEnum):
    """What the decoder puts where a dropped frame was (SPEC.md 6)."""

    TOKEN = 0
    HOLD = 1
    LERP = 2
    MOTION = 3
    BLEND = 4


class Coding(IntEnum):
    """How the integers of a clip became bytes (SPEC.md 7)."""

    ZSTD = 0
    RANGE = 1
    INTER = 2


@dataclass(frozen=True)
class Ratio:
    """An exact rational; 0/1 stands for unknown."""

    num: int
    den: int

    def __float__(self) -> float:
        return self.num / self.den if self.den else 0.0


@dataclass(frozen=True)
class Colour:
    """Colour of the source in H.273 code points; `range` 0 unknown, 1 limited, 2 full; `bits` 0 unknown."""

    range: int = 0
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    bits: int = 0


@dataclass(frozen=True)
class Header:
    """Geometry and time of the whole file (chunk HEAD).

    Args:
        width, height: pixels of the picture as coded, before rotation.
        rate: frames per second, nominal; 0/1 where there is none.
        time_base: seconds per tick of every timestamp of the picture.
        patch: side of a token in pixels.
        channels: integers per token of a kept frame.
        clip_frames: frames of a clip at the most.
        tile, overlap: side and overlap of tiles in pixels; 0, 0 where the picture is coded whole.
        pixel_aspect: width over height of a pixel.
        rotation: quarter turns clockwise that bring the picture upright.
        colour: what the source said of its colours.
    """

    width: int
    height: int
    rate: Ratio
    time_base: Ratio
    patch: int = 16
    channels: int = 96
    clip_frames: int = 32
    tile: int = 0
    overlap: int = 0
    pixel_aspect: Ratio = Ratio(1, 1)
    rotation: int = 0
    colour: Colour = Colour()
    version: int = VERSION
    needs: int = VERSION

    @property
    def grid(self) -> tuple[int, int, int]:
        """(tiles, rows, columns) of tokens of one frame (SPEC.md 5.2)."""
        if not self.tile:
            return 1, -(-self.height // self.patch), -(-self.width // self.patch)
        side = self.tile // self.patch
        return len(self.tile_starts(self.height)) * len(self.tile_starts(self.width)), side, side

    def tile_starts(self, length: int) -> list[int]:
        """First pixel of each tile along a side of `length` pixels: a constant stride, the last one pulled back."""
        padded = max(-(-length // self.patch) * self.patch, self.tile)
        stride = self.tile - self.overlap
        count = 1 + -(-(padded - self.tile) // stride)
        return [min(i * stride, padded - self.tile) for i in range(count)]

    @property
    def frame_values(self) -> int:
        """Integers of one kept frame."""
        tiles, rows, columns = self.grid
        return tiles * rows * columns * self.channels


@dataclass(frozen=True)
class ModelId:
    """Which model a file needs (chunk MODL): name, SHA-256 fingerprint over its tensors, configuration as JSON."""

    name: str
    fingerprint: bytes
    config: str = "{}"


@dataclass(frozen=True)
class Clip:
    """One clip (chunk CLIP) with its latents still coded.

    Args:
        first_frame: number of its first frame in the video.
        kept: (T,) bool.
        importance: (T,) uint8, 255 · probability.
        qp: quantizer index.
        fill: fill policy; a number where this reader does not know it.
        first_pts: timestamp of the first frame in ticks of the time base.
        durations: ticks each frame lasts; one number where all last the same.
        planes: bytes per integer in latents coded by zstd, 1 or 2; 1 otherwise.
        latents: the coded integers of the kept frames.
    """

    first_frame: int
    kept: np.ndarray
    importance: np.ndarray
    qp: int
    first_pts: int
    durations: tuple[int, ...]
    latents: bytes
    planes: int = 1
    fill: int = Fill.TOKEN
    fill_payload: bytes = b""
    coding: int = Coding.ZSTD

    @property
    def frames(self) -> int:
        """How many the clip has, dropped ones included."""
        return len(self.kept)

    @property
    def timestamps(self) -> list[int]:
        """Timestamp of each frame in ticks."""
        steps = self.durations if len(self.durations) == self.frames else self.durations * self.frames
        out = [self.first_pts]
        for step in steps[: self.frames - 1]:
            out.append(out[-1] + step)
        return out


@dataclass(frozen=True)
class StreamInfo:
    """A sound or subtitle stream carried untouched (chunk strm). `kind`: 0 sound, 1 subtitles, 2 data."""

    id: int
    kind: int
    time_base: Ratio
    codec: str
    sample_rate: int = 0
    channels: int = 0
    layout: str = ""
    language: str = ""
    disposition: int = 0
    extradata: bytes = b""


@dataclass(frozen=True)
class Packet:
    """One packet of such a stream (inside chunk pkts); times in ticks of the stream's time base."""

    pts: int
    dts: int
    duration: int
    data: bytes
    key: bool = True


@dataclass(frozen=True)
class IndexEntry:
    """Where a clip is: offset and size of its chunk in bytes, its first frame and timestamp, its counts."""

    offset: int
    size: int
    first_frame: int
    first_pts: int
    frames: int
    kept: int


@dataclass(frozen=True)
class Index:
    """The trailing index (chunk indx): every clip, and SHA-256 over the integer latents of the whole stream."""

    clips: tuple[IndexEntry, ...] = field(default=())
    latent_hash: bytes = bytes(32)

    @property
    def frames(self) -> int:
        """Of all clips, dropped ones included."""
        return sum(c.frames for c in self.clips)

    @property
    def kept(self) -> int:
        """Kept frames of all clips."""
        return sum(c.kept for c in self.clips)
