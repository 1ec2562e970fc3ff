from __future__ import annotations

import numpy as np
import pytest
import torch

from dfccodec.codec.clip.quantizer import quantize_inter
from dfccodec.entropy.inter.motion_compensation import CHANNELS
from dfccodec.training.losses.quantization import estimate_latent_motion, predict, snap


def panned(clips: int) -> torch.Tensor:
    """Latents (clips, 5, 96, 4, 6) of a texture that goes left by a cell a frame, and a little noise."""
    rng = np.random.default_rng(3)
    scene = rng.laplace(size=(clips, 1, CHANNELS, 4, 12)) * 6
    y = np.concatenate([scene[..., k : k + 6] for k in range(5)], axis=1)
    return torch.from_numpy(y + rng.normal(size=y.shape) / 4)


@pytest.mark.parametrize("moving", [False, True])
def test_training_rounds_as_the_encoder_does(moving: bool) -> None:
    y = panned(clips=2)
    vectors = estimate_latent_motion(y) if moving else None
    assert not moving or (vectors != 0).any()
    values, _ = snap(y, vectors)
    for clip, made in zip(y.numpy(), values.numpy(), strict=True):
        latents = np.ascontiguousarray(clip.transpose(0, 2, 3, 1))[:, None]
        ours = quantize_inter(latents, np.ones(CHANNELS, np.float32), 0, 0.15, moving).values
        assert np.array_equal(made.transpose(0, 2, 3, 1)[:, None], ours)


def test_what_was_expected_is_what_the_integers_lead_to() -> None:
    y = panned(clips=1)
    vectors = estimate_latent_motion(y)
    values, wanted = snap(y, vectors)
    assert torch.equal(wanted, predict(values, vectors))
    assert not wanted[:, 0].any()
    assert torch.equal(predict(values, None)[:, 1:], values[:, :-1])


def test_what_has_moved_is_expected_better_than_what_stands_still() -> None:
    y = panned(clips=2)
    values, wanted = snap(y, estimate_latent_motion(y))
    misses = [float((values - each)[:, 1:].abs().mean()) for each in (wanted, predict(values, None))]
    assert misses[0] < 0.7 * misses[1]
