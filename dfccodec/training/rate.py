"""The rate term of training: a Laplace distribution per channel whose width follows the quantizer index."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LaplaceRate(nn.Module):
    """Bits of quantized latents under a zero-mean Laplace per channel and knot of QP, linear between knots.

    A factorized prior (Ballé et al. 2018, "Variational image compression with a scale hyperprior", section 3).
    """

    def __init__(
        self, channels: int, scale: Tensor, base_step: float, qps: tuple[int, ...] = tuple(range(0, 64, 8))
    ) -> None:
        super().__init__()
        self.register_buffer("knots", torch.tensor(qps, dtype=torch.float32))
        steps = base_step * 2.0 ** (torch.tensor(qps, dtype=torch.float32) / 8)
        start = (scale[None, :] / steps[:, None] / math.sqrt(2)).clamp(min=0.05).log()
        self.log_width = nn.Parameter(start)  # (K, C), in units of the step

    def forward(self, y: Tensor, qp: Tensor) -> Tensor:
        """Integers with noise y (B, C, h, w) at QP (B,) -> bits (B, C, h, w)."""
        knots: Tensor = self.knots  # type: ignore[assignment]
        place = (qp.float() / (knots[1] - knots[0])).clamp(0, len(knots) - 1.001)
        low = place.long()
        part = (place - low)[:, None]
        log_width = self.log_width[low] * (1 - part) + self.log_width[low + 1] * part
        width = log_width.exp()[:, :, None, None]
        upper, lower = _laplace_cdf(-(y.abs() - 0.5) / width), _laplace_cdf(-(y.abs() + 0.5) / width)
        return -torch.log2((upper - lower).clamp(min=1e-9))


def _laplace_cdf(x: Tensor) -> Tensor:
    tail = 0.5 * torch.exp(-x.abs())
    return torch.where(x < 0, tail, 1 - tail)
