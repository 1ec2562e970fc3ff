"""Quantization and inter prediction of a batch of latents, as in the encoder."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from dfccodec.codec.clip.quantizer import DEFAULT_DEADZONE
from dfccodec.entropy.inter.motion_compensation import motion_compensate
from dfccodec.entropy.inter.motion_estimation import estimate_motion
from dfccodec.runtime.resources import single_threaded_blas


@single_threaded_blas()
def quantize_with_prediction(
    y: Tensor, vectors: np.ndarray | None = None, deadzone: float = DEFAULT_DEADZONE
) -> tuple[Tensor, Tensor]:
    """Quantize latents with a dead zone around the prediction, as `codec.clip.quantizer.quantize` does.

    Args:
        y: (B, K, C, h, w) latents of kept frames in order, in quantizer steps.
        vectors: (K, B·h·w, 2) from :func:`estimate_latent_motion`; None predicts without motion.
        deadzone: dead zone in quantizer steps, 0 to 0.5.

    Returns:
        quantized latents and their predictions, both shaped as `y`. The first kept frame of a clip is predicted as 0.
    """
    out, predictions = [torch.round(y[:, 0])], [torch.zeros_like(y[:, 0])]
    for k in range(1, y.shape[1]):
        predictions.append(out[-1] if vectors is None else _compensate_motion(out[-1], vectors[k]))
        out.append(
            torch.where((y[:, k] - predictions[-1]).abs() < 0.5 + deadzone, predictions[-1], torch.round(y[:, k]))
        )
    return torch.stack(out, dim=1), torch.stack(predictions, dim=1)


@single_threaded_blas()
def predict(values: Tensor, vectors: np.ndarray | None) -> Tensor:
    """Predict quantized latents (B, K, C, h, w) from the previous kept frame; see :func:`quantize_with_prediction`."""
    parts = [torch.zeros_like(values[:, 0])]
    for k in range(1, values.shape[1]):
        parts.append(values[:, k - 1] if vectors is None else _compensate_motion(values[:, k - 1], vectors[k]))
    return torch.stack(parts, dim=1)


@single_threaded_blas()
def estimate_latent_motion(y: Tensor) -> np.ndarray:
    """Estimate the encoder's motion vectors (K, B·h·w, 2) for latents (B, K, 96, h, w) in quantizer steps."""
    values, _ = quantize_with_prediction(y)
    tiles = values.permute(1, 0, 3, 4, 2).to(torch.int16).cpu().numpy()
    return estimate_motion(np.ascontiguousarray(tiles), torch.get_num_threads())


def _compensate_motion(frame: Tensor, vectors: np.ndarray) -> Tensor:
    """Motion-compensate the quantized latents (B, 96, h, w) of a kept frame, cell by cell."""
    cells = frame.permute(0, 2, 3, 1)
    clips, rows, columns, channels = cells.shape
    made = motion_compensate(cells.reshape(-1, channels).to(torch.int16).cpu().numpy(), vectors, (clips, rows, columns))
    return torch.from_numpy(made).to(frame).view(cells.shape).permute(0, 3, 1, 2)
