"""VideoDiT against the numbers of the published code."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dfccodec.errors import UsageError
from dfccodec.models.config import PUBLISHED_DIT
from dfccodec.models.dit import VideoDiT, positions_from_gaps

Vectors = dict[str, Tensor]


def assert_same(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    error = (actual - expected).abs().max() / expected.abs().max()
    assert error.item() < 1e-5


def test_one_evaluation(dit: VideoDiT, dit_io: Vectors) -> None:
    flow = dit(dit_io["noise"], torch.full((2,), 0.25), dit_io["valid"].bool())
    assert_same(flow.latents, dit_io["velocity_t025"])
    assert_same(flow.gaps, dit_io["gaps_t025"])


def test_seven_steps_and_positions(dit: VideoDiT, dit_io: Vectors) -> None:
    valid = dit_io["valid"].bool()
    flow = dit.sample(dit_io["noise"], 7, valid)
    assert_same(flow.latents, dit_io["sampled_latents_7steps"])
    assert_same(flow.gaps, dit_io["sampled_gaps_7steps"])
    positions, total = positions_from_gaps(flow.gaps, valid)
    assert torch.equal(positions, dit_io["positions"])
    assert torch.equal(total, dit_io["total_frames"])


def test_positions_always_ascend() -> None:
    positions, total = positions_from_gaps(torch.tensor([[-3.0, 0.2, -1.0, 2.4]]))
    assert positions.tolist() == [[0, 1, 2, 4]]
    assert total.tolist() == [5]


def test_full_configuration_has_the_published_names_and_shapes(reference: Path) -> None:
    with torch.device("meta"):
        model = VideoDiT(PUBLISHED_DIT)
    lines = [f"{name}\t{'x'.join(map(str, t.shape))}" for name, t in model.state_dict().items()]
    assert lines == (reference / "dit_full_keys.tsv").read_text().splitlines()
    assert len(lines) == 850
    assert round(sum(math.prod(t.shape) for t in model.state_dict().values()) / 1e6, 1) == 504.2


def test_arguments_are_checked(dit: VideoDiT, dit_io: Vectors) -> None:
    noise = dit_io["noise"]
    with pytest.raises(UsageError, match="at least 1"):
        dit.sample(noise, 0)
    with pytest.raises(UsageError, match="16, 96"):
        dit.sample(noise[:, :, :8], 1)
    with pytest.raises(UsageError, match="time is"):
        dit(noise, torch.zeros(1))
    with pytest.raises(UsageError, match="all frames of a clip"):
        dit.sample(noise, 1, torch.zeros(2, 6, dtype=torch.bool))
