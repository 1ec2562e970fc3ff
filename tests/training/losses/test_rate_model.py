from __future__ import annotations

import numpy as np
import pytest
import torch

from dfccodec.training.losses.quantization import predict
from dfccodec.training.losses.rate_model import ContextRateModel, _laplace


def entropy(y: torch.Tensor) -> float:
    _, counts = torch.unique(y, return_counts=True)
    p = counts / counts.sum()
    return float(-(p * p.log2()).sum())


def test_bits_start_as_the_entropy_of_a_laplace_source() -> None:
    rate = ContextRateModel(torch.ones(1), base_step=1.0)
    rate.log_width.data.fill_(np.log(2.0))
    rate.weight.data[4] = -20
    y = torch.round(torch.distributions.Laplace(0.0, 2.0).sample((200_000,))).reshape(1, 1, 1, -1, 1)
    with torch.no_grad():
        bits = rate(y, y, torch.zeros_like(y), torch.tensor([8])).mean()
    assert float(bits) == pytest.approx(entropy(y), rel=0.02)


def test_probabilities_add_up_to_one() -> None:
    x = torch.arange(-4000, 4001).double()
    for width in (0.05, 0.5, 3.0, 80.0):
        for shift in (0.0, 0.3, 0.5):
            assert float(_laplace(x + shift, torch.tensor(width).double()).sum()) == pytest.approx(1, abs=1e-6)


def test_static_content_becomes_cheap_after_training() -> None:
    torch.manual_seed(0)
    rate = ContextRateModel(torch.ones(4), base_step=0.1)
    y = torch.round(torch.randn(1, 1, 4, 3, 3) * 5).expand(1, 6, 4, 3, 3)
    qp = torch.tensor([8])
    before = float(rate(y, y, predict(y, None), qp)[:, 1:].mean().detach())
    optimizer = torch.optim.Adam(rate.parameters(), 0.1)
    for _ in range(60):
        optimizer.zero_grad()
        rate(y, y, predict(y, None), qp).mean().backward()
        optimizer.step()
    with torch.no_grad():
        bits = rate(y, y, predict(y, None), qp)
    assert float(bits[:, 1:].mean()) < 0.3 * before
    assert float(bits[:, 0].mean()) > 2  # the first frame has no reference


def test_bits_depend_on_past_only() -> None:
    torch.manual_seed(0)
    rate = ContextRateModel(torch.ones(3), base_step=0.1)
    torch.nn.init.normal_(rate.weight)
    y = torch.round(torch.randn(1, 4, 3, 2, 2) * 3)
    later = y.clone()
    later[:, 3] += 5
    later[:, 2, 2] -= 4
    qp = torch.tensor([20])
    with torch.no_grad():
        a, b = rate(y, y, predict(y, None), qp), rate(later, later, predict(later, None), qp)
    assert torch.equal(a[:, :2], b[:, :2])
    assert torch.equal(a[:, 2, :2], b[:, 2, :2])
