"""Latent refinement: gradient descent on the latents of the kept frames of a clip, before quantization.

The encoder network is good on average; the best latents for one picture are found by minimizing D + λR directly (Campos
et al. 2019, "Content adaptive optimization for neural image compression"). D is the squared error of the decoded kept
frames. R is the rate of the entropy coder, linearly interpolated between adjacent integers and recomputed at every
iteration.

D is nearly quadratic, so the step length is known: the gradient of each channel is divided by its curvature, which is
estimated from the change of the gradient in the last iteration (Barzilai and Borwein 1988, "Two-point step size
gradient methods").

The latents are not rounded during the descent: rounding is hardly what the encoder's latents lack. Stochastic Gumbel
annealing (Yang, Bamler and Mandt 2020), which does round, needs many more iterations for the same gain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dfccodec.codec.clip import tiles
from dfccodec.codec.clip.quantizer import Quantized, quantize_inter, step_sizes
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.container.records import Header
from dfccodec.entropy.bit_costs import bit_costs, bit_slopes
from dfccodec.errors import UsageError
from dfccodec.models.interface import DistortionFn
from dfccodec.runtime.resources import single_threaded_blas

OnFrame = Callable[[int, np.ndarray], None]
"""Receives the number and the picture (H, W, 3) float32, not clamped, of a frame."""

INITIAL_CURVATURE = (4.8, 3.4)
"""Initial curvature of the RD cost for a model with a `synthesis_gain`, in units of that gain: of a single iteration,
and of the first of several, which corrects later. That of the linear transform alone is 2; the network sharpens."""

CURVATURE_RISE = (0.75, 1.1)
"""Factor a + b · sqrt(c / (C − 1)) on the initial curvature of channel c of C, fitted on training clips."""

INITIAL_STEP_RMS = 0.25
"""Root mean square of the first iteration in each channel for other models, in quantizer steps."""

MAX_STEP = 1.0
"""Maximum change of a latent in one iteration, in quantizer steps."""

MAX_CURVATURE_RATIO = 4.0
"""Maximum ratio between the curvature of a channel and that of all channels, in either direction."""

RATE_WEIGHT = 0.25
"""Factor on λ during the descent. Linear interpolation of the rate between integers overestimates what rounding finally
saves."""

MAX_INTEGER = 32766
"""Largest magnitude of an integer during the descent; its neighbour must fit into 16 bits."""

DEFAULT_ITERATIONS = 1
"""Default number of iterations for a model with a `synthesis_gain`. Its result is not checked: on 24 clips at QP 16, 24
and 32 it raised the RD cost once (one clip at QP 32), and the check takes half as long as the iteration."""

EVAL_STRIDE = 4
"""Every this many kept frames, one is decoded to measure the gain of a clip."""


def default_iterations(loaded: LoadedModel) -> int:
    """Default number of iterations for a model."""
    return 0 if loaded.model.synthesis_gain is None else DEFAULT_ITERATIONS


def descend(
    y: Tensor, gradient: Callable[[Tensor], Tensor], count: int, curvature: Tensor | None, over: tuple[int, ...]
) -> Tensor:
    """Minimize a function by gradient descent with one curvature per channel.

    Args:
        y: starting point of any shape, in quantizer steps.
        gradient: returns the gradient at a point, in its shape.
        count: number of iterations; each computes one gradient.
        curvature: initial curvature, of a shape that broadcasts to that of `y`; None if unknown.
        over: dimensions of `y` that share a curvature.

    Returns:
        the final point; `y` itself if `count` is 0.
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
    """Curvature of each channel: change of the gradient along a move; limited to near that of all channels."""
    along = (move * change).sum(over, keepdim=True)
    length = move.square().sum(over, keepdim=True)
    every = (along.sum() / length.sum().clamp(min=1e-30)).clamp(min=1e-30)
    return torch.minimum(
        torch.maximum(along / length.clamp(min=1e-30), every / MAX_CURVATURE_RATIO), every * MAX_CURVATURE_RATIO
    )


