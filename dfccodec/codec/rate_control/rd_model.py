"""What any number of kept frames at any QP costs a clip, from a few points that were really coded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfccodec.limits import MAX_QP

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OperatingPoint:
    """An operating point of a clip: `kept` of its frames, at `qp`."""

    kept: int
    qp: int


@dataclass(frozen=True)
class RDCost:
    """What a point costs: `size` in bytes of the file, `error` squared, of samples in 0…1 added up."""

    size: float
    error: float


# log2 that a clip starts from: a constant, per 8 QPs, per doubling of frames, their product, and their squares.
_SIZE = np.array([0.0, -0.9, 0.4, -0.1, -0.1, 0.1])
_ERROR = np.array([0.0, 0.8, -0.3, 0.0, 0.15, 0.1])
_TRUST = np.array([1e-6, 0.2, 0.2, 0.4, 0.4, 0.4])
"""How much of that holds against measured points."""
_REACH = 2.5
"""Distance, in units of 8 QPs or a doubling, at which a measured point has lost most of its say."""
_TRUSTED = 1.0
"""Distance from the nearest measured point at which a choice may still be made; measuring there lets it go further."""
_SMALLEST = 1e-6
_MIDDLE = 30
"""A QP at which neither quadratic has turned."""


@dataclass(frozen=True)
class RDHull:
    """Points that are best for some price of a bit: their numbers, sizes ascending, and errors falling."""

    numbers: npt.NDArray[np.intp]
    sizes: Floats
    errors: Floats


@dataclass(frozen=True)
class _Lattice:
    kept: npt.NDArray[np.int64]
    choices: list[OperatingPoint]
    numbers: dict[OperatingPoint, int]
    places: Floats


@lru_cache(4)
def _lattice(kept: tuple[int, ...]) -> _Lattice:
    """All points of clips that may keep these numbers of frames; shared by such clips."""
    grid = np.stack(np.meshgrid(np.array(kept), np.arange(MAX_QP + 1), indexing="ij"), axis=-1).reshape(-1, 2)
    choices = [OperatingPoint(int(k), int(q)) for k, q in grid]
    return _Lattice(np.array(kept), choices, {choice: n for n, choice in enumerate(choices)}, _place(grid))


class RDModel:
    """Sizes and errors of a clip over all its operating points.

    In logarithms both bend little over the QP and the logarithm of frames kept. A quadratic is fitted to the measured
    points, and what they differ from it is spread around them (a Gaussian process with that mean), so that the surface
    goes through every one of them. Six points predict the others of a 32-frame clip to 10 % of their size and 0.45 dB
    (root mean square over four clips, QP 16 to 40, 2 to 32 kept).

    Args:
        frames: of the clip.
        kept: numbers of kept frames that may be chosen, ascending; all of them by default.
    """

    def __init__(self, frames: int, kept: list[int] | None = None) -> None:
        self.lattice = _lattice(tuple(kept or range(1, frames + 1)))
        self.measured: dict[OperatingPoint, RDCost] = {}
        self._predicted: tuple[Floats, Floats] | None = None
        self._front: RDHull | None = None

    @property
    def kept(self) -> npt.NDArray[np.int64]:
        """Numbers of kept frames that may be chosen."""
        return self.lattice.kept

    @property
    def choices(self) -> list[OperatingPoint]:
        """All points, by kept frames and then by QP."""
        return self.lattice.choices

    def add(self, choice: OperatingPoint, cost: RDCost) -> None:
        """A point that was really coded."""
        self.measured[choice] = cost
        self._predicted = self._front = None

    def predicted(self) -> tuple[Floats, Floats]:
        """Sizes and errors of `choices`, both (N,); exact where they were measured."""
        if self._predicted is None:
            self._predicted = self._predict()
        return self._predicted

    def _points(self) -> Floats:
        return _place(np.array([(c.kept, c.qp) for c in self.measured]))

    def _predict(self) -> tuple[Floats, Floats]:
        points = self._points()
        costs = list(self.measured.values())
        sizes = _spread(points, np.array([c.size for c in costs]), self.lattice.places, _SIZE)
        errors = _spread(points, np.array([max(c.error, _SMALLEST) for c in costs]), self.lattice.places, _ERROR)
        sizes, errors = self._straightened(sizes, 1), self._straightened(errors, -1)
        for choice, cost in self.measured.items():
            if (number := self.lattice.numbers.get(choice)) is not None:
                sizes[number], errors[number] = cost.size, cost.error
        return sizes, errors

    def _straightened(self, values: Floats, sign: int) -> Floats:
        """Sizes never rise with the QP and errors (`sign` -1) never fall, where a quadratic would turn."""
        grid = sign * values.reshape(len(self.kept), -1)
        np.maximum.accumulate(grid[:, _MIDDLE::-1], axis=1, out=grid[:, _MIDDLE::-1])
        np.minimum.accumulate(grid[:, _MIDDLE:], axis=1, out=grid[:, _MIDDLE:])
        out: Floats = sign * grid.ravel()
        return out

    def convex_hull(self) -> RDHull:
        """The `choices` on the lower convex hull of error over size, of those not far from a measured point.

        Small, where `predicted` is not: an hour of video has thousands of surfaces.
        """
        if self._front is None:
            sizes, errors = self._predicted or self._predict()
            away = _distance(self.lattice.places, self._points()).min(axis=1)
            there = np.flatnonzero(away <= _TRUSTED)
            hull = there[lower_hull(sizes[there], errors[there])]
            self._front = RDHull(hull, sizes[hull], errors[hull])
        return self._front


def lower_hull(sizes: Floats, errors: Floats) -> npt.NDArray[np.intp]:
    """Points that are best for some price of a bit: their numbers, sizes ascending and errors falling."""
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


def _place(points: npt.NDArray[np.int64]) -> Floats:
    """(N, 2) kept and QP -> (N, 2) on scales of a doubling and of 8 QPs, about 0."""
    out: Floats = np.stack([points[:, 1] / 8 - 3, np.log2(points[:, 0]) - 3], axis=1)
    return out


def _features(places: Floats) -> Floats:
    q, k = places.T
    return np.column_stack([np.ones(len(places)), q, k, q * k, q * q, k * k])


def _spread(points: Floats, values: Floats, places: Floats, prior: Floats) -> Floats:
    """Values at `points` (P, 2) -> at `places` (N, 2), all in logarithms on the way."""
    y = np.log2(values)
    x = _features(points)
    start = prior.copy()
    start[0] = y.mean()
    weights = start + np.linalg.solve(x.T @ x + np.diag(_TRUST), x.T @ (y - x @ start))
    rest = np.linalg.solve(_near(points, points) + 1e-6 * np.eye(len(points)), y - x @ weights)
    out: Floats = 2 ** np.clip(_features(places) @ weights + _near(places, points) @ rest, -60, 60)
    return out


def _distance(a: Floats, b: Floats) -> Floats:
    out: Floats = np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=-1))
    return out


def _near(a: Floats, b: Floats) -> Floats:
    """Matérn kernel (3/2) of two sets of places."""
    d = _distance(a, b) * (np.sqrt(3) / _REACH)
    out: Floats = (1 + d) * np.exp(-d)
    return out
