"""From surfaces to choices: one price of a bit for all clips, then exchanges for what is left over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dfccodec.codec.rate_control.rd_model import OperatingPoint, RDModel

_CHEAPEST, _DEAREST = 1e-9, 1e6
"""Prices of a bit, in squared error of samples in 0…1, between which every choice lies."""
_HALVINGS = 40
_WORST = 1e9
"""Added to a miss that no other may be preferred to."""
_NEAR_QP, _NEAR_KEPT = 3, 1.5
"""How far from a choice an exchange may go: predictions hold near a measured point."""


@dataclass(frozen=True)
class TargetInterval:
    """A total to reach: of bytes (`of` 0) or of squared error (`of` 1), at `aim`, good from `low` to `high`."""

    of: int
    aim: float
    low: float
    high: float

    def miss(self, total: float) -> float:
        """How far a total lies outside, as a share of the aim; 0 inside. Too much error is the worst."""
        missed = max(self.low - total, total - self.high, 0.0) / max(self.aim, 1e-9)
        return missed + _WORST if self.of == 1 and total > self.high else missed


def best_at_lambda(surface: RDModel, rd_lambda: float) -> int:
    """Number of the choice that is best when one bit must save `rd_lambda`."""
    front = surface.convex_hull()
    return int(front.numbers[np.argmin(front.errors + rd_lambda * 8 * front.sizes)])


def totals(rd_models: Sequence[RDModel], numbers: Sequence[int]) -> tuple[float, float]:
    """Bytes and squared error of a choice for every clip."""
    costs = [(s.predicted()[0][n], s.predicted()[1][n]) for s, n in zip(rd_models, numbers, strict=True)]
    return sum(float(c[0]) for c in costs), sum(float(c[1]) for c in costs)


def solve_lambda(rd_models: Sequence[RDModel], goal: TargetInterval) -> float:
    """The price at which the total of all clips is nearest to the aim, by bisection."""
    low, high = math.log(_CHEAPEST), math.log(_DEAREST)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        total = sum(_at_price(s, math.exp(middle))[goal.of] for s in rd_models)
        dearer = total > goal.aim if goal.of == 0 else total < goal.aim
        low, high = (middle, high) if dearer else (low, middle)
    return math.exp((low + high) / 2)


def _at_price(surface: RDModel, rd_lambda: float) -> tuple[float, float]:
    front = surface.convex_hull()
    best = np.argmin(front.errors + rd_lambda * 8 * front.sizes)
    return float(front.sizes[best]), float(front.errors[best])


def swap_one_point(
    rd_models: Sequence[RDModel], numbers: Sequence[int], goal: TargetInterval, rd_lambda: float
) -> list[int]:
    """The choices after one exchange that brings the total to the aim, where one does.

    Of all points near those chosen, the cheapest (error + price · bits) that ends in the middle half of what the goal
    allows; where none does, the one that ends nearest to the aim. A single clip's hull has gaps of a tenth and more,
    and a QP is 5 % of the bytes: only numbers of frames and QPs together are fine enough.
    """
    gap = goal.aim - totals(rd_models, numbers)[goal.of]
    slack = (goal.high - goal.low) / 4
    best: tuple[bool, float] = (abs(gap) > slack, 0.0 if abs(gap) <= slack else abs(gap))
    out = list(numbers)
    for clip, (surface, now) in enumerate(zip(rd_models, numbers, strict=True)):
        there = _near(surface, surface.choices[now])
        sizes, errors = surface.predicted()
        rise = (sizes, errors)[goal.of][there] - (sizes, errors)[goal.of][now]
        worse = errors[there] - errors[now] + rd_lambda * 8 * (sizes[there] - sizes[now])
        off = np.abs(gap - rise)
        score = np.where(off <= slack, worse, off)
        order = np.lexsort((score, off > slack))[0]
        found = bool(off[order] > slack), float(score[order])
        if found < best:
            best, out = found, list(numbers)
            out[clip] = int(there[order])
    return out


def _near(surface: RDModel, choice: OperatingPoint) -> np.ndarray:
    """Numbers of the choices near one."""
    kept = surface.kept
    near = (kept <= max(choice.kept * _NEAR_KEPT, choice.kept + 1)) & (kept >= choice.kept / _NEAR_KEPT - 1)
    qps = np.arange(max(choice.qp - _NEAR_QP, 0), choice.qp + _NEAR_QP + 1)
    per = len(surface.choices) // len(kept)
    qps = qps[qps < per]
    out: np.ndarray = (np.flatnonzero(near)[:, None] * per + qps).ravel()
    return out
