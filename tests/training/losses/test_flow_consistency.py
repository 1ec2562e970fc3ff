"""Flow-guided consistency: small for pictures that move as the source does, larger for flicker, without occlusions."""

from __future__ import annotations

import torch

from dfccodec.training.losses.flow_consistency import estimate_flow, flow_inconsistency

SHIFT = 3


def moving(frames: int = 3) -> torch.Tensor:
    """A texture (1, frames, 3, 64, 64) that moves SHIFT pixels to the right per frame."""
    wide = torch.rand(1, 3, 24, 40, generator=torch.Generator().manual_seed(3))
    smooth = torch.nn.functional.interpolate(wide, (96, 160), mode="bicubic").clamp(0, 1)[0]
    return torch.stack([smooth[:, 16:80, 64 - SHIFT * t : 128 - SHIFT * t] for t in range(frames)])[None]


def test_flow_points_into_the_reference() -> None:
    clip = moving()[0]
    flow = estimate_flow(clip[1], clip[0])
    assert flow.shape == (2, 8, 8)
    assert torch.allclose(flow[0, 2:-2, 2:-2], torch.zeros(1), atol=0.6)
    assert torch.allclose(flow[1, 2:-2, 2:-2], torch.tensor(-float(SHIFT)), atol=0.6)


def test_flicker_costs_and_motion_does_not() -> None:
    truth, numbers = moving(), torch.arange(3)
    flicker = truth.clone()
    flicker[:, 1] += 0.1
    still = truth[:, :1].expand_as(truth)
    own = flow_inconsistency(truth, truth, numbers)
    assert own.shape == (1,)
    assert own < 0.02
    assert flow_inconsistency(flicker, truth, numbers) > own + 0.05
    assert flow_inconsistency(still, truth, numbers) > 2 * own  # a picture that does not move is inconsistent, too


def test_only_adjacent_frames_count() -> None:
    truth = moving()
    made = truth.clone()
    made[:, 1] += 0.1
    assert flow_inconsistency(made, truth, torch.tensor([0, 2, 4])) == 0
    ahead = flow_inconsistency(made, truth, torch.tensor([0, 2, 3]))
    assert ahead > flow_inconsistency(truth, truth, torch.tensor([0, 2, 3])) + 0.05


def test_pixels_where_the_source_disagrees_with_its_flow_do_not_count() -> None:
    truth = moving(2)
    truth[:, 1, :, :32] = torch.rand(3, 32, 64, generator=torch.Generator().manual_seed(4))  # nothing like it before
    made = truth.clone()
    hidden, visible = made.clone(), made.clone()
    hidden[:, 1, :, :24] += 0.1
    visible[:, 1, :, 40:] += 0.1
    base, numbers = flow_inconsistency(made, truth, torch.arange(2)), torch.arange(2)
    rise = [float(flow_inconsistency(x, truth, numbers) - base) for x in (hidden, visible)]
    assert rise[0] < rise[1] / 4


def test_gradient_reaches_both_pictures() -> None:
    truth = moving(2)
    made = (truth + 0.05).requires_grad_()
    flow_inconsistency(made + torch.tensor([0.0, 0.1]).view(1, 2, 1, 1, 1), truth, torch.arange(2)).sum().backward()
    assert made.grad is not None
    assert (made.grad.abs().sum(dim=(0, 2, 3, 4)) > 0).all()
