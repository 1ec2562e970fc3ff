"""Latent refinement: gradient steps on the latents of a clip's kept frames, through the decoder, before rounding.

An encoder network makes one guess that is good for all pictures; what is best for this picture is found by descent on
D + λR itself. Rounding is made smooth by stochastic Gumbel annealing (Yang, Bamler and Mandt 2020, "Improving
inference for neural image compression", section 3.2): each latent is between the integers on both sides, at random and
more and more decidedly. D is the decoder's own error at kept frames; R are the bits that the range coder would charge
for both integers, asked anew at every step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dfccodec.codec import tiles
from dfccodec.codec.loaded import Loaded
from dfccodec.codec.quantizer import step_sizes
from dfccodec.container.records import Header
from dfccodec.entropy.prices import prices
from dfccodec.errors import UsageError

RATE = 0.05
"""Learning rate of Adam, in quantizer steps; falls to zero along a cosine."""

HOT, COLD = 0.7, 0.15
"""Temperature of the first and last step."""

SLOPE = 1.5
"""λ in units of ln 2 / 6 · step²: with 1, files grow at the same QP; so they shrink and look better."""

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
    progress: Callable[[int], None] | None = None,
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
        progress: told how many steps are done.

    Raises:
        UsageError: no gradient comes through the model's decoder.
    """
    if not values.size:
        return Refined(values, 0.0, 0.0)
    sizes = step_sizes(steps, clip.qp)
    descent = _Descent(clip, header, loaded, sizes)
    # From within half a step of the integers of the plain encoder, whose rounding already weighs bits.
    start = np.clip(latents / sizes, values - 0.49, values + 0.49)
    y = torch.from_numpy(start.astype(np.float32)).requires_grad_()
    adam = torch.optim.Adam([y], lr=RATE)
    dice = torch.Generator().manual_seed(0)
    for step in range(count):
        part = step / count
        for group in adam.param_groups:
            group["lr"] = RATE * (0.5 + 0.5 * math.cos(math.pi * part))
        adam.zero_grad()
        descent.step(y, HOT * (COLD / HOT) ** part, dice)
        adam.step()
        if progress:
            progress(step + 1)
    found = np.clip(np.rint(y.detach().numpy()), -LARGEST, LARGEST).astype(np.int16)
    before, after = descent.cost(values), descent.cost(found)
    return Refined(found, before, after) if after < before else Refined(values, before, before)


class _Descent:
    """D + λR of one clip and its gradient."""

    def __init__(self, clip: Kept, header: Header, loaded: Loaded, sizes: np.ndarray) -> None:
        self.clip, self.header, self.loaded = clip, header, loaded
        self.sizes = torch.from_numpy(sizes.astype(np.float32))
        self.slope = SLOPE * math.log(2) / 6 * float(np.mean(sizes**2))
        self.truth = tiles.split(clip.frames[clip.kept], header)

    def step(self, y: Tensor, temperature: float, dice: torch.Generator) -> None:
        """Add the gradient at `y` (K, tiles, rows, columns, C) to it."""
        low = y.detach().floor().clamp(-LARGEST, LARGEST)
        bits = torch.from_numpy(prices(y.detach().round().numpy().astype(np.int16), low.numpy().astype(np.int16)))
        up = share_of_upper(y, torch.rand(y.shape, generator=dice), temperature)
        rate = ((1 - up) * bits[0] + up * bits[1]).sum()
        made = (low + up) * self.sizes
        leaf = made.detach().requires_grad_()
        for number, truth in enumerate(self.truth):  # one by one, so that only one tile's activations are held
            torch.autograd.backward(self._error(leaf[:, number], truth))
        if leaf.grad is None:
            raise UsageError(f"model {self.loaded.identity.name!r} cannot be refined: no gradient through its decoder")
        torch.autograd.backward(rate * self.slope + (made * leaf.grad).sum())

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
        slots = slots.index_put((kept,), latents.flatten(1, 2))
        with self.loaded.precision():
            height, width = truth.shape[1:3]
            made = self.loaded.model.decode(
                slots[None].to(device), kept[None].to(device), height, width, self.clip.qp, kept
            )
        wanted = torch.from_numpy(truth).to(device).float() / 255
        return (made[0, kept] - wanted).square().sum().cpu()


def share_of_upper(y: Tensor, even: Tensor, temperature: float) -> Tensor:
    """How far each of `y` goes from the integer below to the one above, 0…1, decided the more the colder.

    A relaxed coin (binary concrete) whose odds follow the place between the two: Yang et al. 2020, section 3.2.

    Args:
        y: any shape; gradients pass.
        even: the same shape, evenly distributed in 0…1.
        temperature: of odds and coin.
    """
    part = (y - y.detach().floor()).clamp(1e-4, 1 - 1e-4)
    odds = (torch.atanh(part) - torch.atanh(1 - part)) / temperature
    return torch.sigmoid((odds + torch.logit(even.clamp(1e-6, 1 - 1e-6))) / temperature)
