from __future__ import annotations

import numpy as np
import pytest
import torch

from dfccodec.codec.clip.quantizer import quantize_inter
from dfccodec.entropy.inter.motion_compensation import CHANNELS
from dfccodec.training.losses.quantization import estimate_latent_motion, predict, quantize_with_prediction


def make_panning_latents(clips: int) -> torch.Tensor:
    """Return latents (clips, 5, 96, 4, 6) of a texture that moves left by a cell per frame, with little noise."""
    rng = np.random.default_rng(3)
    scene = rng.laplace(size=(clips, 1, CHANNELS, 4, 12)) * 6
    y = np.concatenate([scene[..., k : k + 6] for k in range(5)], axis=1)
    return torch.from_numpy(y + rng.normal(size=y.shape) / 4)


@pytest.mark.parametrize("moving", [False, True])
def test_training_quantizes_like_encoder(moving: bool) -> None:
    y = make_panning_latents(clips=2)
    vectors = estimate_latent_motion(y) if moving else None
    assert not moving or (vectors != 0).any()
    values, _ = quantize_with_prediction(y, vectors)
    for clip, made in zip(y.numpy(), values.numpy(), strict=True):
        latents = np.ascontiguousarray(clip.transpose(0, 2, 3, 1))[:, None]
        ours = quantize_inter(latents, np.ones(CHANNELS, np.float32), 0, 0.15, moving).values
        assert np.array_equal(made.transpose(0, 2, 3, 1)[:, None], ours)


def test_predictions_follow_from_quantized_latents() -> None:
    y = make_panning_latents(clips=1)
    vectors = estimate_latent_motion(y)
    values, wanted = quantize_with_prediction(y, vectors)
    assert torch.equal(wanted, predict(values, vectors))
    assert not wanted[:, 0].any()
    assert torch.equal(predict(values, None)[:, 1:], values[:, :-1])


def test_motion_compensation_improves_prediction() -> None:
    y = make_panning_latents(clips=2)
    values, wanted = quantize_with_prediction(y, estimate_latent_motion(y))
    misses = [float((values - each)[:, 1:].abs().mean()) for each in (wanted, predict(values, None))]
    assert misses[0] < 0.7 * misses[1]
