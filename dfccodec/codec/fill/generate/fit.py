"""Encoder of fill policy `generate`: fits the motion latent of each kept frame to the source frames around it.

Block motion search gives trajectories, least squares project them onto the waves of the model, and gradient descent on
the error of warped pictures corrects them, at a quarter and then at half of the size.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from dfccodec.codec.motion.blocks import BLOCK
from dfccodec.codec.motion.pyramid import Pyramid
from dfccodec.codec.motion.search import Effort, estimate_motion
from dfccodec.container.records import MotionFilter
from dfccodec.models.regen import CELL, TIME_UNIT, warp_picture, wave_basis

Floats = npt.NDArray[np.float32]
Frames = npt.NDArray[np.uint8]

RIDGE = 0.05
"""Weight of small amplitudes in least squares; without it, opposite waves cancel in short spans."""

SMOOTHNESS = 0.002
"""Weight of differences between neighbouring cells, per pixel, beside errors of samples in 0…1."""

SCALES = ((4, 25, 0.6), (2, 35, 0.36))
"""Reduction of the pictures, number of iterations, first learning rate in pixels."""

SEARCH_LAMBDA = 1e-3
"""λ of the block search, squared error (sum over samples in 0…1) per bit."""


def fit_motion(frames: Frames, kept: int, span: tuple[int, int], waves: int) -> Floats:
    """Fit the motion latent of one kept frame.

    Args:
        frames: (T, H, W, 3) source frames.
        kept: number of the kept frame.
        span: first frame, and end, of the frames that it is a reference of.
        waves: number of waves.

    Returns:
        (4 · waves, gh, gw) amplitudes in pixels; the grid covers the picture.
    """
    numbers = [n for n in range(*span) if n != kept]
    rows, columns = (-(-side // CELL) for side in frames.shape[1:3])
    if not numbers:
        return np.zeros((4 * waves, rows, columns), np.float32)
    with torch.inference_mode(False), torch.enable_grad():
        time = (torch.tensor(numbers, dtype=torch.float32) - kept) / TIME_UNIT
        basis = wave_basis(time, waves)
        start = project(trajectories(frames, kept, numbers), basis.numpy())
        latent = torch.from_numpy(start).requires_grad_()
        source, reference = padded_pictures(frames[numbers]), padded_pictures(frames[kept][None])
        for scale, iterations, rate in SCALES:
            _descend(
                latent, basis, F.avg_pool2d(source, scale), F.avg_pool2d(reference, scale), scale, iterations, rate
            )
    return latent.detach().flatten(0, 1).numpy()


def _descend(
    latent: Tensor, basis: Tensor, source: Tensor, reference: Tensor, scale: int, iterations: int, rate: float
) -> None:
    """Improve the latent (F, 2, gh, gw) in place: Adam on the error of `reference` (1, 3, h, w), warped, to `source`
    (T, 3, h, w), both reduced by `scale`; `basis` is (T, F)."""
    optimizer = torch.optim.Adam([latent], lr=rate, betas=(0.8, 0.95))
    for number in range(iterations):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - 0.8 * number / iterations)
        flow = torch.einsum("tf,fcyx->tcyx", basis, latent)
        flow = F.interpolate(flow, source.shape[2:], mode="bilinear") / scale
        error = warp_picture(reference, flow, "bilinear") - source
        loss = (error.square().sum(dim=1) + 1e-3).sqrt().mean()
        for axis in (2, 3):
            loss = loss + SMOOTHNESS * latent.diff(dim=axis).abs().sum() / latent.numel()
        (gradient,) = torch.autograd.grad(loss, [latent])
        latent.grad = gradient
        optimizer.step()


def trajectories(frames: Frames, kept: int, numbers: list[int]) -> Floats:
    """Block motion of frames into the kept frame, as median over each cell: (len(numbers), gh, gw, 2) in pixels."""
    reference = Pyramid(frames[kept], MotionFilter.LINEAR)
    blocks = [-(-side // BLOCK) for side in frames.shape[1:3]]
    everywhere = np.ones(blocks, np.bool_)
    found = {}
    for side in (sorted(n for n in numbers if n > kept), sorted((n for n in numbers if n < kept), reverse=True)):
        predictors = None
        for number in side:
            target, distance = Pyramid(frames[number]), abs(number - kept)
            mvs = estimate_motion(target, reference, SEARCH_LAMBDA, predictors, Effort.NORMAL, everywhere)
            found[number] = _cell_medians((mvs / np.float32(MotionFilter.LINEAR.subpel)).astype(np.float32))
            predictors = np.rint(mvs * ((distance + 1) / distance)).astype(np.int32)
    return np.stack([found[number] for number in numbers])


def project(motion: Floats, basis: Floats) -> Floats:
    """Least squares: motion (T, gh, gw, 2) on functions (T, F) → amplitudes (F, 2, gh, gw)."""
    solve = np.linalg.solve(basis.T @ basis + RIDGE * np.eye(basis.shape[1], dtype=np.float32), basis.T)
    out: Floats = np.einsum("ft,tyxc->fcyx", solve, motion).astype(np.float32)
    return out


def _cell_medians(blocks: Floats) -> Floats:
    """Vectors of blocks (rows, columns, 2) → median of each cell (gh, gw, 2)."""
    side = CELL // BLOCK
    rows, columns = (-(-n // side) for n in blocks.shape[:2])
    whole = np.pad(blocks, ((0, rows * side - blocks.shape[0]), (0, columns * side - blocks.shape[1]), (0, 0)), "edge")
    parts = whole.reshape(rows, side, columns, side, 2).transpose(0, 2, 4, 1, 3)
    out: Floats = np.median(parts.reshape(rows, columns, 2, -1), axis=-1)
    return out


def padded_pictures(frames: Frames) -> Tensor:
    """Frames (T, H, W, 3) with the last rows and columns repeated up to whole cells: (T, 3, h, w) in 0…1."""
    down, right = (-side % CELL for side in frames.shape[1:3])
    padded = np.pad(frames, ((0, 0), (0, down), (0, right), (0, 0)), "edge")
    return torch.from_numpy(padded).permute(0, 3, 1, 2).float() / 255
