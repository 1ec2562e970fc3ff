"""Latents of a batch -> integers as the encoder makes them, and what the inter coding expects each frame to be."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dfccodec.codec.clip.quantizer import DEFAULT_DEADZONE
from dfccodec.entropy.inter.motion_compensation import motion_compensate
from dfccodec.entropy.inter.motion_estimation import estimate_motion
from dfccodec.runtime.resources import single_threaded_blas


@single_threaded_blas()
def snap(y: Tensor, vectors: np.ndarray | None = None, slack: float = DEFAULT_DEADZONE) -> tuple[Tensor, Tensor]:
    """Round as `codec.quantizer.quantize`.

    Args:
        y: (B, K, C, h, w) latents in steps, of kept frames in order.
        vectors: (K, B·h·w, 2) of :func:`estimate_latent_motion`; None where nothing is taken to move.
        slack: of rounding, in steps.

    Returns:
        integers, and what was expected of them, which is 0 of each clip's first kept frame; both as `y`.
    """
    out, expected = [torch.round(y[:, 0])], [torch.zeros_like(y[:, 0])]
    for k in range(1, y.shape[1]):
        expected.append(out[-1] if vectors is None else _moved(out[-1], vectors[k]))
        out.append(torch.where((y[:, k] - expected[-1]).abs() < 0.5 + slack, expected[-1], torch.round(y[:, k])))
    return torch.stack(out, dim=1), torch.stack(expected, dim=1)


@single_threaded_blas()
def predict(values: Tensor, vectors: np.ndarray | None) -> Tensor:
    """What integers are expected to be as they stand; arguments and result as of :func:`snap`."""
    parts = [torch.zeros_like(values[:, 0])]
    for k in range(1, values.shape[1]):
        parts.append(values[:, k - 1] if vectors is None else _moved(values[:, k - 1], vectors[k]))
    return torch.stack(parts, dim=1)


@single_threaded_blas()
def estimate_latent_motion(y: Tensor) -> np.ndarray:
    """Vectors (K, B·h·w, 2) that the encoder finds for latents in steps (B, K, 96, h, w), clips side by side."""
    values, _ = snap(y)
    tiles = values.permute(1, 0, 3, 4, 2).to(torch.int16).cpu().numpy()
    return estimate_motion(np.ascontiguousarray(tiles), torch.get_num_threads())


def _moved(frame: Tensor, vectors: np.ndarray) -> Tensor:
    """A kept frame's integers (B, 96, h, w) as each cell would be if it showed another place."""
    cells = frame.permute(0, 2, 3, 1)
    clips, rows, columns, channels = cells.shape
    made = motion_compensate(cells.reshape(-1, channels).to(torch.int16).cpu().numpy(), vectors, (clips, rows, columns))
    return torch.from_numpy(made).to(frame).view(cells.shape).permute(0, 3, 1, 2)
