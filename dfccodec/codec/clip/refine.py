"""Latent refinement: a few gradient steps on the latents of a clip's kept frames, through the decoder, before rounding.

An encoder network makes one guess that is good for all pictures; what is best for this picture is found by descent on
D + λR itself (Campos et al. 2019, "Content adaptive optimization for neural image compression"). D is the decoder's own
error at kept frames; R are the bits that the range coder would charge, taken as linear between the integers on both
sides and asked anew at every step.

D is close to a parabola, so how far to go is known: each step divides a channel's slope by its curvature, which is what
the last step changed of the slope (Barzilai and Borwein 1988, "Two-point step size gradient methods").

Nothing is rounded on the way: what the encoder's guess lacks is hardly its rounding. Stochastic Gumbel annealing (Yang,
Bamler and Mandt 2020), which does round, needs many more steps to come as far.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dfccodec.codec.clip import tiles
from dfccodec.codec.clip.quantizer import Quantized, quantize_inter, step_sizes
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import Header
from dfccodec.entropy.bit_costs import bit_costs
from dfccodec.errors import UsageError
from dfccodec.models.interface import DistortionFn
from dfccodec.runtime.resources import single_threaded_blas

INITIAL_CURVATURE = 4.0
"""Curvature that the first step of a model with a `gain` expects, in units of that gain: twice that of the linear code
alone, since what stands around it sharpens."""

INITIAL_STEP_RMS = 0.25
"""Root mean square of the first step of any other model in a channel, in quantizer steps."""

MAX_STEP = 1.0
"""What one step changes at the most, in quantizer steps."""

MAX_CURVATURE_RATIO = 4.0
"""Times that a channel's curvature may be that of all channels, or that a fraction of it."""

RATE_WEIGHT = 0.35
"""Share of λ that the bits weigh on the way: between integers a straight line promises more than rounding saves."""

LARGEST = 32766

STEPS = 2
"""By default."""

EVAL_STRIDE = 4
"""One in so many kept frames is looked at to see whether a clip has gained."""


def default_iterations(loaded: LoadedModel) -> int:
    """How many steps to take where nobody says."""
    return 0 if loaded.model.synthesis_gain is None else STEPS


def descend(
    y: Tensor, gradient: Callable[[Tensor], Tensor], count: int, curvature: Tensor | None, over: tuple[int, ...]
) -> Tensor:
    """Go down a slope, each channel by its own curvature.

    Args:
        y: where to begin, of any shape, in quantizer steps.
        gradient: the slope at a place of that shape, the same shape.
        count: steps; each asks for one slope.
        curvature: to begin with, of a shape that broadcasts to that of `y`; None where nobody knows.
        over: dimensions of `y` whose places have a curvature in common.

    Returns:
        where it came to; `y` itself after no step.
    """
    if not count:
        return y
    slope = gradient(y)
    if curvature is None:
        curvature = slope.square().mean(over, keepdim=True).sqrt() / INITIAL_STEP_RMS
    for step in range(count):
        move = -(slope / curvature.clamp(min=1e-30)).clamp(-MAX_STEP, MAX_STEP)
        y = y + move
        if step + 1 < count:
            before, slope = slope, gradient(y)
            curvature = _curvature(move, slope - before, over)
    return y


def _curvature(move: Tensor, change: Tensor, over: tuple[int, ...]) -> Tensor:
    """By how much the slope changed on a way, of each channel; not far from that of all of them."""
    along = (move * change).sum(over, keepdim=True)
    length = move.square().sum(over, keepdim=True)
    every = (along.sum() / length.sum().clamp(min=1e-30)).clamp(min=1e-30)
    return torch.minimum(
        torch.maximum(along / length.clamp(min=1e-30), every / MAX_CURVATURE_RATIO), every * MAX_CURVATURE_RATIO
    )


@dataclass(frozen=True)
class Refined:
    """What refinement came to.

    Attributes:
        now: integers, and how they have moved.
        before, after: D + λR of the plain encoder's integers and of these, in λ: as if all error were bits; D by some
            of the kept frames.
    """

    now: Quantized
    before: float
    after: float


@dataclass(frozen=True)
class RefinementTarget:
    """The kept frames of a clip, as the decoder meets them.

    Args:
        frames: (T, H, W, 3) uint8, the whole clip.
        kept: (T,) bool.
        qp: quantizer index.
        inter: whether the coding is the inter coding.
    """

    frames: np.ndarray
    kept: np.ndarray
    qp: int
    inter: bool = False


@single_threaded_blas()
def refine(
    latents: np.ndarray, now: Quantized, clip: RefinementTarget, header: Header, steps: np.ndarray,
    loaded: LoadedModel, count: int, deadzone: float = 0.0,
) -> Refined:  # fmt: skip
    """Better integers for the kept frames of a clip; those it had, where none are found.

    Args:
        latents: (K, tiles, rows, columns, C) float32, as the encoder made them.
        now: of the same shape, as they would be coded.
        clip: what they should look like.
        header: of the file.
        steps: (C,) base steps.
        loaded: the model.
        count: steps of descent.
        deadzone: slack of rounding, as in `now`.

    Raises:
        UsageError: no gradient comes through the model's decoder.
    """
    if not now.values.size:
        return Refined(now, 0.0, 0.0)
    with torch.inference_mode(False), torch.enable_grad():  # whatever the caller has switched off
        return _refined(latents, now, clip, header, steps, loaded, count, deadzone)


