"""Budgets, the rules that choose the kept frames: top-K, a share, Bernoulli, threshold, all, or by content."""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from dfccodec.errors import UsageError
from dfccodec.limits import MAX_CLIP_FRAMES

_FORMS = "8 (of 32) | 25% | all | bernoulli | bernoulli:0.185 | threshold | threshold:0.5 | auto | auto:1.5:2,4,8"


BUDGET_FRAMES = 32
"""Number of frames that a top-K budget refers to: 8 means 8 of 32."""

AUTO_RATES, AUTO_WEIGHT = (4, 8, 16), 1.5
"""Default temporal rates and weight of budget `auto`."""


@dataclass(frozen=True)
class Budget:
    """A rule that chooses the kept frames by their importance.

    Args:
        kind: "top", "share", "all", "bernoulli", "threshold" or "auto".
        value: for "top" frames of 32; for "share" a share in 0…1; for "bernoulli" the mean rate in 0…1 (0: the
            importance of each frame is its probability); for "threshold" the importance above which a frame is kept;
            for "auto" the weight of a doubling of the temporal rate (`codec.rate_control.temporal_rate`).
        rates: for "auto", the temporal rates to choose from, in frames per kept frame, ascending.
    """

    kind: str
    value: float = 0.0
    rates: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read the `--budget` option.

        Raises:
            UsageError: the text is not a budget.
        """
        text = text.strip().lower()
        if text == "all":
            return cls("all")
        if text == "bernoulli":
            return cls("bernoulli")
        if text == "threshold":
            return cls("threshold", 0.5)
        if re.fullmatch(r"\d{1,9}", text) and 0 < int(text) <= BUDGET_FRAMES:
            return cls("top", int(text))
        if (m := re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", text)) and 0 < float(m[1]) <= 100:
            return cls("share", float(m[1]) / 100)
        if (m := re.fullmatch(r"(bernoulli|threshold):(\d*\.?\d+)", text)) and 0 < float(m[2]) <= 1:
            return cls(m[1], float(m[2]))
        if m := re.fullmatch(r"auto(?::(\d*\.?\d+)(?::(\d{1,2}(?:,\d{1,2})*))?)?", text):
            rates = tuple(sorted({int(c) for c in m[2].split(",")})) if m[2] else AUTO_RATES
            if rates[0] >= 1 and rates[-1] <= MAX_CLIP_FRAMES:
                return cls("auto", float(m[1]) if m[1] else AUTO_WEIGHT, rates)
        if re.fullmatch(r"\d+", text):
            raise UsageError(f"budget {text} is out of range (kept frames of {BUDGET_FRAMES}): give one of {_FORMS}")
        raise UsageError(f"budget {text!r} is not understood; give one of: {_FORMS}")

    @classmethod
    def of(cls, budget: str | float | Budget) -> Budget:
        """A budget from a budget, a text or a number: 8 is `8`, 0.25 is `25%`, and 1.0 is all, but 1 is one frame.

        Raises:
            UsageError: as :meth:`parse`.
        """
        if isinstance(budget, Budget):
            return budget
        if isinstance(budget, float) and 0 < budget <= 1:
            return cls.parse(f"{100 * budget:g}%")
        return cls.parse(str(int(budget) if isinstance(budget, float) and budget.is_integer() else budget))

    def __str__(self) -> str:
        """The text that :meth:`parse` reads as this budget."""
        if self.kind == "top":
            return str(int(self.value))
        if self.kind == "share":
            return f"{self.value * 100:g}%"
        if self.kind == "all" or (self.kind == "bernoulli" and not self.value):
            return self.kind
        if self.kind == "auto" and self.rates != AUTO_RATES:
            return f"auto:{self.value:g}:{','.join(map(str, self.rates))}"
        return f"{self.kind}:{self.value:g}"

    def count(self, frames: int, clip_frames: int) -> int | None:
        """Number of kept frames of a clip; None if it depends on their importance."""
        if self.kind == "top":
            whole = max(clip_frames, BUDGET_FRAMES)  # clips of large pictures are shorter; 8 means 8 of 32 there too
            return max(1, min(frames, _round_half_up(min(self.value, whole) * frames / whole)))
        return max(1, _round_half_up(self.value * frames)) if self.kind == "share" else None

    def choose(self, importance: np.ndarray, clip_frames: int, rng: np.random.Generator) -> np.ndarray:
        """Choose the frames of a clip to keep; at least one.

        Args:
            importance: (T,) uint8 as stored in the file, so that `trim` makes the same choice later.
            clip_frames: frames of a full clip; a shorter clip gets its share of a top-K budget.
            rng: random numbers for a Bernoulli budget; otherwise unused.

        Returns:
            (T,) bool.

        Raises:
            UsageError: the budget is `auto`, which needs more than importance.
        """
        frames = len(importance)
        if self.kind == "all":
            return np.ones(frames, bool)
        if (count := self.count(frames, clip_frames)) is not None:
            return top_k(importance, count)
        if self.kind == "auto":
            raise UsageError(f"budget {self} needs the frames themselves: only encode accepts it")
        if self.kind == "threshold":
            kept = importance > self.value * 255
        else:
            p = importance / 255
            kept = rng.random(frames) < (scale_to_mean(p, self.value) if self.value else p)
        return kept if kept.any() else top_k(importance, 1)


def _round_half_up(x: float) -> int:
    return int(x + 0.5)


def top_k(importance: np.ndarray, count: int) -> np.ndarray:
    """The `count` highest of (T,) as (T,) bool; ties go to the earlier frame."""
    order = np.argsort(-importance.astype(np.int64), kind="stable")
    kept = np.zeros(len(importance), bool)
    kept[order[:count]] = True
    return kept


def scale_to_mean(p: np.ndarray, rate: float) -> np.ndarray:
    """Shift the logits of probabilities (T,) until their mean is `rate`; their order stays."""
    logits = np.log(np.clip(p, 1e-4, 1 - 1e-4) / np.clip(1 - p, 1e-4, 1 - 1e-4))
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        if float((1 / (1 + np.exp(-(logits + middle)))).mean()) < rate:
            low = middle
        else:
            high = middle
    out: np.ndarray = 1 / (1 + np.exp(-(logits + high)))
    return out


def is_whole(value: object) -> bool:
    """Whether a value of any type is an integer, including NumPy's, excluding bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether a value of any type is a real number, excluding bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_seed(seed: int) -> None:
    """Check a random seed.

    Raises:
        UsageError: it is not a whole number, or below 0.
    """
    if not is_whole(seed) or seed < 0:
        raise UsageError(f"seed {seed!r} is out of range: give a whole number, 0 or more")