@dataclass(frozen=True)
class Refined:
    """Result of a refinement.

    Attributes:
        now: integers and motion vectors.
        before, after: RD cost in bits (D / λ + R) before and after the refinement; D is measured on some kept frames.
            Both are 0 if the result was not checked.
    """

    now: Quantized
    before: float
    after: float


@dataclass(frozen=True)
class RefinementTarget:
    """Source frames of a clip and how they are coded.

    Args:
        frames: (T, H, W, 3) uint8, the whole clip.
        kept: (T,) bool.
        qp: quantizer index.
        inter: whether the inter coding is used.
    """

    frames: np.ndarray
    kept: np.ndarray
    qp: int
    inter: bool = False


@single_threaded_blas()
def refine(
    latents: np.ndarray, now: Quantized, clip: RefinementTarget, header: Header, steps: np.ndarray,
    loaded: LoadedModel, count: int, deadzone: float = 0.0, on_frame: OnFrame | None = None,
) -> Refined:  # fmt: skip
    """Refine the integers of the kept frames of a clip. If that does not lower the RD cost, they stay unchanged.

    A single iteration for a model with a known gain is not checked.

    Args:
        latents: latents of the encoder network (K, tiles, rows, columns, C) float32.
        now: their integers, of the same shape.
        clip: the source frames.
        header: header of the file.
        steps: base steps (C,).
        loaded: the model.
        count: number of iterations.
        deadzone: dead zone of the quantizer, as in `now`.
        on_frame: receives number and picture (H, W, 3) of each kept frame in each iteration, decoded from latents that
            are not rounded. Not for tiles.

    Raises:
        UsageError: the model's decoder has no gradient.
    """
    if not now.values.size:
        return Refined(now, 0.0, 0.0)
    with torch.inference_mode(False), torch.enable_grad():  # the caller may have disabled gradients
        return _refine(latents, now, clip, header, steps, loaded, count, deadzone, on_frame)


def _refine(
    latents: np.ndarray, now: Quantized, clip: RefinementTarget, header: Header, steps: np.ndarray,
    loaded: LoadedModel, count: int, deadzone: float, on_frame: OnFrame | None,
) -> Refined:  # fmt: skip
    sizes = step_sizes(steps, clip.qp)
    descent = _Descent(clip, header, loaded, sizes, now.vectors, on_frame)
    y = torch.from_numpy((latents / sizes).astype(np.float32))
    curvature = descent.curvature(count)
    y = descend(y, descent.gradient, count, curvature, tuple(range(y.ndim - 1)))
    found = quantize_inter(y.numpy() * sizes, steps, clip.qp, deadzone, clip.inter)
    if count <= DEFAULT_ITERATIONS and curvature is not None:
        return Refined(found, 0.0, 0.0)
    before, after = descent.cost(now), descent.cost(found)
    return Refined(found, before, after) if after < before else Refined(now, before, before)


