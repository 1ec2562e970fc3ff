"""Pictures for the motion search: levels of a pyramid, and errors of blocks between them.

All samples, weights and errors are integers: this code and its twin in C (native/motion.c) give the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from dfccodec.codec.motion.blocks import BLOCK
from dfccodec.codec.motion.obmc import WINDOW_SIZE, window
from dfccodec.container.records import MotionFilter
from dfccodec.native import kernels

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int16]
Index = npt.NDArray[np.intp]
Picture = npt.NDArray[np.float32] | npt.NDArray[np.uint8]

UNIT = 512
"""Integer value of a sample of 1.0 in pictures."""

WEIGHT_UNIT = 32
"""Integer value of a weight of 1.0 of a window along one axis. Weight times difference fits 16 bits."""

MEAN_UNIT = 32
"""Integer value of a weight of 1.0 of a reference in the mean of two."""

ERROR_UNIT = UNIT**2 * WEIGHT_UNIT**2
"""Integer value of a squared error of 1.0."""

COARSE_UNIT = 256
"""As UNIT, at 1/4 resolution. Sums of a window then are exact in float32."""

CHANNEL_SCALES = np.float32(UNIT / 3**0.5), np.float32(UNIT / 2**0.5)
"""Scales of two channels: sum, and red minus blue. Their squared differences approximate those of RGB in two thirds of
the time. The sum alone would miss edges between colours of equal brightness."""

MAX_SUM, MAX_DIFFERENCE = 887, 362
"""Limits of samples between pixels, those of the channels: differences times weights fit 16 bits."""

HALF_TAPS = 1, -5, 20, 20, -5, 1
"""Filter of samples half a pixel further, in 1 / 32: near enough to every filter but the linear one."""

COARSE = 4
"""Downscaling factor of the full search."""
MAX_OVERHANG = 64
"""Maximum pixels by which a vector of this encoder points outside the picture."""


@dataclass(frozen=True)
class PyramidLevel:
    """A picture at one scale with edge padding.

    Attributes:
        samples: (1, height, width, channels) int16, for linear interpolation when samples between pixels are needed; or
            (4, …) with those half a pixel to the right, below, and both. Quarter pixels are means of two of these.
        subpel: units of a vector in a pixel: 1, 2 or 4.
        block, wide: sides of a block and of its window at this scale.
        edge: pixels of edge padding.
        rows, columns: numbers of block rows and columns.
    """

    samples: Shorts
    subpel: int
    block: int
    wide: int
    edge: int
    rows: int
    columns: int

    @cached_property
    def corners(self) -> tuple[Ints, Ints]:
        """Top left corners (rows · columns,) of all windows in the padded picture: down and right."""
        first = self.edge - (self.wide - self.block) // 2
        y, x = np.mgrid[: self.rows, : self.columns].reshape(2, -1).astype(np.int32) * self.block + first
        return y, x

    @cached_property
    def weights(self) -> Shorts:
        """Weights (wide, channels) of a window along one axis, in 1 / WEIGHT_UNIT; the same for all channels."""
        side = np.rint(WEIGHT_UNIT * window().reshape(-1, WINDOW_SIZE // self.wide).mean(axis=1))
        return np.repeat(side.astype(np.int16)[:, None], self.samples.shape[-1], axis=1)

    @cached_property
    def for_kernel(self) -> tuple[Shorts, Shorts, int, int, int, int, int, int, int, int]:
        """The level as an argument of the kernels."""
        _, height, width, _ = self.samples.shape
        sizes = self.subpel, height, width, self.edge, self.block, self.wide, self.rows, self.columns
        return (self.samples, self.weights, *sizes)

    def windows(self, cells: Index, vectors: Ints | None = None) -> Shorts:
        """Windows (n, wide · wide · channels) of the blocks `cells` (n,), displaced by vectors (n, 2)."""
        y, x = self.corners[0][cells], self.corners[1][cells]
        if vectors is None:
            return self._at(y, x)
        whole = vectors // self.subpel
        part = vectors - whole * self.subpel
        # Outside of the picture, not farther than its padding goes.
        limit, first = self.edge - self.wide, self.edge - (self.wide - self.block) // 2
        last_y, last_x = (first + (count - 1) * self.block for count in (self.rows, self.columns))
        y = np.clip(y + whole[:, 0], first - limit, last_y + limit - 1)
        x = np.clip(x + whole[:, 1], first - limit, last_x + limit - 1)
        if self.subpel > 2:
            one, two = (self._half(y, x, point) for point in quarter_points(part))
            return (one + two + 1) >> 1
        if len(self.samples) > 1:
            return self._half(y, x, part)
        out = self._at(y, x)
        for down, right in ((0, 1), (1, 0), (1, 1)) if self.subpel > 1 else ():
            here = (part == (down, right)).all(axis=1)
            if here.any():
                own, more = out[here], [(0, 1), (1, 0), (1, 1)] if down and right else [(down, right)]
                others = sum(self._at(y[here] + i, x[here] + j) for i, j in more)
                out[here] = (own + others + (len(more) + 1) // 2) >> len(more).bit_length()
        return out

    def _half(self, y: Ints, x: Ints, point: Ints) -> Shorts:
        """Windows half pixels (n, 2), each 0 to 2, away from the corners."""
        whole = point >> 1
        part = point - 2 * whole
        return self._at(y + whole[:, 0], x + whole[:, 1], part[:, 0] * 2 + part[:, 1])

    def _at(self, y: Ints, x: Ints, phase: Ints | int = 0) -> Shorts:
        """Windows (n, wide · wide · channels) from the corners y, x (n,) in the padded pictures `phase`."""
        phases, height, width, channels = self.samples.shape
        first, a, b, c = self.samples.strides
        shape = (phases, height - self.wide + 1, width - self.wide + 1, self.wide, self.wide * channels)
        view = as_strided(self.samples, shape, (first, a, b, a, c), writeable=False)
        out: Shorts = view[phase, y, x].reshape(len(y), self.wide * self.wide * channels)
        return out


def quarter_points(part: Ints) -> tuple[Ints, Ints]:
    """The two points in half pixels (n, 2), each 0 to 2, the mean of which are the samples at quarter pixels `part`
    (n, 2), each 0 to 3. They are those of H.264: the nearest two, on a diagonal those with one whole coordinate."""
    one, two = part >> 1, (part + 1) >> 1
    diagonal = (part & 1).sum(axis=1) == 2
    outward = np.where(part[diagonal] == 3, 2, 0)
    one[diagonal, 0], one[diagonal, 1] = outward[:, 0], 1
    two[diagonal, 0], two[diagonal, 1] = 1, outward[:, 1]
    return one, two


def block_errors(
    now: PyramidLevel, past: PyramidLevel, cells: Index, vectors: Ints | None = None,
    future: PyramidLevel | None = None, future_vectors: Ints | None = None, weight: int = MEAN_UNIT // 2,
) -> Longs:  # fmt: skip
    """Weighted squared errors (n,) of blocks, in 1 / ERROR_UNIT.

    Args:
        now: the target picture.
        past: a reference picture.
        cells: (n,) raster numbers of the blocks.
        vectors: (n, 2) vectors into `past`; None for zero vectors.
        future, future_vectors: a second reference picture and vectors into it; the prediction is a mean of both.
        weight: of the second reference in the mean, in 1 / MEAN_UNIT.
    """
    if kernels is not None:
        out = np.empty(len(cells), np.int64)
        one, other = (
            np.zeros(0, np.int32) if mvs is None else np.ascontiguousarray(mvs, np.int32)
            for mvs in (vectors, future_vectors)
        )
        kernels.errors(
            now.for_kernel,
            past.for_kernel,
            one,
            future and future.for_kernel,
            other,
            weight,
            cells.astype(np.int32),
            out,
        )
        return out
    prediction = past.windows(cells, vectors)
    if future is not None:
        first, second = (part.astype(np.int32) for part in (prediction, future.windows(cells, future_vectors)))
        prediction = (first * (MEAN_UNIT - weight) + second * weight) // MEAN_UNIT
    difference = np.subtract(now.windows(cells), prediction).astype(np.float64)  # exact: sums are below 2^53
    difference *= difference
    side = past.weights[:, 0].astype(np.float64)
    weights = np.repeat((side[:, None] * side).ravel(), past.weights.shape[1])
    return (difference @ weights).astype(np.int64)


class Pyramid:
    """A picture at full, 1/2 and 1/4 resolution.

    Attributes:
        rows, columns: numbers of block rows and columns.
        full, half: levels at full and 1/2 resolution.
        quarter: (height, width) int16, the sum channel at 1/4 resolution, in 1 / COARSE_UNIT.
    """

    def __init__(self, frame: Picture, motion_filter: MotionFilter | None = None) -> None:
        """`frame` is (H, W, 3), float32 in 0…1 or uint8. `motion_filter` is that of a reference picture; a
        target has none and needs less padding."""
        edge = WINDOW_SIZE if motion_filter is None else MAX_OVERHANG + WINDOW_SIZE
        subpel, phases = 1 if motion_filter is None else motion_filter.subpel, 4 if motion_filter else 1
        if kernels is not None:
            self.full, self.half, self.quarter = _levels_in_kernel(kernels, frame, subpel, edge, phases=phases)
        else:
            planes = _planes(unit_samples(frame))
            self.full = _level(planes, 1, subpel, edge, phases)
            self.half = _level(_downscale(planes, 2), 2, 1, edge)
            coarse = _downscale(planes[:1], COARSE)[0] * np.float32(COARSE_UNIT / UNIT)
            self.quarter = np.rint(coarse).astype(np.int16)
        self.rows, self.columns = self.full.rows, self.full.columns

    @cached_property
    def spectrum(self) -> npt.NDArray[np.complex128]:
        """Spectrum (height, width // 2 + 1) of the picture (height, width) at 1/8 resolution, its edges faded out, for
        `search.camera_motion`."""
        small = _downscale(self.quarter[None].astype(np.float32), 2)[0].astype(np.float64)
        down, right = (np.sin(np.pi * (np.arange(side) + 0.5) / side) for side in small.shape)
        out: npt.NDArray[np.complex128] = np.fft.rfft2((small - small.mean()) * down[:, None] * right)
        return out


def undisplaced_level(frame: Picture, other: Picture | None = None, fraction: float = 0.0) -> PyramidLevel:
    """Level of a picture (H, W, 3) without displacement, as in `Pyramid`; or of its blend with another one."""
    if kernels is not None:
        return _levels_in_kernel(kernels, frame, 1, WINDOW_SIZE, other, fraction, smaller=False)[0]
    picture = unit_samples(frame)
    if other is not None:
        picture = picture + (unit_samples(other) - picture) * np.float32(fraction)
    return _level(_planes(picture), 1, 1, WINDOW_SIZE)


def unit_samples(picture: Picture) -> Floats:
    """Samples float32 in 0…1 of a picture of any type."""
    if picture.dtype != np.uint8:
        return picture.astype(np.float32, copy=False)
    out: Floats = picture.astype(np.float32) / np.float32(255)
    return out


def _levels_in_kernel(
    kernels: ModuleType, frame: Picture, subpel: int, edge: int, other: Picture | None = None, fraction: float = 0.0,
    smaller: bool = True, phases: int = 1,
) -> tuple[PyramidLevel, PyramidLevel, Shorts]:  # fmt: skip
    rows, columns = (-(-side // BLOCK) for side in frame.shape[:2])
    height, width, half = rows * BLOCK, columns * BLOCK, edge // 2
    full = np.empty((phases, height + 2 * edge, width + 2 * edge, 2), np.int16)
    second = np.empty((1, height // 2 + 2 * half, width // 2 + 2 * half, 2) if smaller else 0, np.int16)
    quarter = np.empty((height // COARSE, width // COARSE) if smaller else 0, np.int16)
    kernels.pyramid(
        np.ascontiguousarray(frame), np.zeros(0, np.uint8) if other is None else np.ascontiguousarray(other), fraction,
        *frame.shape[:2], edge, np.array(CHANNEL_SCALES), COARSE_UNIT / UNIT, full, second, quarter,
    )  # fmt: skip
    return (
        PyramidLevel(full, subpel, BLOCK, WINDOW_SIZE, edge, rows, columns),
        PyramidLevel(second, 1, BLOCK // 2, WINDOW_SIZE // 2, half, rows, columns),
        quarter,
    )


def _planes(frame: Floats) -> Floats:
    """Channels (channels, height, width) padded to complete blocks, in units of 1 / UNIT."""
    height, width = frame.shape[:2]
    pad = ((0, -height % BLOCK), (0, -width % BLOCK))
    red, green, blue = np.moveaxis(frame, -1, 0)
    planes = (red + green + blue) * CHANNEL_SCALES[0], (red - blue) * CHANNEL_SCALES[1]
    return np.stack([np.pad(plane, pad, mode="edge") for plane in planes])


def _level(planes: Floats, scale: int, subpel: int, edge: int, phases: int = 1) -> PyramidLevel:
    """Level of planes (channels, height, width) at 1 / scale; `edge` is in pixels at full resolution."""
    edge //= scale
    block = BLOCK // scale
    padded = np.pad(planes, ((0, 0), (edge, edge), (edge, edge)), mode="edge")
    samples = np.ascontiguousarray(np.moveaxis(np.rint(padded).astype(np.int16), 0, -1))
    rows, columns = planes.shape[1] // block, planes.shape[2] // block
    every = with_half_pixels(samples) if phases > 1 else samples[None]
    return PyramidLevel(every, subpel, block, WINDOW_SIZE // scale, edge, rows, columns)


def with_half_pixels(samples: Shorts) -> Shorts:
    """A padded picture (height, width, 2) with its samples half a pixel to the right, below, and both: (4, …)."""
    right = _half_pel(samples, 1)
    return np.stack([samples, right, _half_pel(samples, 0), _half_pel(right, 0)])


def _half_pel(samples: Shorts, axis: int) -> Shorts:
    """Samples half a pixel further along an axis; at the ends, where all are equal, the samples themselves."""
    out, count = samples.copy(), samples.shape[axis]
    parts = [samples.take(range(k, count - 5 + k), axis).astype(np.int32) for k in range(6)]
    filtered = (sum(int(tap) * part for tap, part in zip(HALF_TAPS, parts, strict=True)) + 16) >> 5
    low, high = np.array([0, -MAX_DIFFERENCE]), np.array([MAX_SUM, MAX_DIFFERENCE])
    at = (slice(2, count - 3), slice(None)) if axis == 0 else (slice(None), slice(2, count - 3))
    out[at] = np.clip(filtered, low, high)
    return out


def _downscale(planes: Floats, scale: int) -> Floats:
    """Downscale by the mean of `scale`² pixels; adding slices is ten times faster in NumPy than reducing small axes."""
    lines = planes[:, ::scale]
    for move in range(1, scale):
        lines = lines + planes[:, move::scale]
    out = lines[..., ::scale]
    for move in range(1, scale):
        out = out + lines[..., move::scale]
    return out * np.float32(1 / scale**2)
