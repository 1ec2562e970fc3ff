"""Model of rate and distortion of a clip over (kept frames, QP), fitted to a few trial encodes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.limits import MAX_QP

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OperatingPoint:
    """Operating point of a clip: number of kept frames and QP."""

    kept: int
    qp: int


@dataclass(frozen=True)
class RDCost:
    """Cost of an operating point: `size` in bytes of the file, `error` as the sum of squared errors of samples in
    0…1."""

    size: float
    error: float


# Prior coefficients of log2: constant, per 8 QPs, per doubling of kept frames, their product, their squares.
_SIZE = np.array([0.0, -0.9, 0.4, -0.1, -0.1, 0.1])
_ERROR = np.array([0.0, 0.8, -0.3, 0.0, 0.15, 0.1])
_PRIOR_WEIGHT = np.array([1e-6, 0.2, 0.2, 0.4, 0.4, 0.4])
"""Weight of the prior against measured points."""
_CORRELATION_LENGTH = 2.5
"""Correlation length of the residuals, in units of 8 QPs or a doubling of kept frames."""
_MAX_DISTANCE = 1.0
"""Maximum distance of an operating point from the nearest measured one; each new measurement extends the range."""
_MIN_ERROR = 1e-6
_MONOTONIC_FROM = 30
"""A QP at which both quadratics are still monotonic."""


@dataclass(frozen=True)
class RDHull:
    """Lower convex hull: numbers of the operating points, sizes ascending, errors descending."""

    numbers: npt.NDArray[np.intp]
    sizes: Floats
    errors: Floats


@dataclass(frozen=True)
class _PointGrid:
    kept: npt.NDArray[np.int64]
    choices: list[OperatingPoint]
    numbers: dict[OperatingPoint, int]
    coordinates: Floats


@lru_cache(4)
def _point_grid(kept: tuple[int, ...]) -> _PointGrid:
    """All operating points for these numbers of kept frames; shared by all clips with the same numbers."""
    grid = np.stack(np.meshgrid(np.array(kept), np.arange(MAX_QP + 1), indexing="ij"), axis=-1).reshape(-1, 2)
    choices = [OperatingPoint(int(k), int(q)) for k, q in grid]
    return _PointGrid(np.array(kept), choices, {choice: n for n, choice in enumerate(choices)}, _coordinates(grid))


class RDModel:
    """Size and error of a clip at all its operating points.

    The logarithms of both are nearly quadratic in the QP and the logarithm of the number of kept frames. A quadratic is
    fitted to the measured points, and its residuals are interpolated by a Gaussian process with that mean, so that the
    model is exact at every measured point. Six points predict the others of a 32-frame clip within 10 % of the size and
    0.45 dB (root mean square over four clips, QP 16 to 40, 2 to 32 kept frames).

    Args:
        frames: frames of the clip.
        kept: allowed numbers of kept frames, ascending; all by default.
    """

    def __init__(self, frames: int, kept: list[int] | None = None) -> None:
        self.grid = _point_grid(tuple(kept or range(1, frames + 1)))
        self.measured: dict[OperatingPoint, RDCost] = {}
        self._predicted: tuple[Floats, Floats] | None = None
        self._hull: RDHull | None = None

    @property
    def kept(self) -> npt.NDArray[np.int64]:
        """Allowed numbers of kept frames."""
        return self.grid.kept

    @property
    def choices(self) -> list[OperatingPoint]:
        """All operating points, by kept frames and then by QP."""
        return self.grid.choices

    def add(self, choice: OperatingPoint, cost: RDCost) -> None:
        """Add a measured operating point."""
        self.measured[choice] = cost
        self._predicted = self._hull = None

    def predicted(self) -> tuple[Floats, Floats]:
        """Predicted sizes and errors of `choices`, both (N,); exact at measured points."""
        if self._predicted is None:
            self._predicted = self._predict()
        return self._predicted

    def _points(self) -> Floats:
        return _coordinates(np.array([(c.kept, c.qp) for c in self.measured]))

    def _predict(self) -> tuple[Floats, Floats]:
        points = self._points()
        costs = list(self.measured.values())
        sizes = _predict_at(points, np.array([c.size for c in costs]), self.grid.coordinates, _SIZE)
        errors = _predict_at(points, np.array([max(c.error, _MIN_ERROR) for c in costs]), self.grid.coordinates, _ERROR)
        sizes, errors = self._monotonic(sizes, 1), self._monotonic(errors, -1)
        for choice, cost in self.measured.items():
            if (number := self.grid.numbers.get(choice)) is not None:
                sizes[number], errors[number] = cost.size, cost.error
        return sizes, errors

    def _monotonic(self, values: Floats, sign: int) -> Floats:
        """Make sizes non-increasing, or errors (`sign` -1) non-decreasing, over the QP."""
        grid = sign * values.reshape(len(self.kept), -1)
        np.maximum.accumulate(grid[:, _MONOTONIC_FROM::-1], axis=1, out=grid[:, _MONOTONIC_FROM::-1])
        np.minimum.accumulate(grid[:, _MONOTONIC_FROM:], axis=1, out=grid[:, _MONOTONIC_FROM:])
        out: Floats = sign * grid.ravel()
        return out

    def convex_hull(self) -> RDHull:
        """The lower convex hull of error over size, among the operating points near a measured one.

        It is small, unlike `predicted`: an hour of video has thousands of models.
        """
        if self._hull is None:
            sizes, errors = self._predicted or self._predict()
            away = _distance(self.grid.coordinates, self._points()).min(axis=1)
            there = np.flatnonzero(away <= _MAX_DISTANCE)
            hull = there[lower_hull(sizes[there], errors[there])]
            self._hull = RDHull(hull, sizes[hull], errors[hull])
        return self._hull


def lower_hull(sizes: Floats, errors: Floats) -> npt.NDArray[np.intp]:
    """Numbers of the points that are optimal for some λ, sizes ascending and errors descending."""
    hull: list[int] = []
    for new in np.lexsort((errors, sizes)).tolist():
        if hull and errors[new] >= errors[hull[-1]]:
            continue
        while len(hull) > 1 and _above(sizes, errors, hull[-2], hull[-1], new):
            hull.pop()
        hull.append(new)
    return np.array(hull, np.intp)


def _above(sizes: Floats, errors: Floats, a: int, b: int, c: int) -> bool:
    """Whether point `b` lies on or above the line from `a` to `c`."""
    left = (errors[b] - errors[a]) * (sizes[c] - sizes[a])
    return bool(left >= (errors[c] - errors[a]) * (sizes[b] - sizes[a]))


def _coordinates(points: npt.NDArray[np.int64]) -> Floats:
    """Map kept frames and QP (N, 2) to coordinates (N, 2) in units of 8 QPs and of a doubling, centred at 0."""
    out: Floats = np.stack([points[:, 1] / 8 - 3, np.log2(points[:, 0]) - 3], axis=1)
    return out


def _features(coordinates: Floats) -> Floats:
    q, k = coordinates.T
    return np.column_stack([np.ones(len(coordinates)), q, k, q * k, q * q, k * k])


def _predict_at(points: Floats, values: Floats, coordinates: Floats, prior: Floats) -> Floats:
    """Interpolate values at `points` (P, 2) to `coordinates` (N, 2), in the logarithmic domain."""
    y = np.log2(values)
    x = _features(points)
    start = prior.copy()
    start[0] = y.mean()
    weights = start + np.linalg.solve(x.T @ x + np.diag(_PRIOR_WEIGHT), x.T @ (y - x @ start))
    rest = np.linalg.solve(_kernel(points, points) + 1e-6 * np.eye(len(points)), y - x @ weights)
    out: Floats = 2 ** np.clip(_features(coordinates) @ weights + _kernel(coordinates, points) @ rest, -60, 60)
    return out


def _distance(a: Floats, b: Floats) -> Floats:
    out: Floats = np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=-1))
    return out


def _kernel(a: Floats, b: Floats) -> Floats:
    """Matérn kernel (3/2) between two sets of coordinates."""
    d = _distance(a, b) * (np.sqrt(3) / _CORRELATION_LENGTH)
    out: Floats = (1 + d) * np.exp(-d)
    return out
