"""Bjøntegaard's delta rate: how many bits one codec needs more or less than another for the same quality.

Sources: G. Bjøntegaard, "Calculation of average PSNR differences between RD-curves", VCEG-M33, 2001; piecewise cubic
instead of one polynomial as in JCTVC-L1100 and ITU-T HSTP-VID-WPOM (2020); slopes by F. N. Fritsch and J. Butland, "A
Method for Constructing Local Monotone Piecewise Cubic Interpolants", SIAM J. Sci. Stat. Comput. 5(2), 1984.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfccodec.errors import UsageError

Points = Sequence[tuple[float, float]]
"""(rate, quality) pairs in any order; rate above 0 in any unit, quality higher for better."""

_Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class BdRate:
    """A delta rate, or the reason why there is none.

    Args:
        percent: of the anchor's rate, by which the test's differs at equal quality: -50 is half; or NaN.
        low, high: the interval of quality it is the mean over; NaN where there is none.
        share: of the span of quality of both curves together, how much that interval covers: 0 … 1.
        reason: why `percent` is NaN; empty otherwise.
    """

    percent: float
    low: float
    high: float
    share: float
    reason: str = ""


def bd_rate(anchor: Points, test: Points, least_share: float = 0.0) -> BdRate:
    """Mean difference of the logarithm of rate between two curves, over the quality that both reach.

    Nothing is extrapolated: curves that share no quality have no delta rate. Curves are interpolated by monotone cubics
    (PCHIP) of log rate over quality, and the integral of those is exact.

    Args:
        anchor, test: at least two points each. Quality must rise strictly with rate.
        least_share: refuse an overlap that covers less than this share of both curves' span; 0 takes any.

    Returns:
        the delta rate of `test` against `anchor`; where there is none, NaN with the reason.

    Raises:
        UsageError: a rate that is not above 0, or a number that is not finite.
    """
    curves = []
    for name, points in (("anchor", anchor), ("test", test)):
        rate, quality = _sorted(points)
        if len(rate) < 2:
            return _none(f"the {name} curve has {len(rate)} point(s), two are needed")
        if not (np.diff(quality) > 0).all():
            return _none(f"quality of the {name} curve does not rise with its rate")
        curves.append((quality, np.log(rate)))
    (qa, ra), (qt, rt) = curves
    low, high = max(qa[0], qt[0]), min(qa[-1], qt[-1])
    share = float(max(high - low, 0) / (max(qa[-1], qt[-1]) - min(qa[0], qt[0])))
    if high <= low:
        spans = f"{qa[0]:.4g} to {qa[-1]:.4g} and {qt[0]:.4g} to {qt[-1]:.4g}"
        return _none(f"the curves share no quality: {spans}")
    if share < least_share:
        return BdRate(math.nan, float(low), float(high), share, f"the curves share {share:.0%} of their quality only")
    knots = np.unique(np.concatenate([[low, high], qa, qt]))
    knots = knots[(knots >= low) & (knots <= high)]
    # Between knots both are cubics, and Gauss's rule with two points is exact for those.
    middle, half = (knots[1:] + knots[:-1]) / 2, (knots[1:] - knots[:-1]) / 2
    area = sum(
        float(((pchip(qt, rt, at) - pchip(qa, ra, at)) * half).sum())
        for at in (middle - half / math.sqrt(3), middle + half / math.sqrt(3))
    )
    return BdRate(100 * math.expm1(area / float(high - low)), float(low), float(high), share)


def pareto(points: Points) -> list[tuple[float, float]]:
    """The points that no other one beats in both rate and quality, by rising rate: quality rises strictly."""
    out: list[tuple[float, float]] = []
    for rate, quality in sorted(points, key=lambda p: (p[0], -p[1])):
        if not out or quality > out[-1][1]:
            out.append((rate, quality))
    return out


def envelope(curves: Sequence[Points], samples: int = 64) -> list[tuple[float, float]]:
    """What a codec offers that picks, at every rate, the best of several curves.

    Each curve is interpolated as :func:`bd_rate` does it, between its own points only, and the best of all remains. A
    convex hull would also promise what lies on the line between two curves, which no setting gives.

    Args:
        curves: points of each, in any order; a single point counts as itself.
        samples: points taken of each curve, besides its own.

    Returns:
        points by rising rate; quality rises strictly.

    Raises:
        UsageError: as :func:`bd_rate`.
    """
    every: list[tuple[float, float]] = []
    for points in curves:
        rate, quality = _sorted(pareto(points))
        if len(rate) > 1:
            at = np.linspace(quality[0], quality[-1], samples + 2)[1:-1]
            every += zip(np.exp(pchip(quality, np.log(rate), at)).tolist(), at.tolist(), strict=True)
        every += zip(rate.tolist(), quality.tolist(), strict=True)
    return pareto(every)


def pchip(x: _Numbers, y: _Numbers, at: _Numbers) -> _Numbers:
    """The monotone piecewise cubic through (x, y), x rising strictly, at least two points; `at` within them."""
    step = np.diff(x)
    slope = np.diff(y) / step
    d = _slopes(step, slope)
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(step) - 1)
    h, t = step[i], (at - x[i]) / step[i]
    curve = d[i] + d[i + 1] - 2 * slope[i]
    bend = 3 * slope[i] - 2 * d[i] - d[i + 1]
    out: _Numbers = y[i] + h * t * (d[i] + t * (bend + t * curve))
    return out


def _slopes(step: _Numbers, slope: _Numbers) -> _Numbers:
    """Derivative at each point: a weighted harmonic mean inside, three points at the ends; 0 at a turn."""
    if len(step) == 1:
        return np.repeat(slope, 2)
    d = np.zeros(len(step) + 1)
    same = slope[:-1] * slope[1:] > 0
    w1, w2 = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
    left, right = np.where(same, slope[:-1], 1), np.where(same, slope[1:], 1)
    d[1:-1] = np.where(same, (w1 + w2) / (w1 / left + w2 / right), 0)
    d[0] = _end(step[0], step[1], slope[0], slope[1])
    d[-1] = _end(step[-1], step[-2], slope[-1], slope[-2])
    return d


def _end(h0: float, h1: float, s0: float, s1: float) -> float:
    """Derivative at an end, from the two nearest pieces, held to what keeps the curve monotone."""
    d = ((2 * h0 + h1) * s0 - h0 * s1) / (h0 + h1)
    if d * s0 <= 0:
        return 0.0
    return 3 * s0 if s0 * s1 <= 0 and abs(d) > abs(3 * s0) else d


def _sorted(points: Points) -> tuple[_Numbers, _Numbers]:
    """Rates and qualities by rising rate."""
    array = np.array(sorted(points), np.float64).reshape(-1, 2)
    if not np.isfinite(array).all() or (array[:, 0] <= 0).any():
        raise UsageError("a point of a curve is not finite, or its rate is not above 0")
    return array[:, 0], array[:, 1]


def _none(reason: str) -> BdRate:
    return BdRate(math.nan, math.nan, math.nan, 0.0, reason)
