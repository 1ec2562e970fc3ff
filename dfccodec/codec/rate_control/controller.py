"""Whole videos to a target: look at all clips, or at as many as fit, choose, code, and carry on with what is left."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.choose.target import PSNR_TOLERANCE, SIZE_TOLERANCE, Outcome, Target
from dfccodec.codec.clip.encode import ClipCoder
from dfccodec.codec.rate_control import allocation
from dfccodec.codec.rate_control.allocation import TargetInterval
from dfccodec.codec.rate_control.lookahead import Batch, second_pass, window_clips
from dfccodec.codec.rate_control.rd_model import OperatingPoint, RDModel
from dfccodec.codec.rate_control.trial_encodes import ClipTrials
from dfccodec.container.records import Clip
from dfccodec.errors import UsageError
from dfccodec.limits import MAX_QP
from dfccodec.media.picture import Picture

ROUNDS, LAST_ROUNDS, MOST_ROUNDS = 2, 4, 8
"""Times a window's clips are chosen and measured anew: mostly, where the total must be met, and until it is."""
_AIM_ABOVE = 0.05
"""dB over the minimum that a PSNR is aimed at."""
_STRIDE = 8
_NUDGES, _NUDGED = 3, 3
"""QPs that a clip may go further where a total is missed, and how many clips, the largest, are tried."""
_LEAST = 0.1
"""Share of its even part that a stretch of a pipe gets however much was spent before it."""


@dataclass
class _Sums:
    """Of clips: bytes, squared error, samples, ticks."""

    size: float = 0.0
    error: float = 0.0
    samples: int = 0
    ticks: int = 0

    def add(self, batch: Sequence[Picture]) -> None:
        self.samples += len(batch) * batch[0].rgb.size
        self.ticks += sum(p.duration for p in batch)


