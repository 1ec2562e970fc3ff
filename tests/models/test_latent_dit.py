"""The generator's network: any grid, a time per frame, relative positions, and the size of its file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dfccodec.errors import ModelError, UsageError
from dfccodec.models import registry
from dfccodec.models.latent_dit import KnownGaps, LatentDiT, LatentDiTConfig, grid_angles, preconditioning
from dfccodec.models.weights import save_safetensors

TINY = LatentDiTConfig(width=32, depth=2, heads=4, hidden=64, patch=1)


@pytest.fixture(scope="module")
def model() -> LatentDiT:
    torch.manual_seed(0)
    dit = LatentDiT(TINY)
    for parameter in dit.parameters():  # the zero-initialized heads would hide every difference
        torch.nn.init.normal_(parameter, std=0.1)
    return dit.eval()


def evaluate(model: LatentDiT, latents: Tensor, time: float = 0.5, known: KnownGaps | None = None) -> Tensor:
    times = torch.full(latents.shape[:2], time)
    with torch.inference_mode():
        velocity: Tensor = model(latents, times, known or KnownGaps.none(*latents.shape[:2])).velocity
    return velocity


@pytest.mark.parametrize("shape", [(1, 1, 96, 1, 1), (2, 5, 96, 3, 7), (1, 32, 96, 2, 2), (1, 2, 96, 12, 12)])
def test_any_grid_and_number_of_frames(model: LatentDiT, shape: tuple[int, ...]) -> None:
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    velocity = evaluate(model, latents)
    assert velocity.shape == shape
    assert torch.isfinite(velocity).all()


def test_patches_are_put_back_where_they_were() -> None:
    """With the identity in place of the transformer, the network returns its input."""
    dit = LatentDiT(dataclasses.replace(TINY, channels=2, width=8, heads=2, depth=1, patch=2))
    with torch.no_grad():
        dit.blocks = torch.nn.ModuleList()
        dit.stem.weight.zero_()[:, :, 1, 1] = torch.eye(8)
        dit.stem.bias.zero_()
        dit.norm = torch.nn.Identity()
        dit.velocity.weight.copy_(torch.eye(8))
    latents = torch.randn(1, 2, 2, 4, 6, generator=torch.Generator().manual_seed(1))
    skip, scale = (float(part) for part in preconditioning(torch.tensor(0.25)))
    torch.testing.assert_close(evaluate(dit, latents, 0.25), (skip + scale) * latents)


def test_preconditioning_is_best_for_white_noise() -> None:
    clean, noise = torch.randn(2, 200_000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for time in (0.0, 0.2, 0.5, 0.9, 1.0):
        point, velocity = (1 - time) * noise + time * clean, clean - noise
        skip, scale = (float(part) for part in preconditioning(torch.tensor(time, dtype=torch.float64)))
        assert skip == pytest.approx(float((point * velocity).mean() / point.square().mean()), abs=0.02)
        assert scale == pytest.approx(float((velocity - skip * point).std()), rel=0.02)


def test_long_and_short_sequences_are_attended_alike(model: LatentDiT, monkeypatch: pytest.MonkeyPatch) -> None:
    latents = torch.randn(1, 3, 96, 4, 5, generator=torch.Generator().manual_seed(1))
    short = evaluate(model, latents)
    monkeypatch.setattr("dfccodec.models.latent_dit._SHORT", 1)
    torch.testing.assert_close(evaluate(model, latents), short, atol=1e-5, rtol=1e-4)


def test_positions_in_space_are_relative() -> None:
    """Scores of rotated queries and keys depend only on the distance of two patches."""
    angles = grid_angles(4, 6, 8, torch.device("cpu")).unflatten(0, (4, 6))
    between = angles[2, 5] - angles[1, 3]
    torch.testing.assert_close(between, angles[3, 2] - angles[2, 0])
    assert not torch.allclose(between, angles[2, 4] - angles[1, 3])


def test_every_frame_sees_the_others_and_its_own_time(model: LatentDiT) -> None:
    latents = torch.randn(1, 3, 96, 2, 2, generator=torch.Generator().manual_seed(1))
    base = evaluate(model, latents)
    other = latents.clone()
    other[0, 2] += 1
    assert not torch.allclose(evaluate(model, other)[0, 0], base[0, 0])
    times = torch.tensor([[0.5, 0.5, 1.0]])
    with torch.inference_mode():
        mixed = model(latents, times, KnownGaps.none(1, 3)).velocity
    assert not torch.allclose(mixed[0, 2], base[0, 2])


def test_known_gaps_matter_and_unknown_ones_do_not(model: LatentDiT) -> None:
    latents = torch.randn(1, 3, 96, 2, 2, generator=torch.Generator().manual_seed(1))
    gaps = torch.tensor([[0.0, 4.0, 9.0]])
    unknown = KnownGaps(gaps, gaps, torch.zeros(1, 3, dtype=torch.bool))
    known = KnownGaps(gaps, gaps, torch.ones(1, 3, dtype=torch.bool))
    base = evaluate(model, latents)
    assert torch.equal(evaluate(model, latents, known=unknown), base)
    assert not torch.allclose(evaluate(model, latents, known=known), base)


def test_normalization_is_undone(model: LatentDiT) -> None:
    dit = LatentDiT(TINY)
    dit.get_buffer("mean").normal_()
    dit.get_buffer("deviation").uniform_(0.1, 4)
    latents = torch.randn(2, 3, 96, 2, 2)
    torch.testing.assert_close(dit.denormalize(dit.normalize(latents)), latents, atol=1e-5, rtol=1e-5)


def test_wrong_shapes_are_named(model: LatentDiT) -> None:
    with pytest.raises(UsageError, match=r"\(1, 33, 96, 1, 1\); this model takes \(B, 1…32"):
        evaluate(model, torch.zeros(1, 33, 96, 1, 1))
    with pytest.raises(UsageError, match=r"time is \(1,\); give \(B, K\) = \(1, 2\)"):
        model(torch.zeros(1, 2, 96, 1, 1), torch.zeros(1), KnownGaps.none(1, 2))
    with pytest.raises(UsageError, match="a grid of 3×4 is not divisible by 2"):
        evaluate(LatentDiT(dataclasses.replace(TINY, patch=2)), torch.zeros(1, 1, 96, 3, 4))
    with pytest.raises(ModelError, match="width is 30"):
        LatentDiTConfig(width=30)


def test_file_fits_the_package_and_loads(tmp_path: Path, model: LatentDiT) -> None:
    with torch.device("meta"):
        full = LatentDiT()
    assert sum(2 * p.numel() for p in full.state_dict().values()) <= 16e6
    save_safetensors(tmp_path / "a.safetensors", dict(model.state_dict()), model.config_json, "tiny")
    loaded, info = registry.load_generator(str(tmp_path / "a.safetensors"))
    assert (info.family, info.name) == ("mini-dit", "tiny")
    assert isinstance(loaded, LatentDiT)
    latents = torch.randn(1, 2, 96, 2, 2)
    torch.testing.assert_close(evaluate(loaded, latents), evaluate(model, latents))
    with pytest.raises(ModelError, match="is a generator"):
        registry.load(str(tmp_path / "a.safetensors"))
    with pytest.raises(ModelError, match="is a codec"):
        registry.load_generator("mini")
