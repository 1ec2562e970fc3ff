"""The network of looks: shapes, sizes that are not multiples of four, and its start as the identity."""

from __future__ import annotations

import pytest
import torch

from dfccodec.errors import ModelError
from dfccodec.models import registry
from dfccodec.models.look import Look, LookConfig


def test_an_untrained_look_changes_nothing() -> None:
    residual = Look(LookConfig(width=8, depth=1))(torch.rand(2, 3, 16, 24), torch.tensor([10, 40]))
    assert residual.shape == (2, 3, 16, 24)
    assert not residual.any()


@pytest.mark.parametrize("size", [(1, 1), (13, 18), (16, 7)])
def test_any_size(size: tuple[int, int]) -> None:
    network, info = registry.load_look()
    picture = torch.rand(1, 3, *size)
    with torch.inference_mode():
        residual = network(picture, torch.tensor([24]))
    assert residual.shape == (1, 3, *size)
    assert info.family == "mini-look"
    assert 0 < float(residual.abs().mean()) < 0.2


def test_other_models_are_no_look() -> None:
    with pytest.raises(ModelError, match="use mini-sharp"):
        registry.load_look("mini-regen")
