"""The rate term of training: what the range coder will charge for a latent, as a smooth function of it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KNOTS = tuple(range(0, 64, 8))
"""Quantizer indices at which widths are learned; linear between them."""

Context = tuple[Tensor, Tensor, Tensor, Tensor]


class ContextRate(nn.Module):
    """Bits of quantized latents given the kept frame before and the channels before.

    A mixture of two Laplace distributions: one around zero, one around what is expected: the same place in the previous
    kept frame, or with inter coding what has moved there. Widths and mixture follow the quantizer index and three
    magnitudes already known to a decoder: of the channels before, at the same place; of what is expected around the
    place; of what has come otherwise in the channels before. It starts as a factorized prior (Ballé et al. 2018,
    "Variational image compression with a scale hyperprior", section 3) and stands in for the contexts of SPEC.md 7,
    which have integers for weights.
    """

    def __init__(self, scale: Tensor, base_step: float) -> None:
        super().__init__()
        channels = len(scale)
        steps = base_step * 2.0 ** (torch.tensor(KNOTS, dtype=torch.float32) / 8)
        start = (scale[None, :] / steps[:, None] / math.sqrt(2)).clamp(min=0.05).log()
        self.log_width = nn.Parameter(start)  # (knots, C), in units of the step
        self.still_width = nn.Parameter(torch.full((len(KNOTS), channels), -0.5))
        self.weight = nn.Parameter(torch.zeros(7, channels))
        with torch.no_grad():
            self.weight[4] = -3.0  # nothing is taken to stand still at first

    def forward(self, noisy: Tensor, rounded: Tensor, expected: Tensor, qp: Tensor) -> Tensor:
        """Bits of integers with noise `noisy`, given the integers `rounded`, of which these were expected, at QP (B,).

        All are (B, K, C, h, w), and so is the result; `expected` is 0 of the first kept frame (`training.rounding`).
        """
        texture, before, change, first = self._context(rounded.detach(), expected)
        wide, still = self._at(self.log_width, qp), self._at(self.still_width, qp)
        w = self.weight[:, None, None, :, None, None]
        about_zero = _laplace(noisy, (wide + w[0] * texture + w[1] * before).exp())
        around = _laplace(noisy - expected, (still + w[2] * change + w[3] * texture).exp())
        share = torch.sigmoid(w[4] + w[5] * change + w[6] * texture) * (1 - first)
        return -torch.log2(((1 - share) * about_zero + share * around).clamp(min=1e-9))

    def _context(self, y: Tensor, expected: Tensor) -> Context:
        first = torch.zeros_like(y[:, :, :1])
        first[:, 0] = 1
        around = F.avg_pool2d(expected.abs().flatten(0, 1), 3, 1, 1).reshape(y.shape)
        return _earlier(y.abs()), torch.log1p(around), _earlier((y - expected).abs()), first

    def _at(self, table: Tensor, qp: Tensor) -> Tensor:
        """A row of a table (knots, C) at QP (B,), shaped (B, 1, C, 1, 1)."""
        place = (qp.float() / (KNOTS[1] - KNOTS[0])).clamp(0, len(KNOTS) - 1.001)
        low = place.long()
        part = (place - low)[:, None]
        return (table[low] * (1 - part) + table[low + 1] * part)[:, None, :, None, None]


def _earlier(x: Tensor) -> Tensor:
    """Log of one plus the sum over the channels before, (B, K, C, h, w) -> the same; about 1 in textured places."""
    return 0.5 * torch.log1p((x.cumsum(dim=2) - x) / 4)


def _laplace(x: Tensor, width: Tensor) -> Tensor:
    """Probability of the interval of length one around x under a Laplace of that width around zero."""
    far = x.abs()
    inner = 1 - 0.5 * (torch.exp(-(0.5 - far).clamp(min=0) / width) + torch.exp(-(far + 0.5) / width))
    # Half the difference of two exponentials: written as one product, so that small ones do not cancel.
    outer = 0.5 * torch.exp(-(far - 0.5).clamp(min=0) / width) * -torch.expm1(-1 / width)
    return torch.where(far < 0.5, inner, outer)
