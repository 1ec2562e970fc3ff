"""Rate controller: two passes over a video, or one pass with lookahead, to meet a target."""

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
"""Iterations of choosing and measuring the clips of a window: usual minimum, minimum if the total must be met,
maximum."""
_PSNR_MARGIN = 0.05
"""Margin in dB above the minimum PSNR at which the controller aims."""
_EXPLORE_QPS = 8
"""QPs between a point and the one measured where the prediction sees no gain."""
_TUNE_QPS, _TUNE_CLIPS, _TUNE_TRIES = 3, 3, 6
"""Maximum QP change of a clip if a total is missed, and the number of clips (the largest) that are tried."""
_MIN_SHARE = 0.1
"""Minimum share of its proportional budget that a window gets, however much was spent before it."""


@dataclass
class _Sums:
    """Totals of clips: bytes, squared error, samples, ticks."""

    size: float = 0.0
    error: float = 0.0
    samples: int = 0
    ticks: int = 0

    def add(self, batch: Sequence[Picture]) -> None:
        self.samples += len(batch) * batch[0].rgb.size
        self.ticks += sum(p.duration for p in batch)


class RateController:
    """Encodes the clips of a video so that the video meets a target.

    If the source can be read again, there are two passes: the first measures a few operating points of every clip, the
    second encodes all clips at one λ. A pipe is encoded in one pass with a lookahead of several clips; each window gets
    the bits or the error that the target leaves for the time up to its end.

    Args:
        coder: encodes clips.
        target: the target.
        budget: the budget if it is fixed; None if the controller chooses the number of kept frames.
        overhead: bytes of the file outside its clips.
        progress: called with the number of frames done, weighted over both passes.
    """

    def __init__(
        self, coder: ClipCoder, target: Target, budget: Budget | None, overhead: int, progress: Callable[[int], None]
    ) -> None:
        self._coder, self._target, self._budget, self._progress = coder, target, budget, progress
        self._done = _Sums(size=overhead)
        self._tick = float(coder.header.time_base)
        self._window = window_clips(coder.header)

    def clips(self, batches: Iterable[Batch], reopen: Callable[[], Iterable[Batch]] | None) -> Iterator[Clip]:
        """Yield the encoded clips in order.

        Args:
            batches: frames, clip by clip.
            reopen: reads them again; None if that is impossible.

        Raises:
            UsageError: the target is a size, and the source is a pipe longer than the lookahead.
        """
        rest = iter(batches)
        window = list(itertools.islice(rest, 1 if self._target.kind == "lambda" else self._window))
        ahead = next(rest, None)
        if not window:
            return
        if self._target.kind == "lambda":
            yield from self._fixed_lambda(itertools.chain(window, [ahead] if ahead else [], rest))
        elif ahead is None:
            yield from self._code_window(self._trials(window, 0), [], True, self._summed(window))
            self._progress(sum(map(len, window)))
        elif reopen is not None:
            yield from self._two_pass(itertools.chain(window, [ahead], rest), reopen)
        else:
            yield from self._one_pass(window, ahead, rest)

    def outcome(self) -> Outcome:
        """The outcome; known when all clips are encoded."""
        done = self._done
        psnr = -10 * math.log10(max(done.error, 1e-9) / max(done.samples, 1))
        rate = done.size * 8 / max(done.ticks * self._tick, 1e-9)
        reached = {"size": done.size, "bitrate": rate, "psnr": psnr, "lambda": self._target.value}
        return Outcome(self._target, reached[self._target.kind], psnr)

    def _trials(self, window: Sequence[Batch], first: int) -> list[ClipTrials]:
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
        """Encode every clip independently at a given λ."""
        first = 0
        for batch in batches:
            (trial,) = self._trials([batch], first)
            trial.probe()
            for _ in range(LAST_ROUNDS):
                choice = trial.rd_model.choices[allocation.best_at_lambda(trial.rd_model, self._target.value)]
                if choice in trial.rd_model.measured:
                    break
                trial.measure(choice)
            number = _best_measured(trial.rd_model, self._target.value)
            yield self._give(trial, trial.rd_model.choices[number])
            first += len(batch)
            self._progress(first)

    def _two_pass(self, batches: Iterable[Batch], reopen: Callable[[], Iterable[Batch]]) -> Iterator[Clip]:
        """Probe all clips, then encode them window by window."""
        rd_models: list[RDModel] = []
        sizes: list[int] = []
        total = _Sums()
        for batch in batches:
            (trial,) = self._trials([batch], sum(sizes))
            trial.probe()
            rd_models.append(trial.rd_model)
            total.add(batch)
            sizes.append(len(batch))
            self._progress(sum(sizes) // 2)
        first, frames = 0, sum(sizes)
        second = second_pass(reopen, sizes)
        while rd_models:
            window = list(itertools.islice(second, self._window))
            trials = self._trials(window, first)
            for trial, rd_model in zip(trials, rd_models, strict=False):
                trial.rd_model = rd_model
            del rd_models[: len(window)]
            first += sum(map(len, window))
            for clip in self._code_window(trials, rd_models, not rd_models, total):
                yield clip
                self._progress((frames + clip.first_frame + clip.frames) // 2)

    def _one_pass(self, window: list[Batch], ahead: Batch | None, rest: Iterator[Batch]) -> Iterator[Clip]:
        """Encode window by window, each with the budget that remains for the time up to its end."""
        if self._target.kind == "size":
            raise UsageError(
                f"{self._target} needs the length of the video, and a pipe of more than {self._window} clips "
                "does not say: give --bitrate, or name a file"
            )
        until, first = _Sums(), 0
        while window:
            for batch in window:
                until.add(batch)
            yield from self._code_window(self._trials(window, first), [], True, until)
            first += sum(map(len, window))
            self._progress(first)
            window = list(itertools.islice(itertools.chain([ahead] if ahead else [], rest), self._window))
            ahead = None

    def _goal(self, total: _Sums) -> TargetInterval:
        """The remaining target after the clips done so far, for a video that ends with `total`."""
        done = self._done
        if self._target.kind == "psnr":
            allowed = total.samples * 10 ** (-self._target.value / 10)
            least = _MIN_SHARE * allowed * (1 - done.samples / total.samples)
            aim = allowed * 10 ** (-_PSNR_MARGIN / 10) - done.error
            low = allowed * 10 ** (-PSNR_TOLERANCE / 10) - done.error
            return TargetInterval(1, max(aim, least), max(low, 0.0), max(allowed - done.error, least))
        wanted = self._target.value
        if self._target.kind == "bitrate":
            wanted *= total.ticks * self._tick / 8
        least = _MIN_SHARE * wanted * (1 - done.samples / total.samples)
        low, high = (wanted * (1 + sign * SIZE_TOLERANCE) - done.size for sign in (-1, 1))
        return TargetInterval(0, max(wanted - done.size, least), max(low, 0.0), max(high, least))

    def _code_window(
        self, trials: Sequence[ClipTrials], later: Sequence[RDModel], last: bool, total: _Sums
    ) -> Iterator[Clip]:
        """Choose the operating points of a window, taking later clips into account, and encode it."""
        for trial in trials:
            if not trial.rd_model.measured:
                trial.probe()
        best = self._search_window(trials, later, self._goal(total), last)
        for trial, number in zip(trials, best, strict=True):
            yield self._give(trial, trial.rd_model.choices[number])

    def _search_window(
        self, trials: Sequence[ClipTrials], later: Sequence[RDModel], goal: TargetInterval, last: bool
    ) -> tuple[int, ...]:
        """Choose the operating points of a window: predict, measure, and repeat with the new measurements."""
        own = [m.rd_model for m in trials]
        tried: dict[tuple[int, ...], tuple[float, float]] = {}
        for turn in range(MOST_ROUNDS):
            rd_lambda = allocation.solve_lambda([*own, *later], goal)
            numbers = tuple(allocation.best_at_lambda(s, rd_lambda) for s in own)
            if last:
                numbers = tuple(allocation.swap_one_point(own, numbers, goal, rd_lambda))
            known, expected = numbers in tried, allocation.totals(own, numbers)
            for trial, number in zip(trials, numbers, strict=True):
                trial.measure(trial.rd_model.choices[number])
            found = allocation.totals(own, numbers)
            tried[numbers] = goal.miss(found[goal.quantity]) if last else 0.0, found[1] + rd_lambda * 8 * found[0]
            met = min(tried.values())[0] == 0
            if not last:
                if (
                    turn + 1 >= ROUNDS
                    and abs(found[goal.quantity] - expected[goal.quantity]) <= SIZE_TOLERANCE * found[goal.quantity]
                ):
                    return numbers
            elif (met and (known or turn + 1 >= LAST_ROUNDS)) or (known and not _explore(trials, numbers, goal)):
                break
        if not last:
            return numbers
        best = min(tried, key=lambda n: tried[n])
        for tune in (_tune_qp, _tune_by_model):
            if goal.miss(allocation.totals(own, best)[goal.quantity]) > 0:
                best = tune(trials, best, goal)
        return best

    def _give(self, trial: ClipTrials, choice: OperatingPoint) -> Clip:
        cost = trial.measure(choice)
        self._done.size += cost.size
        self._done.error += cost.error
        self._done.add(trial.batch)
        return trial.clip(choice)


def _explore(trials: Sequence[ClipTrials], numbers: Sequence[int], goal: TargetInterval) -> bool:
    """Measure points in the direction of the goal although predictions see no gain. False if all are measured."""
    new = False
    more = allocation.totals([m.rd_model for m in trials], numbers)[goal.quantity] > goal.aim
    for trial, number in zip(trials, numbers, strict=True):
        now = trial.rd_model.choices[number]
        step = _EXPLORE_QPS if more == (goal.quantity == 0) else -_EXPLORE_QPS
        there = OperatingPoint(now.kept, min(max(now.qp + step, 0), MAX_QP))
        new |= there not in trial.rd_model.measured
        trial.measure(there)
    return new


def _tune_qp(trials: Sequence[ClipTrials], numbers: tuple[int, ...], goal: TargetInterval) -> tuple[int, ...]:
    """Change the QP of one clip in the direction of the goal, if that brings the total nearer.

    All points of `numbers` are measured. A short video offers few swaps, and one QP is finer than predictions are.
    """
    rd_models = [m.rd_model for m in trials]
    total = allocation.totals(rd_models, numbers)[goal.quantity]
    way = 1 if (total > goal.high) == (goal.quantity == 0) else -1
    best, least = numbers, goal.miss(total)
    sizes = [s.predicted()[0][n] for s, n in zip(rd_models, numbers, strict=True)]
    for step in range(1, _TUNE_QPS + 1):
        for clip in np.argsort(sizes)[::-1][:_TUNE_CLIPS].tolist():
            now = rd_models[clip].choices[numbers[clip]]
            there = OperatingPoint(now.kept, min(max(now.qp + way * step, 0), MAX_QP))
            trials[clip].measure(there)
            found = (*numbers[:clip], rd_models[clip].grid.numbers[there], *numbers[clip + 1 :])
            miss = goal.miss(allocation.totals(rd_models, found)[goal.quantity])
            if miss < least:
                best, least = found, miss
            if least == 0:
                return best
    return best


def _tune_by_model(trials: Sequence[ClipTrials], numbers: tuple[int, ...], goal: TargetInterval) -> tuple[int, ...]:
    """Give one clip another operating point, also with another number of kept frames, that should meet the goal.

    All points of `numbers` are measured. Of those that meet it by prediction, the one with the least error is tried
    first, or the one with the fewest bytes if the goal is an error. Every measurement makes the predictions better. A
    lower quality than was asked for is a miss, a higher one is given up only for fewer bytes.
    """
    rd_models = [m.rd_model for m in trials]
    best, least = numbers, goal.miss(allocation.totals(rd_models, numbers)[goal.quantity])
    sizes = [s.predicted()[0][n] for s, n in zip(rd_models, numbers, strict=True)]
    for clip in np.argsort(sizes)[::-1][:_TUNE_CLIPS].tolist():
        model = rd_models[clip]
        others = allocation.totals(rd_models, numbers)[goal.quantity] - model.predicted()[goal.quantity][numbers[clip]]
        for _ in range(_TUNE_TRIES):
            predicted = model.predicted()
            fits = [n for n, value in enumerate(predicted[goal.quantity]) if goal.miss(others + value) == 0]
            new = [n for n in fits if model.choices[n] not in model.measured]
            if not new:
                break
            number = min(new, key=lambda n: predicted[1 - goal.quantity][n])
            trials[clip].measure(model.choices[number])
            measured = model.predicted()
            miss = goal.miss(others + measured[goal.quantity][number])
            better = goal.quantity == 1 and allocation.totals(rd_models, best)[1] <= goal.high
            if miss < least and not (better and measured[0][number] >= measured[0][best[clip]]):
                best, least = (*numbers[:clip], number, *numbers[clip + 1 :]), miss
            if least == 0:
                return best
    return best


def _best_measured(rd_model: RDModel, rd_lambda: float) -> int:
    """Index of the measured operating point with the lowest RD cost: error + rd_lambda × bits."""
    numbers = rd_model.grid.numbers
    costs = {
        numbers[c]: cost.error + rd_lambda * 8 * cost.size for c, cost in rd_model.measured.items() if c in numbers
    }
    return min(costs, key=lambda n: costs[n])