class RateController:
    """Gives the clips of a video, coded so that it meets a target.

    A video that can be read again is looked at twice: every clip's first points, then all clips with one price of a
    bit. A pipe is looked at window by window, each meeting what the target leaves for the time until its end.

    Args:
        coder: codes clips.
        target: what to reach.
        budget: where the number of frames kept is fixed.
        overhead: bytes of the file beside its clips.
        progress: told how many frames' worth of the work is done.
    """

    def __init__(
        self, coder: ClipCoder, target: Target, budget: Budget | None, overhead: int, progress: Callable[[int], None]
    ) -> None:
        self._coder, self._target, self._budget, self._progress = coder, target, budget, progress
        self._done = _Sums(size=overhead)
        self._tick = float(coder.header.time_base)
        self._window = window_clips(coder.header)

    def clips(self, batches: Iterable[Batch], reopen: Callable[[], Iterable[Batch]] | None) -> Iterator[Clip]:
        """Clips in order.

        Args:
            batches: frames, clip by clip.
            reopen: reads them anew, where that can be done.

        Raises:
            UsageError: a size is wanted of a pipe that is longer than what can be seen ahead.
        """
        rest = iter(batches)
        window = list(itertools.islice(rest, 1 if self._target.kind == "lambda" else self._window))
        ahead = next(rest, None)
        if not window:
            return
        if self._target.kind == "lambda":
            yield from self._fixed_lambda(itertools.chain(window, [ahead] if ahead else [], rest))
        elif ahead is None:
            yield from self._code_window(self._meters(window, 0), [], True, self._summed(window))
            self._progress(sum(map(len, window)))
        elif reopen is not None:
            yield from self._two_pass(itertools.chain(window, [ahead], rest), reopen)
        else:
            yield from self._one_pass(window, ahead, rest)

    def outcome(self) -> Outcome:
        """How it ended; known when all clips were given."""
        done = self._done
        psnr = -10 * math.log10(max(done.error, 1e-9) / max(done.samples, 1))
        rate = done.size * 8 / max(done.ticks * self._tick, 1e-9)
        reached = {"size": done.size, "bitrate": rate, "psnr": psnr, "lambda": self._target.value}
        return Outcome(self._target, reached[self._target.kind], psnr)

    def _meters(self, window: Sequence[Batch], first: int) -> list[ClipTrials]:
        out = []
        for batch in window:
            out.append(ClipTrials(self._coder, batch, first, self._budget))
            first += len(batch)
        return out

    def _summed(self, batches: Iterable[Batch]) -> _Sums:
        out = _Sums()
        for batch in batches:
            out.add(batch)
        return out

    def _fixed_lambda(self, batches: Iterable[Batch]) -> Iterator[Clip]:
        """Every clip by itself at a given price."""
        first = 0
        for batch in batches:
            (meter,) = self._meters([batch], first)
            meter.probe()
            for _ in range(LAST_ROUNDS):
                choice = meter.surface.choices[allocation.best_at_lambda(meter.surface, self._target.value)]
                if choice in meter.surface.measured:
                    break
                meter.measure(choice)
            number = _best_measured(meter.surface, self._target.value)
            yield self._give(meter, meter.surface.choices[number])
            first += len(batch)
            self._progress(first)

    def _two_pass(self, batches: Iterable[Batch], reopen: Callable[[], Iterable[Batch]]) -> Iterator[Clip]:
        """Survey everything, then code it window by window."""
        surfaces: list[RDModel] = []
        sizes: list[int] = []
        whole = _Sums()
        for batch in batches:
            (meter,) = self._meters([batch], sum(sizes))
            meter.probe()
            surfaces.append(meter.surface)
            whole.add(batch)
            sizes.append(len(batch))
            self._progress(sum(sizes) // 2)
        first, frames = 0, sum(sizes)
        second = second_pass(reopen, sizes)
        while surfaces:
            window = list(itertools.islice(second, self._window))
            meters = self._meters(window, first)
            for meter, surface in zip(meters, surfaces, strict=False):
                meter.surface = surface
            del surfaces[: len(window)]
            first += sum(map(len, window))
            for clip in self._code_window(meters, surfaces, not surfaces, whole):
                yield clip
                self._progress((frames + clip.first_frame + clip.frames) // 2)

    def _one_pass(self, window: list[Batch], ahead: Batch | None, rest: Iterator[Batch]) -> Iterator[Clip]:
        """Windows one after another, each to what is left of the time until its end."""
        if self._target.kind == "size":
            raise UsageError(
                f"{self._target} needs to know how long the video is, and a pipe of more than {self._window} clips "
                "does not say: give --bitrate, or name a file"
            )
        until, first = _Sums(), 0
        while window:
            for batch in window:
                until.add(batch)
            yield from self._code_window(self._meters(window, first), [], True, until)
            first += sum(map(len, window))
            self._progress(first)
            window = list(itertools.islice(itertools.chain([ahead] if ahead else [], rest), self._window))
            ahead = None

    def _goal(self, whole: _Sums) -> TargetInterval:
        """What is left of the target when `whole` is done after what has been done."""
        done = self._done
        if self._target.kind == "psnr":
            allowed = whole.samples * 10 ** (-self._target.value / 10)
            least = _LEAST * allowed * (1 - done.samples / whole.samples)
            aim = allowed * 10 ** (-_AIM_ABOVE / 10) - done.error
            low = allowed * 10 ** (-PSNR_TOLERANCE / 10) - done.error
            return TargetInterval(1, max(aim, least), max(low, 0.0), max(allowed - done.error, least))
        wanted = self._target.value
        if self._target.kind == "bitrate":
            wanted *= whole.ticks * self._tick / 8
        least = _LEAST * wanted * (1 - done.samples / whole.samples)
        low, high = (wanted * (1 + sign * SIZE_TOLERANCE) - done.size for sign in (-1, 1))
        return TargetInterval(0, max(wanted - done.size, least), max(low, 0.0), max(high, least))

    def _code_window(
        self, trials: Sequence[ClipTrials], later: Sequence[RDModel], last: bool, whole: _Sums
    ) -> Iterator[Clip]:
        """Choose for a window, with the clips that come later in view, and code it."""
        for meter in trials:
            if not meter.surface.measured:
                meter.probe()
        best = self._search_window(trials, later, self._goal(whole), last)
        for meter, number in zip(trials, best, strict=True):
            yield self._give(meter, meter.surface.choices[number])

    def _search_window(
        self, trials: Sequence[ClipTrials], later: Sequence[RDModel], goal: TargetInterval, last: bool
    ) -> tuple[int, ...]:
        """Numbers of the choices of a window: chosen by what is known, measured, and again by what that shows."""
        own = [m.surface for m in trials]
        tried: dict[tuple[int, ...], tuple[float, float]] = {}
        for turn in range(MOST_ROUNDS):
            price = allocation.solve_lambda([*own, *later], goal)
            numbers = tuple(allocation.best_at_lambda(s, price) for s in own)
            if last:
                numbers = tuple(allocation.swap_one_point(own, numbers, goal, price))
            known, expected = numbers in tried, allocation.totals(own, numbers)
            for meter, number in zip(trials, numbers, strict=True):
                meter.measure(meter.surface.choices[number])
            found = allocation.totals(own, numbers)
            tried[numbers] = goal.miss(found[goal.of]) if last else 0.0, found[1] + price * 8 * found[0]
            met = min(tried.values())[0] == 0
            if not last:
                if turn + 1 >= ROUNDS and abs(found[goal.of] - expected[goal.of]) <= SIZE_TOLERANCE * found[goal.of]:
                    return numbers
            elif (met and (known or turn + 1 >= LAST_ROUNDS)) or (known and not _explore(trials, numbers, goal)):
                break
        if not last:
            return numbers
        best = min(tried, key=lambda n: tried[n])
        return best if tried[best][0] == 0 else _tune_qp(trials, best, goal)

    def _give(self, meter: ClipTrials, choice: OperatingPoint) -> Clip:
        cost = meter.measure(choice)
        self._done.size += cost.size
        self._done.error += cost.error
        self._done.add(meter.batch)
        return meter.clip(choice)


def _explore(trials: Sequence[ClipTrials], numbers: Sequence[int], goal: TargetInterval) -> bool:
    """Measure where predictions see nothing to gain but the goal needs it; False when that has been done."""
    new = False
    more = allocation.totals([m.surface for m in trials], numbers)[goal.of] > goal.aim
    for meter, number in zip(trials, numbers, strict=True):
        now = meter.surface.choices[number]
        step = _STRIDE if more == (goal.of == 0) else -_STRIDE
        there = OperatingPoint(now.kept, min(max(now.qp + step, 0), MAX_QP))
        new |= there not in meter.surface.measured
        meter.measure(there)
    return new


def _tune_qp(trials: Sequence[ClipTrials], numbers: tuple[int, ...], goal: TargetInterval) -> tuple[int, ...]:
    """The same with the QP of one clip a little further on the way to the goal, where that comes nearer to it.

    All points of `numbers` are measured. Of a short video there is little to exchange, and a QP is a step past what
    predictions can tell.
    """
    surfaces = [m.surface for m in trials]
    total = allocation.totals(surfaces, numbers)[goal.of]
    way = 1 if (total > goal.high) == (goal.of == 0) else -1
    best, least = numbers, goal.miss(total)
    sizes = [s.predicted()[0][n] for s, n in zip(surfaces, numbers, strict=True)]
    for step in range(1, _NUDGES + 1):
        for clip in np.argsort(sizes)[::-1][:_NUDGED].tolist():
            now = surfaces[clip].choices[numbers[clip]]
            there = OperatingPoint(now.kept, min(max(now.qp + way * step, 0), MAX_QP))
            trials[clip].measure(there)
            found = (*numbers[:clip], surfaces[clip].lattice.numbers[there], *numbers[clip + 1 :])
            miss = goal.miss(allocation.totals(surfaces, found)[goal.of])
            if miss < least:
                best, least = found, miss
            if least == 0:
                return best
    return best


def _best_measured(surface: RDModel, rd_lambda: float) -> int:
    """Number of the measured choice with the least error plus price times bits."""
    numbers = surface.lattice.numbers
    costs = {numbers[c]: cost.error + rd_lambda * 8 * cost.size for c, cost in surface.measured.items() if c in numbers}
    return min(costs, key=lambda n: costs[n])
