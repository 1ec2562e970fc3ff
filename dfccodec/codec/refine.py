"""Latent refinement: a few gradient steps on the latents of a clip's kept frames, through the decoder, before rounding.

An encoder network makes one guess that is good for all pictures; what is best for this picture is found by descent on
D + λR itself (Campos et al. 2019, "Content adaptive optimization for neural image compression"). D is the decoder's own
error at kept frames; R are the bits that the range coder would charge, taken as linear between the integers on both
sides and asked anew at every step.

Nothing is rounded on the way: what the encoder's guess lacks is hardly its rounding. Stochastic Gumbel annealing (Yang,
Bamler and Mandt 2020), which does round, needs many more steps to come as far.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dfccodec.codec import tiles
from dfccodec.codec.loaded import Loaded
from dfccodec.codec.quantizer import quantize, step_sizes
from dfccodec.container.records import Header
from dfccodec.entropy.prices import prices
from dfccodec.errors import UsageError

RATE = 0.25
"""Root mean square of what the first step changes in a channel, in quantizer steps; it falls in a line to zero."""

FARTHEST = 1.0
"""What one step changes at the most, in quantizer steps."""

PULL = 0.35
"""Share of λ that the bits weigh on the way: between integers a straight line promises more than rounding saves."""

SNAP = 0.1
"""More slack of rounding than without (`quantizer.SNAP`): each frame went its own way, a little apart from the last."""

LARGEST = 32766


@dataclass(frozen=True)
class Refined:
    """What refinement came to.

    Attributes:
        values: (K, tiles, rows, columns, C) int16.
        before, after: D + λR of the plain encoder's integers and of these, in λ: as if all error were bits.
    """

    values: np.ndarray
    before: float
    after: float


@dataclass(frozen=True)
class Kept:
    """The kept frames of a clip, as the decoder meets them.

    Args:
        frames: (T, H, W, 3) uint8, the whole clip.
        kept: (T,) bool.
        qp: quantizer index.
    """

    frames: np.ndarray
    kept: np.ndarray
    qp: int


def refine(
    latents: np.ndarray, values: np.ndarray, clip: Kept, header: Header, steps: np.ndarray, loaded: Loaded, count: int,
    snap: float = 0.0,
) -> Refined:  # fmt: skip
    """Better integers for the kept frames of a clip; those it had, where none are found.

    Args:
        latents: (K, tiles, rows, columns, C) float32, as the encoder made them.
        values: the same shape, int16, as they would be coded.
        clip: what they should look like.
        header: of the file.
        steps: (C,) base steps.
        loaded: the model.
        count: steps of descent.
        snap: slack of rounding, as in `values`.

    Raises:
        UsageError: no gradient comes through the model's decoder.
    """
    if not values.size:
        return Refined(values, 0.0, 0.0)
    sizes = step_sizes(steps, clip.qp)
    descent = _Descent(clip, header, loaded, sizes)
    y = torch.from_numpy((latents / sizes).astype(np.float32))
    for step in range(count):
        slope = descent.gradient(y)
        size = slope.square().mean(dim=tuple(range(slope.ndim - 1))).sqrt().clamp(min=1e-30)
        y -= (slope / size * (RATE * (1 - step / count))).clamp(-FARTHEST, FARTHEST)
    found = quantize(y.numpy() * sizes, steps, clip.qp, min(snap + SNAP, 0.5) if snap else 0.0)
    before, after = descent.cost(values), descent.cost(found)
    return Refined(found, before, after) if after < before else Refined(values, before, before)


class _Descent:
    """D + λR of one clip and its gradient."""

    def __init__(self, clip: Kept, header: Header, loaded: Loaded, sizes: np.ndarray) -> None:
        self.clip, self.header, self.loaded = clip, header, loaded
        self.sizes = torch.from_numpy(sizes.astype(np.float32))
        self.slope = math.log(2) / 6 * float(np.mean(sizes**2))  # λ: of the high-rate curve
        self.truth = tiles.split(clip.frames[clip.kept], header)

    def gradient(self, y: Tensor) -> Tensor:
        """Slope of D + λR at `y` (K, tiles, rows, columns, C), in squared error per quantizer step.

        Raises:
            UsageError: no gradient comes through the model's decoder.
        """
        now, low = (to(y).clamp(-LARGEST, LARGEST).numpy().astype(np.int16) for to in (torch.round, torch.floor))
        bits = torch.from_numpy(prices(now, low))
        made = (y * self.sizes).requires_grad_()
        for number, truth in enumerate(self.truth):  # one by one, so that only one tile's activations are held
            error = self._error(made[:, number], truth)
            if not error.requires_grad:
                raise UsageError(
                    f"model {self.loaded.identity.name!r} cannot be refined: no gradient through its decoder"
                )
            torch.autograd.backward(error)
        assert made.grad is not None
        return made.grad * self.sizes + PULL * self.slope * (bits[1] - bits[0])

    def cost(self, values: np.ndarray) -> float:
        """D + λR of integers, in λ."""
        latents = torch.from_numpy(values.astype(np.float32)) * self.sizes
        with torch.inference_mode():
            error = sum(float(self._error(latents[:, number], truth)) for number, truth in enumerate(self.truth))
        return error / self.slope + float(prices(values, values)[0].sum())

    def _error(self, latents: Tensor, truth: np.ndarray) -> Tensor:
        """Squared error of the kept frames of one tile, decoded from latents (K, rows, columns, C)."""
        device, kept = self.loaded.device, torch.from_numpy(self.clip.kept)
        slots = latents.new_zeros(len(self.clip.kept), latents[0, ..., 0].numel(), latents.shape[-1])
        slots = slots.index_put((kept,), latents.flatten(1, 2)).to(device)
        true = dict(zip(np.flatnonzero(self.clip.kept).tolist(), truth, strict=True))
        errors = []

        def judge(number: int, made: Tensor) -> None:
            if number in true:
                wanted = torch.from_numpy(np.ascontiguousarray(true[number])).to(device).float() / 255
                errors.append((made - wanted).square().sum())

        with self.loaded.precision():
            height, width = truth.shape[1:3]
            self.loaded.model.decode_each(slots, kept.to(device), height, width, self.clip.qp, judge, kept)
        return torch.stack(errors).sum().cpu()
