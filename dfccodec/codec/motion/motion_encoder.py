"""Encoder of fill policy `motion`: motion estimation, then mode decision (SPEC.md 7.8)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial
from types import TracebackType

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion.blend import Blend
from dfccodec.codec.motion.blocks import BLOCK, MotionField, References
from dfccodec.codec.motion.direct import DirectMotion
from dfccodec.codec.motion.mode_decision import DecisionInput, choose
from dfccodec.codec.motion.obmc import blend_weight
from dfccodec.codec.motion.pyramid import ERROR_UNIT, MEAN_UNIT, Picture, Pyramid, block_errors, undisplaced_level
from dfccodec.codec.motion.search import MIN_SAVING_BITS, Effort, estimate_motion
from dfccodec.container.records import Clip, MotionFilter
from dfccodec.entropy.motion_tools import dropped_content
from dfccodec.native import kernels
from dfccodec.runtime.batched_executor import BatchedExecutor
from dfccodec.runtime.resources import single_threaded_blas

__all__ = ["Effort", "MotionSearch", "dropped_lambda", "lambda_for_qp"]

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Shorts = npt.NDArray[np.int16]

LAMBDA_SCALE = 4.0
"""λ in units of ln 2 / 6 · step². The high-rate approximation is 1. At usual rates a bit of the latents saves several
times as much (four training clips, QP 24 to 27, 6 of 32 kept: with 8 or 2 the same quality takes about 2 % more
bits)."""

MIXED_PRICE = 0.8
"""Bits of motion in context mixing, relative to the prices of the search, which are those of the range coding."""

STEP = 0.02
"""Quantizer step of `mini` at QP 0, in samples of 0…1. It relates QP to pixels for all models."""

MIN_THREADED_PIXELS = 1 << 17
"""Pixels of a picture below which a second thread makes the search without kernels slower: NumPy calls are so short
that threads mostly wait for the interpreter. Clips of 256×256 took 0.87 s with one thread and 0.97 s with two; from
512×288 on two are faster."""


def dropped_lambda(clip: Clip) -> float:
    """λ of the motion of the dropped frames of a clip."""
    return lambda_for_qp(clip.qp) * (1 if dropped_content(clip) is None else MIXED_PRICE)


def lambda_for_qp(qp: int) -> float:
    """λ at a QP: squared error (sum over samples in 0…1) per bit."""
    return LAMBDA_SCALE * math.log(2) / 6 * (STEP * 2 ** (qp / 8)) ** 2


class MotionSearch:
    """Finds modes and vectors of all blocks of the dropped frames of a clip.

    The output of the decoder network is added frame by frame, so that it need not be stored.

    Args:
        frames: source frames (T, H, W, 3) uint8.
        references: dropped frames and their references.
        rd_lambda: λ, squared error (sum over samples in 0…1) per bit.
        threads: number of threads.
        effort: effort of the motion search.
        pyramids: those of reference frames by number, which other searches of the clip use too.
        motion_filter: filter of samples between pixels.
        direct: direct motion, if the clip has any.
    """

    def __init__(
        self,
        frames: npt.NDArray[np.uint8],
        references: References,
        rd_lambda: float,
        threads: int = 1,
        effort: Effort = Effort.NORMAL,
        pyramids: dict[int, Pyramid] | None = None,
        motion_filter: MotionFilter = MotionFilter.LINEAR,
        direct: DirectMotion | None = None,
    ) -> None:
        self._filter, self._direct = motion_filter, direct
        self._frames, self._references_of_dropped, self._lambda, self._effort = frames, references, rd_lambda, effort
        self._rows, self._columns = (-(-side // BLOCK) for side in frames.shape[1:3])
        self._numbers = {frame: number for number, frame in enumerate(references.dropped.tolist())}
        self._references = {*references.past.tolist(), *references.future.tolist()} - {-1}
        self._kept: dict[int, Pyramid] = {} if pyramids is None else pyramids
        self._targets: dict[int, Pyramid] = {}
        self._estimate = np.empty((len(references.dropped), self._rows * self._columns), np.int64)
        alone = kernels is None and frames.shape[1] * frames.shape[2] < MIN_THREADED_PIXELS
        self._jobs = BatchedExecutor(1 if alone else threads, 4 * frames[0].size)
        self._alone = single_threaded_blas()

    def __enter__(self) -> MotionSearch:
        self._alone.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._jobs.__exit__(kind, error, at)
        self._alone.__exit__(kind, error, at)

    def add_frame(self, frame: int, picture: Picture) -> None:
        """Add the network output, or the source, for a frame of the clip: (H, W, 3), float32 in 0…1 or uint8."""
        self._jobs.add(partial(self._process, frame, picture))

    def add_estimate(self, frame: int, blend: Blend) -> None:
        """Add a frame whose picture, as in :meth:`add_frame`, is a blend."""
        self._jobs.add(partial(self._process, frame, blend))

    def _process(self, frame: int, picture: Picture | Blend) -> None:
        if frame in self._references:
            if frame not in self._kept:
                self._kept[frame] = Pyramid(picture() if isinstance(picture, Blend) else picture, self._filter)
        elif frame in self._numbers:
            number = self._numbers[frame]
            self._targets[number] = Pyramid(self._frames[frame])
            if self._vectors(number) is None:
                self._estimate[number] = _ssd(self._targets[number], picture)

    def _vectors(self, number: int) -> Ints | None:
        """Direct vectors (rows, columns, 2, 2) of a dropped frame; None if it has none."""
        sides = self._references_of_dropped
        if self._direct is None:
            return None
        return self._direct.vectors(*(int(side[number]) for side in (sides.dropped, sides.past, sides.future)))

    def _add_direct_estimate(self, number: int) -> None:
        """The error of blocks of mode 0 of a frame with direct motion."""
        vectors, sides = self._vectors(number), self._references_of_dropped
        if vectors is None:
            return
        past, future = (self._kept[int(side[number])].full for side in (sides.past, sides.future))
        cells, each = np.arange(self._rows * self._columns), vectors.reshape(-1, 2, 2)
        self._estimate[number] = block_errors(
            self._targets[number].full, past, cells, each[:, 0], future, each[:, 1], self._weight(number)
        )

    def _weight(self, number: int) -> int:
        """Weight of the future reference in a blend, in 1 / MEAN_UNIT."""
        sides = self._references_of_dropped
        ends = (int(side[number]) for side in (sides.dropped, sides.past, sides.future))
        return round(MEAN_UNIT * blend_weight(*ends))

    def decisions(self) -> MotionField:
        """The motion field, once all frames have been added."""
        self._jobs.finish()
        pool, references, rd_lambda, estimate = (
            self._jobs.pool,
            self._references_of_dropped,
            self._lambda,
            self._estimate,
        )
        if self._direct is not None:
            list(pool.map(self._add_direct_estimate, range(len(estimate))))
        targets = [self._targets[number] for number in range(len(estimate))]
        kept = {frame: self._kept[frame] for frame in sorted(self._references)}
        worth = estimate > MIN_SAVING_BITS * rd_lambda * ERROR_UNIT
        searched = _search(targets, kept, references, worth, rd_lambda, pool, self._effort)
        whole = [target.full for target in targets]
        del targets
        self._targets.clear()  # smaller levels are for the search only
        inputs = DecisionInput(
            lambda number: whole[number], {frame: kept[frame].full for frame in kept}, estimate,
            searched.reshape(*estimate.shape, 2, 2),
        )  # fmt: skip
        return choose(inputs, references, self._rows, self._columns, rd_lambda, pool)


def _ssd(target: Pyramid, estimate: Picture | Blend) -> Longs:
    """Squared error (rows · columns,) of the estimate by block, in 1 / ERROR_UNIT."""
    if not isinstance(estimate, Blend):
        level = undisplaced_level(estimate)
    elif estimate.past is estimate.future:
        level = undisplaced_level(estimate.past)
    else:
        level = undisplaced_level(estimate.past, estimate.future, estimate.fraction)
    return block_errors(target.full, level, np.arange(target.rows * target.columns))


def _search(
    targets: list[Pyramid], kept: dict[int, Pyramid], references: References, needs_search: npt.NDArray[np.bool_],
    rd_lambda: float, pool: Executor, effort: Effort,
) -> Shorts:  # fmt: skip
    """Motion estimation: vectors (D, rows, columns, 2, 2) of the blocks that `needs_search`.

    Frames are searched outwards from each kept frame, and each motion field predicts the next one.
    """
    out = np.zeros((len(targets), targets[0].rows, targets[0].columns, 2, 2), np.int16)

    def chain(job: tuple[int, Iterable[int], int]) -> None:
        frame, numbers, side = job
        predictors = None
        for number in numbers:
            distance = abs(int(references.dropped[number]) - frame)
            mask = needs_search[number].reshape(out.shape[1:3])
            found = estimate_motion(targets[number], kept[frame], rd_lambda, predictors, effort, mask)
            out[number, :, :, side] = found
            predictors = np.rint(found * ((distance + 1) / distance)).astype(np.int32)

    jobs: list[tuple[int, Iterable[int], int]] = []
    for side, (near, order) in enumerate(((references.past, 1), (references.future, -1))):
        jobs += [(frame, np.flatnonzero(near == frame)[::order].tolist(), side) for frame in kept if frame in near]
    list(pool.map(chain, jobs))
    return out
