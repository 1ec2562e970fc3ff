from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch

from dfccodec.errors import InputError
from dfccodec.training.run import TrainRequest, train
from dfccodec.training.tasks.video_vae import draw_mask_pair, policy_loss

RECIPE = """
task = "published"
[options.config]
height = 32
width = 32
channels = 3
patch_size = 16
encoder_depth = 1
decoder_depth = 1
mlp_dim = 32
num_heads = 2
qkv_features = 32
max_temporal_len = 4
spatial_compression_rate = 8
unembedding_upsample_rate = 4
[[stage]]
name = "all"
share = 1.0
frames = 4
crop = 32
batch = 2
learning_rate = 3e-3
"""


def test_the_published_architecture_trains_and_loads(video_folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    rows: list[dict[str, object]] = []
    out = tmp_path / "run"
    request = TrainRequest(str(recipe), video_folder, out, steps=20, threads=1, device="cpu", dtype="float32", seed=1)
    train(request, lambda row: rows.append(row) if "score" in row else None)
    assert float(rows[-1]["score"]) > float(rows[0]["score"]) + 0.3  # type: ignore[arg-type]
    from dfccodec.codec.api import load_model

    assert load_model(str(out / "model.safetensors")).model.tile == 32


def test_better_mask_becomes_more_likely() -> None:
    logits = torch.zeros(1, 2, requires_grad=True)
    masks = torch.tensor([[[True, False]], [[False, True]]])
    policy_loss(torch.sigmoid(logits), masks, torch.tensor([[1.0], [0.0]])).backward()
    assert logits.grad is not None
    assert (
        logits.grad[0, 0] < 0 < logits.grad[0, 1]
    )  # gradient descent raises the importance of the frame in the better mask


def test_equal_rewards_give_no_gradient() -> None:
    logits = torch.zeros(3, 4, requires_grad=True)
    masks = torch.stack(draw_mask_pair(torch.full((3, 4), 0.5), torch.Generator().manual_seed(0)))
    policy_loss(torch.sigmoid(logits), masks, torch.ones(2, 3)).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros(3, 4))


def test_masks_follow_their_probabilities() -> None:
    p = torch.tensor([0.1, 0.5, 0.9]).expand(4000, 3)
    first, second = draw_mask_pair(p, torch.Generator().manual_seed(0))
    assert first.float().mean(dim=0) == pytest.approx([0.1, 0.5, 0.9], abs=0.03)
    assert not torch.equal(first, second)


def test_perceptual_term_changes_loss_and_is_not_in_checkpoints() -> None:
    from dfccodec.errors import DfcError
    from dfccodec.metrics.lpips import find_weights
    from dfccodec.models.config import VAEConfig
    from dfccodec.models.vae import VideoVAE
    from dfccodec.training.tasks.video_vae import VideoVAELoss

    try:
        find_weights()
    except DfcError as error:
        pytest.skip(str(error))
    config = tomllib.loads(RECIPE)["options"]["config"]
    system = VideoVAELoss(VideoVAE(VAEConfig(**config)), {"perceptual": 1.0}, torch.float32)
    assert all(name.startswith("model.") for name in system.state_dict())
    video, back = torch.rand(2, 3, 32, 32, 3), torch.rand(2, 3, 32, 32, 3, requires_grad=True)
    plain = VideoVAELoss(system.model, {}, torch.float32)
    more = system._distortion(video, back) - plain._distortion(video, back)
    assert (more > 0).all()
    more.sum().backward()
    assert back.grad is not None
    assert float(back.grad.abs().sum()) > 0


def test_unknown_weight_is_reported(video_folder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE.replace("[[stage]]", "[options.weights]\nbeauty = 1\n[[stage]]"))
    with pytest.raises(InputError, match="'beauty' is unknown"):
        train(TrainRequest(str(recipe), video_folder, tmp_path / "run", steps=1, threads=1))
