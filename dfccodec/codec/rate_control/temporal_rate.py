"""Budget `auto`: the temporal rate of each clip by MTC-VAE's rule, from its quality at several rates.

Source: the temporal rate selection of MTC-VAE. A rate c keeps one frame in c. Every segment x is encoded and decoded at
every rate; Q(c, x) is its PSNR in dB. With the mean Q̄ and the standard deviation σ over the rates,

    α(x) = ½ · (Q̄ − Qmin) / (Qmax − Qmin) + ½ · (1 − σ / σmax),

with extremes over all segments and rates. The chosen rate maximizes (1 − α) · Q + α · w · log2 c.

A segment with high quality that hardly depends on the rate has α near 1 and gets a high rate. Q stays in dB: the rule
weighs dB against doublings of the rate, w dB per doubling at α = ½. Measured (benchmarks/quality/temporal_rate.py):
over rates 4, 8, 16 it beats one rate for all at equal mean rate by 0.1 to 0.2 dB for w = 1 to 2.5. With 2 among the
rates it loses 0.2 dB at w = 1.5: the segments that change most have α near 0, which makes frames cost them nothing, and
take many for little.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.clip.encode import ClipCoder
from dfccodec.codec.rate_control.lookahead import Batch, second_pass, window_clips
from dfccodec.codec.rate_control.rd_model import OperatingPoint
from dfccodec.codec.rate_control.trial_encodes import ClipTrials
from dfccodec.container.records import Clip

_MIN_ERROR = 1e-9


def alphas(quality: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """α (N,) in 0…1 of each segment from Q (N, rates) in dB; 1 means suited to a high temporal rate."""
    mean, spread = quality.mean(axis=1), quality.std(axis=1)
    height = float(quality.max() - quality.min()) or 1.0
    widest = float(spread.max()) or 1.0
    out: npt.NDArray[np.float64] = 0.5 * (mean - quality.min()) / height + 0.5 * (1 - spread / widest)
    return out


def best_rates(quality: npt.NDArray[np.float64], rates: Sequence[int], weight: float) -> npt.NDArray[np.intp]:
    """Number of the chosen rate of each segment, from Q (N, rates) in dB; ties go to the lower rate."""
    alpha = alphas(quality)[:, None]
    out: npt.NDArray[np.intp] = np.argmax((1 - alpha) * quality + alpha * weight * np.log2(rates), axis=1)
    return out


class TemporalRateSelector:
    """Encodes the clips of a video, each at the temporal rate that the rule selects.

    If the source can be read again, there are two passes and α is normalized over the whole video. In a pipe it is
    normalized over the lookahead, window by window.

    Args:
        coder: encodes clips at the QP of its settings.
        budget: a budget of kind "auto".
        progress: called with the number of frames done, weighted over both passes.
    """

    def __init__(self, coder: ClipCoder, budget: Budget, progress: Callable[[int], None]) -> None:
        self._coder, self._budget, self._progress = coder, budget, progress
        self._window = window_clips(coder.header)

    def clips(self, batches: Iterable[Batch], reopen: Callable[[], Iterable[Batch]] | None) -> Iterator[Clip]:
        """Yield the encoded clips in order. `batches` are frames, clip by clip; `reopen` reads them again if
        possible."""
        rest = iter(batches)
        window = list(itertools.islice(rest, self._window))
        ahead = next(rest, None)
        if ahead is not None and reopen is not None:
            yield from self._two_pass(itertools.chain(window, [ahead], rest), reopen)
            return
        first = 0
        while window:
            trials = [ClipTrials(self._coder, b, f) for b, f in zip(window, _starts(window, first), strict=True)]
            chosen = self._choose([self._measure(trial) for trial in trials])
            for trial, rate in zip(trials, chosen, strict=True):
                yield trial.clip(self._point(len(trial.batch), rate))
            first += sum(map(len, window))
            self._progress(first)
            window = list(itertools.islice(itertools.chain([ahead] if ahead else [], rest), self._window))
            ahead = None

    def _two_pass(self, batches: Iterable[Batch], reopen: Callable[[], Iterable[Batch]]) -> Iterator[Clip]:
        found: list[list[float]] = []
        sizes: list[int] = []
        for batch in batches:
            found.append(self._measure(ClipTrials(self._coder, batch, sum(sizes))))
            sizes.append(len(batch))
            self._progress(sum(sizes) // 2)
        first, frames = 0, sum(sizes)
        for batch, rate in zip(second_pass(reopen, sizes), self._choose(found), strict=True):
            yield ClipTrials(self._coder, batch, first).clip(self._point(len(batch), rate))
            first += len(batch)
            self._progress((frames + first) // 2)

    def _measure(self, trial: ClipTrials) -> list[float]:
        """PSNR of a clip in dB at every rate."""
        errors = [trial.measure(self._point(len(trial.batch), rate)).error for rate in self._budget.rates]
        return [-10 * math.log10(max(error / trial.samples, _MIN_ERROR)) for error in errors]

    def _choose(self, quality: list[list[float]]) -> list[int]:
        rates = self._budget.rates
        return [rates[n] for n in best_rates(np.array(quality), rates, self._budget.value)]

    def _point(self, frames: int, temporal_rate: int) -> OperatingPoint:
        return OperatingPoint(max(1, int(frames / temporal_rate + 0.5)), self._coder.settings.qp)


def _starts(window: Sequence[Batch], first: int) -> list[int]:
    """Numbers of the first frames of consecutive clips."""
    return list(itertools.accumulate(map(len, window[:-1]), initial=first))
