"""Texture masks: gradients, blur and single edges are not texture."""

from __future__ import annotations

import pytest
import torch

from dfccodec.training.losses.texture_mask import detail_share, split_error, texture_share


def make_pictures(kind: str) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    made = {
        "flat": torch.full((48, 64), 0.4),
        "slope": columns / 100,
        "blur": 0.5 + 0.3 * torch.sin(rows / 12),
        "edge": (columns > 31).float(),
        "grain": 0.5 + torch.randn(48, 64, generator=torch.Generator().manual_seed(1)) * 1 / 255,
        "grass": torch.rand(48, 64, generator=torch.Generator().manual_seed(2)),
    }[kind]
    return made.expand(1, 3, 48, 64)


@pytest.mark.parametrize("kind", ["flat", "slope", "blur", "grain"])
def test_smooth_pictures_have_no_texture(kind: str) -> None:
    assert texture_share(make_pictures(kind)).max() < 0.15


def test_single_edge_is_not_texture() -> None:
    share = texture_share(make_pictures("edge"))[0, 0]
    assert share[:, :24].max() < 0.15
    assert share[:, 40:].max() < 0.15


def test_single_edge_is_detail() -> None:
    share = detail_share(make_pictures("edge"))[0, 0]
    assert share[:, 28:36].min() > 0.9
    assert share[:, :20].max() < 0.01
    assert detail_share(make_pictures("grass")).min() > 0.9
    for kind in ("flat", "slope", "blur", "grain"):
        assert detail_share(make_pictures(kind))[..., 8:-8, 8:-8].max() < 0.15


def test_grass_is_texture_everywhere() -> None:
    share = texture_share(make_pictures("grass"))
    assert share.shape == (1, 1, 48, 64)
    assert share.min() > 0.9
    assert share.max() <= 1


def test_split_error_keeps_all_error() -> None:
    truth = torch.cat([make_pictures("grass")[..., :32], make_pictures("flat")[..., 32:]], dim=-1)
    error = torch.full_like(truth, 0.1).requires_grad_()
    seen, smooth = split_error(truth + error, truth)
    assert torch.allclose(seen[..., :20], (truth + error)[..., :20], atol=0.02)
    assert torch.allclose(seen[..., 44:], truth[..., 44:], atol=1e-4)
    share = texture_share(truth)
    assert torch.allclose(smooth, ((1 - share) * error.square()).sum(dim=(1, 2, 3)))
    # The texture term does not depend on smooth areas, and vice versa.
    (pull,) = torch.autograd.grad(seen.sum(), error, retain_graph=True)
    assert pull[..., 44:].abs().max() < 1e-3
    assert pull[..., :20].min() > 0.9
    (pull,) = torch.autograd.grad(smooth.sum(), error)
    assert pull[..., 44:].min() > 0.19
    assert pull[..., :20].max() < 0.02
