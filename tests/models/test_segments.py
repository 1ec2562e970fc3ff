"""Segment marks: they can be added, found and removed, and give the rate of every segment."""

from __future__ import annotations

import pytest
import torch

from dfccodec.models.segments import SegmentMarks, compression_rate


@pytest.fixture
def marks() -> SegmentMarks:
    """Return marks on channel 1, which the predictor reads."""
    out = SegmentMarks(3)
    with torch.no_grad():
        out.embedding.copy_(torch.tensor([0.0, 2.0, 0.0]))
        out.predictor.weight.copy_(torch.tensor([[0.0, 4.0, 0.0]]))
        out.predictor.bias.fill_(-4.0)
    return out


def test_marked_frames_are_found_and_restored(marks: SegmentMarks) -> None:
    latents = 0.1 * torch.randn(2, 6, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    starts = torch.tensor([[1, 0, 0, 1, 0, 0], [1, 0, 1, 0, 1, 1]], dtype=torch.bool)
    marked = marks.add(latents, starts)
    assert torch.equal(marks.find(marked), starts)
    torch.testing.assert_close(marks.remove(marked, marks.find(marked)), latents)
    torch.testing.assert_close(marked[~starts], latents[~starts])


def test_the_first_frame_always_begins_a_segment(marks: SegmentMarks) -> None:
    assert marks.find(torch.zeros(1, 3, 3, 2, 2)).tolist() == [[True, False, False]]


def test_an_unsure_prediction_is_no_start(marks: SegmentMarks) -> None:
    latents = torch.zeros(1, 2, 3, 2, 2)
    latents[0, 1, 1] = 1.05  # a probability of 0.55
    assert 0.5 < float(torch.sigmoid(marks.logits(latents))[0, 1].detach()) < 0.6
    assert not marks.find(latents)[0, 1]


def test_rates_follow_from_the_lengths() -> None:
    starts = torch.zeros(28, dtype=torch.bool)
    starts[[0, 4, 12]] = True
    assert compression_rate(starts, 32) == [8.0, 4.0, 2.0]
