"""Differentiable model of the bits that the entropy coder needs for latents."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KNOT_QPS = tuple(range(0, 64, 8))
"""Quantizer indices at which widths are parameters; they are interpolated linearly in between."""

Context = tuple[Tensor, Tensor, Tensor, Tensor]


class ContextRateModel(nn.Module):
    """Bits of quantized latents, given the previous kept frame and the previous channels.

    A mixture of two Laplace distributions. One is centred at zero, the other at the prediction: the co-located latent
    of the previous kept frame, motion-compensated in inter coding. Widths and mixture weight depend on the quantizer
    index and on three magnitudes that a decoder knows: previous channels at the same position, predictions around the
    position, and prediction errors of the previous channels. The model is initialized as a factorized prior (Ballé et
    al. 2018, "Variational image compression with a scale hyperprior", section 3). It replaces the contexts of SPEC.md
    7, whose weights are integers.
    """

    def __init__(self, scale: Tensor, base_step: float) -> None:
        super().__init__()
        channels = len(scale)
        steps = base_step * 2.0 ** (torch.tensor(KNOT_QPS, dtype=torch.float32) / 8)
        start = (scale[None, :] / steps[:, None] / math.sqrt(2)).clamp(min=0.05).log()
        self.log_width = nn.Parameter(start)  # (knots, C), in units of the step
        self.still_width = nn.Parameter(torch.full((len(KNOT_QPS), channels), -0.5))
        self.weight = nn.Parameter(torch.zeros(7, channels))
        with torch.no_grad():
            self.weight[4] = -3.0  # initially, the mixture weight of the prediction is small

    def forward(self, noisy: Tensor, rounded: Tensor, prediction: Tensor, qp: Tensor) -> Tensor:
        """Return the bits of latents at QP (B,).

        Args:
            noisy: (B, K, C, h, w) latents with uniform noise, in quantizer steps.
            rounded: quantized latents, shaped as `noisy`.
            prediction: predictions, shaped as `noisy`; 0 for the first kept frame (`training.losses.quantization`).
            qp: (B,) quantizer indices.

        Returns:
            bits, shaped as `noisy`.
        """
        texture, before, change, first = self._context(rounded.detach(), prediction)
        wide, still = self._interpolate(self.log_width, qp), self._interpolate(self.still_width, qp)
        w = self.weight[:, None, None, :, None, None]
        about_zero = _laplace(noisy, (wide + w[0] * texture + w[1] * before).exp())
        around = _laplace(noisy - prediction, (still + w[2] * change + w[3] * texture).exp())
        share = torch.sigmoid(w[4] + w[5] * change + w[6] * texture) * (1 - first)
        return -torch.log2(((1 - share) * about_zero + share * around).clamp(min=1e-9))

    def _context(self, y: Tensor, prediction: Tensor) -> Context:
        first = torch.zeros_like(y[:, :, :1])
        first[:, 0] = 1
        around = F.avg_pool2d(prediction.abs().flatten(0, 1), 3, 1, 1).reshape(y.shape)
        return _previous_channels(y.abs()), torch.log1p(around), _previous_channels((y - prediction).abs()), first

    def _interpolate(self, table: Tensor, qp: Tensor) -> Tensor:
        """Interpolate a table (knots, C) at QP (B,) to shape (B, 1, C, 1, 1)."""
        place = (qp.float() / (KNOT_QPS[1] - KNOT_QPS[0])).clamp(0, len(KNOT_QPS) - 1.001)
        low = place.long()
        part = (place - low)[:, None]
        return (table[low] * (1 - part) + table[low + 1] * part)[:, None, :, None, None]


def _previous_channels(x: Tensor) -> Tensor:
    """Return log(1 + sum over the previous channels), scaled to about 1 in textured areas; (B, K, C, h, w)."""
    return 0.5 * torch.log1p((x.cumsum(dim=2) - x) / 4)


def _laplace(x: Tensor, width: Tensor) -> Tensor:
    """Return the probability of [x - ½, x + ½] under a zero-mean Laplace distribution of the given width."""
    far = x.abs()
    inner = 1 - 0.5 * (torch.exp(-(0.5 - far).clamp(min=0) / width) + torch.exp(-(far + 0.5) / width))
    # Half the difference of two exponentials, as one product: this avoids cancellation of small values.
    outer = 0.5 * torch.exp(-(far - 0.5).clamp(min=0) / width) * -torch.expm1(-1 / width)
    return torch.where(far < 0.5, inner, outer)