class _Descent:
    """RD cost of one clip and its gradient."""

    def __init__(
        self, clip: RefinementTarget, header: Header, loaded: LoadedModel, sizes: np.ndarray,
        vectors: np.ndarray | None, on_frame: OnFrame | None = None,
    ) -> None:  # fmt: skip
        self.clip, self.header, self.loaded, self.vectors, self.on_frame = clip, header, loaded, vectors, on_frame
        self.sizes = torch.from_numpy(sizes.astype(np.float32))
        self.rd_lambda = math.log(2) / 6 * float(np.mean(sizes**2))  # λ of the high-rate approximation
        self.sources = tiles.split(tiles.pad(clip.frames[clip.kept], header), header)
        kept = np.flatnonzero(clip.kept)
        self.evaluated = kept[len(kept) // 2 % EVAL_STRIDE :: EVAL_STRIDE]

    def curvature(self, count: int) -> Tensor | None:
        """Curvature (C,) for the first of `count` iterations; None if the model does not state its gain."""
        gain = self.loaded.model.synthesis_gain
        if gain is None:
            return None
        offset, rise = CURVATURE_RISE
        factor = offset + rise * torch.linspace(0, 1, len(self.sizes)).sqrt()
        return INITIAL_CURVATURE[count > 1] * gain * factor * self.sizes**2

    def gradient(self, y: Tensor) -> Tensor:
        """Gradient of D + λR at `y` (K, tiles, rows, columns, C), in squared error per quantizer step.

        Raises:
            UsageError: the model's decoder has no gradient.
        """
        now, low = (
            to(y).clamp(-MAX_INTEGER, MAX_INTEGER).numpy().astype(np.int16) for to in (torch.round, torch.floor)
        )
        bits = torch.from_numpy(bit_slopes(now, low, self.vectors))
        made = y * self.sizes
        slopes = [self._tile_gradient(made[:, number], truth) for number, truth in enumerate(self.sources)]
        return torch.stack(slopes, dim=1).view_as(y) * self.sizes + RATE_WEIGHT * self.rd_lambda * bits

    def cost(self, now: Quantized) -> float:
        """RD cost of integers in bits."""
        values = now.values
        latents = torch.from_numpy(values.astype(np.float32)) * self.sizes
        error = sum(self._tile_error(latents[:, number], truth) for number, truth in enumerate(self.sources))
        error *= len(values) / len(self.evaluated)
        return error / self.rd_lambda + float(bit_costs(values, values, now.vectors)[0].sum())

    def _tile_gradient(self, latents: Tensor, truth: np.ndarray) -> Tensor:
        """Gradient of the squared error of one tile with respect to its latents (K, rows, columns, C)."""
        try:
            with self.loaded.precision():
                distortion = self._distortion(truth, self.on_frame)
                slope = self.loaded.model.gradient(*self._slots(latents, truth), distortion)
        except UsageError as error:
            raise UsageError(f"model {self.loaded.identity.name!r} cannot be refined: {error}") from None
        return slope[torch.from_numpy(self.clip.kept).to(slope.device)].view_as(latents).float().cpu()

    def _tile_error(self, latents: Tensor, truth: np.ndarray) -> float:
        """Squared error of the evaluated frames of one tile, decoded from latents (K, rows, columns, C)."""
        distortion, mask, errors = self._distortion(truth), np.zeros(len(self.clip.kept), bool), []
        mask[self.evaluated] = True

        def measure(number: int, decoded: Tensor) -> None:
            if mask[number]:
                errors.append(float(distortion(number, decoded)))

        with torch.inference_mode(), self.loaded.precision():
            self.loaded.model.decode_frames(*self._slots(latents, truth), measure, torch.from_numpy(mask))
        return sum(errors)

    def _slots(self, latents: Tensor, truth: np.ndarray) -> tuple[Tensor, Tensor, int, int, int]:
        """Inputs of the decoder network: slots (T, N, C), kept (T,), height, width and QP."""
        kept = torch.from_numpy(self.clip.kept)
        slots = latents.new_zeros(len(kept), latents[0, ..., 0].numel(), latents.shape[-1])
        slots[kept] = latents.flatten(1, 2)
        device = self.loaded.device
        return slots.to(device), kept.to(device), truth.shape[1], truth.shape[2], self.clip.qp

    def _distortion(self, truth: np.ndarray, on_frame: OnFrame | None = None) -> DistortionFn:
        """Distortion function of a tile: squared error against its kept frames `truth` (K, height, width, 3) uint8."""
        sources = dict(zip(np.flatnonzero(self.clip.kept).tolist(), truth, strict=True))

        def squared_error(number: int, decoded: Tensor) -> Tensor:
            source = torch.from_numpy(np.ascontiguousarray(sources[number])).to(decoded.device).float().div_(255)
            if on_frame is not None:
                picture = decoded.detach().float().cpu().numpy()
                on_frame(number, picture[: self.header.height, : self.header.width])
            return F.mse_loss(decoded, source, reduction="sum")

        return squared_error