def _refined(
    latents: np.ndarray, now: Quantized, clip: RefinementTarget, header: Header, steps: np.ndarray,
    loaded: LoadedModel, count: int, deadzone: float,
) -> Refined:  # fmt: skip
    sizes = step_sizes(steps, clip.qp)
    descent = _Descent(clip, header, loaded, sizes, now.vectors)
    y = torch.from_numpy((latents / sizes).astype(np.float32))
    y = descend(y, descent.gradient, count, descent.curvature, tuple(range(y.ndim - 1)))
    found = quantize_inter(y.numpy() * sizes, steps, clip.qp, deadzone, clip.inter)
    before, after = descent.cost(now), descent.cost(found)
    return Refined(found, before, after) if after < before else Refined(now, before, before)


class _Descent:
    """D + λR of one clip and its gradient."""

    def __init__(
        self, clip: RefinementTarget, header: Header, loaded: LoadedModel, sizes: np.ndarray, vectors: np.ndarray | None
    ) -> None:
        self.clip, self.header, self.loaded, self.vectors = clip, header, loaded, vectors
        self.sizes = torch.from_numpy(sizes.astype(np.float32))
        self.slope = math.log(2) / 6 * float(np.mean(sizes**2))  # λ: of the high-rate curve
        self.truth = tiles.split(clip.frames[clip.kept], header)
        kept = np.flatnonzero(clip.kept)
        self.judged = kept[len(kept) // 2 % EVAL_STRIDE :: EVAL_STRIDE]

    @property
    def curvature(self) -> Tensor | None:
        """(C,) of D + λR, about; None where the model does not say."""
        synthesis_gain = self.loaded.model.synthesis_gain
        return None if synthesis_gain is None else INITIAL_CURVATURE * synthesis_gain * self.sizes**2

    def gradient(self, y: Tensor) -> Tensor:
        """Slope of D + λR at `y` (K, tiles, rows, columns, C), in squared error per quantizer step.

        Raises:
            UsageError: no gradient comes through the model's decoder.
        """
        now, low = (to(y).clamp(-LARGEST, LARGEST).numpy().astype(np.int16) for to in (torch.round, torch.floor))
        bits = torch.from_numpy(bit_costs(now, low, self.vectors))
        made = y * self.sizes
        slopes = [self._slope(made[:, number], truth) for number, truth in enumerate(self.truth)]
        return torch.stack(slopes, dim=1).view_as(y) * self.sizes + RATE_WEIGHT * self.slope * (bits[1] - bits[0])

    def cost(self, now: Quantized) -> float:
        """D + λR of integers, in λ."""
        values = now.values
        latents = torch.from_numpy(values.astype(np.float32)) * self.sizes
        error = sum(self._error(latents[:, number], truth) for number, truth in enumerate(self.truth))
        error *= len(values) / len(self.judged)
        return error / self.slope + float(bit_costs(values, values, now.vectors)[0].sum())

    def _slope(self, latents: Tensor, truth: np.ndarray) -> Tensor:
        """Gradient of the error of one tile, as its latents (K, rows, columns, C), at a time: one tile's insides."""
        try:
            with self.loaded.precision():
                slope = self.loaded.model.gradient(*self._slots(latents, truth), self._judge(truth))
        except UsageError as error:
            raise UsageError(f"model {self.loaded.identity.name!r} cannot be refined: {error}") from None
        return slope[torch.from_numpy(self.clip.kept).to(slope.device)].view_as(latents).float().cpu()

    def _error(self, latents: Tensor, truth: np.ndarray) -> float:
        """Squared error of the judged frames of one tile, decoded from latents (K, rows, columns, C)."""
        judge, wanted, errors = self._judge(truth), np.zeros(len(self.clip.kept), bool), []
        wanted[self.judged] = True

        def show(number: int, made: Tensor) -> None:
            if wanted[number]:
                errors.append(float(judge(number, made)))

        with torch.inference_mode(), self.loaded.precision():
            self.loaded.model.decode_frames(*self._slots(latents, truth), show, torch.from_numpy(wanted))
        return sum(errors)

    def _slots(self, latents: Tensor, truth: np.ndarray) -> tuple[Tensor, Tensor, int, int, int]:
        """What a decoder takes: slots (T, N, C), which are kept, size of the picture and QP."""
        kept = torch.from_numpy(self.clip.kept)
        slots = latents.new_zeros(len(kept), latents[0, ..., 0].numel(), latents.shape[-1])
        slots[kept] = latents.flatten(1, 2)
        device = self.loaded.device
        return slots.to(device), kept.to(device), truth.shape[1], truth.shape[2], self.clip.qp

    def _judge(self, truth: np.ndarray) -> DistortionFn:
        """Squared error of a kept frame of a tile, whose kept frames are `truth` (K, height, width, 3) uint8."""
        true = dict(zip(np.flatnonzero(self.clip.kept).tolist(), truth, strict=True))

        def judge(number: int, made: Tensor) -> Tensor:
            wanted = torch.from_numpy(np.ascontiguousarray(true[number])).to(made.device).float() / 255
            return (made - wanted).square().sum()

        return judge
