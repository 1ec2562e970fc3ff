"""Lagrangian bit allocation: one λ for all clips, then single swaps to meet the target exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dfccodec.codec.rate_control.rd_model import OperatingPoint, RDModel

_MIN_LAMBDA, _MAX_LAMBDA = 1e-9, 1e6
"""Search interval of λ, in squared error (of samples in 0…1) per bit."""
_BISECTIONS = 40
_QUALITY_PENALTY = 1e9
"""Added to the miss of a total with too much error, so that any other is preferred."""
_NEAR_QP, _NEAR_KEPT = 3, 1.5
"""Maximum distance of a swap from the current point: predictions are good near measured points."""


@dataclass(frozen=True)
class TargetInterval:
    """Target of a total: of bytes (`quantity` 0) or of squared error (`quantity` 1), aimed at `aim`, met from `low` to
    `high`."""

    quantity: int
    aim: float
    low: float
    high: float

    def miss(self, total: float) -> float:
        """Distance of a total from the interval, relative to the aim; 0 inside. Too much error counts most."""
        missed = max(self.low - total, total - self.high, 0.0) / max(self.aim, 1e-9)
        return missed + _QUALITY_PENALTY if self.quantity == 1 and total > self.high else missed


def best_at_lambda(rd_model: RDModel, rd_lambda: float) -> int:
    """Number of the operating point with the least D + λR."""
    hull = rd_model.convex_hull()
    return int(hull.numbers[np.argmin(hull.errors + rd_lambda * 8 * hull.sizes)])


def totals(rd_models: Sequence[RDModel], numbers: Sequence[int]) -> tuple[float, float]:
    """Total bytes and squared error of one operating point per clip."""
    costs = [(s.predicted()[0][n], s.predicted()[1][n]) for s, n in zip(rd_models, numbers, strict=True)]
    return sum(float(c[0]) for c in costs), sum(float(c[1]) for c in costs)


def solve_lambda(rd_models: Sequence[RDModel], goal: TargetInterval) -> float:
    """The λ at which the total of all clips is nearest to the aim, by bisection."""
    low, high = math.log(_MIN_LAMBDA), math.log(_MAX_LAMBDA)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        total = sum(_cost_at_lambda(s, math.exp(middle))[goal.quantity] for s in rd_models)
        is_too_low = total > goal.aim if goal.quantity == 0 else total < goal.aim
        low, high = (middle, high) if is_too_low else (low, middle)
    return math.exp((low + high) / 2)


def _cost_at_lambda(rd_model: RDModel, rd_lambda: float) -> tuple[float, float]:
    hull = rd_model.convex_hull()
    best = np.argmin(hull.errors + rd_lambda * 8 * hull.sizes)
    return float(hull.sizes[best]), float(hull.errors[best])


def swap_one_point(
    rd_models: Sequence[RDModel], numbers: Sequence[int], goal: TargetInterval, rd_lambda: float
) -> list[int]:
    """Swap the operating point of one clip so that the total meets the goal, if that helps.

    Among the points near the current ones, take the one with the least D + λR whose total is in the middle half of the
    goal's interval; if there is none, the one whose total is nearest to the aim. The hull of one clip has gaps of 10 %
    and more, and one QP is 5 % of the bytes: only kept frames and QP together are fine enough.
    """
    gap = goal.aim - totals(rd_models, numbers)[goal.quantity]
    slack = (goal.high - goal.low) / 4
    best: tuple[bool, float] = (abs(gap) > slack, 0.0 if abs(gap) <= slack else abs(gap))
    out = list(numbers)
    for clip, (rd_model, now) in enumerate(zip(rd_models, numbers, strict=True)):
        there = _near(rd_model, rd_model.choices[now])
        sizes, errors = rd_model.predicted()
        rise = (sizes, errors)[goal.quantity][there] - (sizes, errors)[goal.quantity][now]
        worse = errors[there] - errors[now] + rd_lambda * 8 * (sizes[there] - sizes[now])
        off = np.abs(gap - rise)
        score = np.where(off <= slack, worse, off)
        order = np.lexsort((score, off > slack))[0]
        found = bool(off[order] > slack), float(score[order])
        if found < best:
            best, out = found, list(numbers)
            out[clip] = int(there[order])
    return out


def _near(rd_model: RDModel, choice: OperatingPoint) -> np.ndarray:
    """Numbers of the operating points near one."""
    kept = rd_model.kept
    near = (kept <= max(choice.kept * _NEAR_KEPT, choice.kept + 1)) & (kept >= choice.kept / _NEAR_KEPT - 1)
    qps = np.arange(max(choice.qp - _NEAR_QP, 0), choice.qp + _NEAR_QP + 1)
    per = len(rd_model.choices) // len(kept)
    qps = qps[qps < per]
    out: np.ndarray = (np.flatnonzero(near)[:, None] * per + qps).ravel()
    return out
