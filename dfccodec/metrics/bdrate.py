"""Bjøntegaard delta rate (BD-rate): mean bit rate difference between two codecs at equal quality.

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
"""(rate, quality) pairs in any order. The rate is positive, in any unit; a higher quality is better."""

_Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class BdRate:
    """A BD-rate, or the reason why it is undefined.

    Args:
        percent: mean rate of the test relative to the anchor, minus 100 %; -50 is half the rate. NaN if undefined.
        low, high: interval of quality that both curves cover; NaN if there is none.
        share: share of the total quality range that this interval covers, 0 to 1.
        reason: reason why `percent` is NaN; empty otherwise.
    """

    percent: float
    low: float
    high: float
    share: float
    reason: str = ""


def bd_rate(anchor: Points, test: Points, min_share: float = 0.0) -> BdRate:
    """Compute the mean difference of log rate between two curves, over the quality interval that both cover.

    Curves are not extrapolated: without a common interval, the BD-rate is undefined. Log rate is interpolated over
    quality with monotone cubics (PCHIP), which are integrated exactly.

    Args:
        anchor, test: at least two points each. Quality must increase strictly with rate.
        min_share: minimum share of the total quality range that the common interval must cover, 0 to 1.

    Returns:
        the BD-rate of `test` relative to `anchor`; NaN with a reason if undefined.

    Raises:
        UsageError: a rate is not positive, or a number is not finite.
    """
    curves = []
    for name, points in (("anchor", anchor), ("test", test)):
        rate, quality = _sort_points(points)
        if len(rate) < 2:
            return _undefined(f"the {name} curve has {len(rate)} point(s), but two are needed")
        if not (np.diff(quality) > 0).all():
            return _undefined(f"quality of the {name} curve does not increase with its rate")
        curves.append((quality, np.log(rate)))
    (qa, ra), (qt, rt) = curves
    low, high = max(qa[0], qt[0]), min(qa[-1], qt[-1])
    share = float(max(high - low, 0) / (max(qa[-1], qt[-1]) - min(qa[0], qt[0])))
    if high <= low:
        spans = f"{qa[0]:.4g} to {qa[-1]:.4g} and {qt[0]:.4g} to {qt[-1]:.4g}"
        return _undefined(f"the curves have no common quality: {spans}")
    if share < min_share:
        return BdRate(math.nan, float(low), float(high), share, f"the curves share only {share:.0%} of their quality")
    knots = np.unique(np.concatenate([[low, high], qa, qt]))
    knots = knots[(knots >= low) & (knots <= high)]
    # Between knots both curves are cubics, for which Gauss quadrature with two points is exact.
    middle, half = (knots[1:] + knots[:-1]) / 2, (knots[1:] - knots[:-1]) / 2
    area = sum(
        float(((pchip(qt, rt, at) - pchip(qa, ra, at)) * half).sum())
        for at in (middle - half / math.sqrt(3), middle + half / math.sqrt(3))
    )
    return BdRate(100 * math.expm1(area / float(high - low)), float(low), float(high), share)


def pareto_front(points: Points) -> list[tuple[float, float]]:
    """Return the Pareto-optimal points in order of rate; quality increases strictly."""
    out: list[tuple[float, float]] = []
    for rate, quality in sorted(points, key=lambda p: (p[0], -p[1])):
        if not out or quality > out[-1][1]:
            out.append((rate, quality))
    return out


def envelope(curves: Sequence[Points], samples: int = 64) -> list[tuple[float, float]]:
    """Return the Pareto front of several curves: the best quality at every rate if the codec can choose a curve.

    Each curve is interpolated as in :func:`bd_rate`, between its own points only. A convex hull would include points on
    the line between two curves, which no setting reaches.

    Args:
        curves: points of each curve, in any order; a curve may have a single point.
        samples: number of interpolated points per curve.

    Returns:
        points in order of rate; quality increases strictly.

    Raises:
        UsageError: see :func:`bd_rate`.
    """
    every: list[tuple[float, float]] = []
    for points in curves:
        rate, quality = _sort_points(pareto_front(points))
        if len(rate) > 1:
            at = np.linspace(quality[0], quality[-1], samples + 2)[1:-1]
            every += zip(np.exp(pchip(quality, np.log(rate), at)).tolist(), at.tolist(), strict=True)
        every += zip(rate.tolist(), quality.tolist(), strict=True)
    return pareto_front(every)


def pchip(x: _Numbers, y: _Numbers, at: _Numbers) -> _Numbers:
    """Evaluate the monotone piecewise cubic through (x, y) at `at`; x has at least two strictly increasing values."""
    step = np.diff(x)
    slope = np.diff(y) / step
    d = _point_slopes(step, slope)
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(step) - 1)
    h, t = step[i], (at - x[i]) / step[i]
    curve = d[i] + d[i + 1] - 2 * slope[i]
    bend = 3 * slope[i] - 2 * d[i] - d[i + 1]
    out: _Numbers = y[i] + h * t * (d[i] + t * (bend + t * curve))
    return out


def _point_slopes(step: _Numbers, slope: _Numbers) -> _Numbers:
    """Return the slope at each point: a weighted harmonic mean, three-point estimates at the ends, 0 at extrema."""
    if len(step) == 1:
        return np.repeat(slope, 2)
    d = np.zeros(len(step) + 1)
    same = slope[:-1] * slope[1:] > 0
    w1, w2 = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
    left, right = np.where(same, slope[:-1], 1), np.where(same, slope[1:], 1)
    d[1:-1] = np.where(same, (w1 + w2) / (w1 / left + w2 / right), 0)
    d[0] = _end_slope(step[0], step[1], slope[0], slope[1])
    d[-1] = _end_slope(step[-1], step[-2], slope[-1], slope[-2])
    return d


def _end_slope(h0: float, h1: float, s0: float, s1: float) -> float:
    """Return the slope at an end from the two nearest intervals, limited to keep the curve monotone."""
    d = ((2 * h0 + h1) * s0 - h0 * s1) / (h0 + h1)
    if d * s0 <= 0:
        return 0.0
    return 3 * s0 if s0 * s1 <= 0 and abs(d) > abs(3 * s0) else d


def _sort_points(points: Points) -> tuple[_Numbers, _Numbers]:
    """Return rates and qualities in order of rate."""
    array = np.array(sorted(points), np.float64).reshape(-1, 2)
    if not np.isfinite(array).all() or (array[:, 0] <= 0).any():
        raise UsageError("a point of a curve is not finite, or its rate is not positive: remove it")
    return array[:, 0], array[:, 1]


def _undefined(reason: str) -> BdRate:
    return BdRate(math.nan, math.nan, math.nan, 0.0, reason)
