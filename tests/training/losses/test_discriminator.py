"""The patch discriminator: separate gradients, learning, and stored pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dfccodec.training.losses.discriminator import REPLAYED_PICTURES, STORED_PICTURES, Discriminator


def make_pictures(seed: int, count: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return blurred noise as decoded pictures, noise as source, and a flat PCA reconstruction."""
    truth = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    made = torch.nn.functional.avg_pool2d(truth, 3, 1, 1)
    return made, truth, torch.full_like(truth, 0.5)


def test_losses_have_separate_gradients() -> None:
    judge = Discriminator(32)
    made, truth, base = make_pictures(1)
    made.requires_grad_()
    fooled, caught = judge.losses(made, truth, base, np.random.default_rng(1))
    assert fooled.shape == (2,)
    fooled.sum().backward(retain_graph=True)
    assert made.grad is not None
    assert all(p.grad is None for p in judge.parameters())
    made.grad = None
    caught.backward()
    assert made.grad is None
    assert all(p.grad is not None and p.requires_grad for p in judge.parameters())


def test_discriminator_learns_blur() -> None:
    torch.manual_seed(1)
    judge = Discriminator(32)
    optimizer = torch.optim.Adam(judge.parameters(), lr=2e-3)
    costs = []
    for step in range(60):
        fooled, caught = judge.losses(*make_pictures(step), np.random.default_rng(step))
        optimizer.zero_grad()
        caught.backward()
        optimizer.step()
        costs.append((float(caught.detach()), float(fooled.detach().mean())))
    assert costs[-1][0] < 0.5 * costs[0][0]
    assert costs[-1][1] > 1.5 * costs[0][1]


def test_stored_pictures_are_replayed() -> None:
    judge = Discriminator(32)
    rng = np.random.default_rng(1)
    seen = []
    judge.layers.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[0]))
    for step in range(STORED_PICTURES):
        judge.losses(*make_pictures(step), rng)
    assert seen[2] == 2  # no stored pictures yet
    assert seen[-1] == 2 + REPLAYED_PICTURES
    assert int(judge.get_buffer("count")) == 2 * STORED_PICTURES
    past = judge.get_buffer("past").float()
    assert past.abs().amax(dim=(1, 2, 3)).min() > 0  # all slots are used
    assert (past[:, 6:] == 0.5).all()
    latest = make_pictures(STORED_PICTURES - 1)[1]
    assert min(float((past[:, 3:6] - picture).abs().amax(dim=(1, 2, 3)).min()) for picture in latest) < 1e-3


def test_larger_pictures_are_cropped_alike() -> None:
    judge, seen = Discriminator(16), []
    judge.layers.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    places = torch.arange(3 * 32 * 32).reshape(1, 3, 32, 32) / (3 * 32 * 32)
    for seed in range(4):
        judge.losses(places, places, places, np.random.default_rng(seed))
    assert all(batch.shape[1:] == (6, 16, 16) for batch in seen)
    assert all(torch.equal(batch[:1, :3], batch[:1, 3:]) for batch in seen)
    assert len({float(batch[0, 0, 0, 0]) for batch in seen}) > 1


@pytest.mark.parametrize("size", [32, 48])
def test_scores_are_eight_pixels_apart(size: int) -> None:
    picture = torch.zeros(1, 3, size, size)
    assert Discriminator(32)(picture, picture).shape == (1, 1, size // 8, size // 8)
