"""Typed records of a `.dfc` file, frozen. They are validated in `pack`, not here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

VERSION = 1


class Fill(IntEnum):
    """Fill policy: how dropped frames are reconstructed (SPEC.md 6)."""

    TOKEN = 0
    HOLD = 1
    LERP = 2
    MOTION = 3
    BLEND = 4
    GENERATE = 5
    DIRECT = 6


class Coding(IntEnum):
    """Entropy coding of the latents of a clip (SPEC.md 7)."""

    ZSTD = 0
    RANGE = 1
    INTER = 2
    PREDICTED = 3


class MotionFilter(IntEnum):
    """Filter of samples between pixels, and precision of vectors: half pixels; with the last one, which has eight
    taps too, quarter pixels (SPEC.md 7.8.2)."""

    LINEAR = 0
    SIX_TAP = 1
    EIGHT_TAP = 2
    QUARTER = 3

    @property
    def subpel(self) -> int:
        """Units of a vector in a pixel."""
        return 4 if self is MotionFilter.QUARTER else 2


@dataclass(frozen=True)
class Ratio:
    """An exact rational number. 0/1 means unknown."""

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
        rate: nominal frames per second; 0/1 if unknown.
        time_base: unit of all timestamps of frames, in seconds.
        patch: side of a token in pixels.
        channels: integers per token of a kept frame.
        clip_frames: maximum number of frames of a clip.
        tile, overlap: side and overlap of tiles in pixels; 0, 0 if the picture is not split into tiles.
        pixel_aspect: width of a pixel divided by its height.
        rotation: clockwise rotation for display, in steps of 90°.
        colour: colour metadata of the source.
        version, needs: version of the writer, and minimum version of a reader.
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
        """Return the first pixel of each tile along a side of `length` pixels.

        The stride is constant. The last tile is moved back so that it ends with the padded side.
        """
        padded = max(-(-length // self.patch) * self.patch, self.tile)
        stride = self.tile - self.overlap
        count = 1 + -(-(padded - self.tile) // stride)
        return [min(i * stride, padded - self.tile) for i in range(count)]

    @property
    def frame_values(self) -> int:
        """Number of integers of one kept frame."""
        tiles, rows, columns = self.grid
        return tiles * rows * columns * self.channels


@dataclass(frozen=True)
class ModelId:
    """The model that a file needs (chunk MODL): name, SHA-256 fingerprint of its tensors, configuration as JSON."""

    name: str
    fingerprint: bytes
    config: str = "{}"


@dataclass(frozen=True)
class Clip:
    """One clip (chunk CLIP) with coded latents.

    Args:
        first_frame: number of its first frame in the video.
        kept: (T,) bool.
        importance: (T,) uint8, 255 · probability.
        qp: quantizer index.
        first_pts: timestamp of the first frame in time-base units.
        durations: duration of each frame in time-base units; one number if all are equal.
        latents: the coded latents of the kept frames.
        planes: byte planes of the zstd coding, 1 or 2; 1 for other codings.
        fill: fill policy, a member of `Fill` if this reader knows it.
        fill_payload: data of the fill policy.
        coding: latent coding, a member of `Coding` if this reader knows it.
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
        """Number of frames, dropped frames included."""
        return len(self.kept)

    @property
    def coding_order(self) -> np.ndarray:
        """Numbers (K,) of the kept frames, the most important first; of equally important ones the earlier first."""
        frames = np.flatnonzero(self.kept)
        out: np.ndarray = frames[np.argsort(-self.importance[frames].astype(np.int64), kind="stable")]
        return out

    @property
    def timestamps(self) -> list[int]:
        """Timestamp of each frame in time-base units."""
        steps = self.durations if len(self.durations) == self.frames else self.durations * self.frames
        out = [self.first_pts]
        for step in steps[: self.frames - 1]:
            out.append(out[-1] + step)
        return out


@dataclass(frozen=True)
class StreamInfo:
    """A stream that is copied without re-encoding (chunk strm). `kind`: 0 audio, 1 subtitles, 2 data."""

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
    """One packet of a copied stream (in chunk pkts). Times are in units of the time base of the stream."""

    pts: int
    dts: int
    duration: int
    data: bytes
    key: bool = True


@dataclass(frozen=True)
class IndexEntry:
    """Index entry of a clip: offset and size of its chunk in bytes, first frame and timestamp, numbers of frames."""

    offset: int
    size: int
    first_frame: int
    first_pts: int
    frames: int
    kept: int


@dataclass(frozen=True)
class Index:
    """The index (chunk indx): all clips, and SHA-256 over the integer latents of the file."""

    clips: tuple[IndexEntry, ...] = field(default=())
    latent_hash: bytes = bytes(32)

    @property
    def frames(self) -> int:
        """Number of frames of all clips, dropped frames included."""
        return sum(c.frames for c in self.clips)

    @property
    def kept(self) -> int:
        """Number of kept frames of all clips."""
        return sum(c.kept for c in self.clips)
