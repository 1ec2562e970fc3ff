"""Sampling: exact where it must be, given frames untouched, positions that always form valid clips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dfccodec.errors import UsageError
from dfccodec.models.flow_sampling import Conditions, place_segments, sample, time_steps
from dfccodec.models.latent_dit import KnownGaps, LatentFlow


class Field:
    """Stands for a generator: a velocity field given as a function of point and time."""

    def __init__(self, field: Any) -> None:
        self.field, self.times = field, []

    def __call__(self, point: Tensor, time: Tensor, known: KnownGaps) -> LatentFlow:
        self.times.append(time)
        velocity = self.field(point, time[:, :, None, None, None])
        return LatentFlow(velocity, torch.zeros(time.shape), torch.zeros(time.shape))


def run(field: Any, steps: int, method: str, conditions: Conditions | None = None) -> tuple[Tensor, Field]:
    model: Any = Field(field)
    noise = torch.randn(1, 3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    return sample(model, noise, steps, method, conditions).velocity, model


def test_steps_cover_the_path_and_are_shorter_near_noise() -> None:
    times = time_steps(10)
    assert times[0] == 0
    assert times[-1] == 1
    assert (times.diff().diff() > 0).all()


@pytest.mark.parametrize("method", ["euler", "heun"])
def test_a_straight_path_needs_one_step(method: str) -> None:
    target = torch.arange(24.0).reshape(1, 3, 2, 2, 2)
    noise = torch.randn(1, 3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    found, _ = run(lambda point, time: target - noise, 1, method)
    torch.testing.assert_close(found, target)


def test_heun_is_more_accurate_than_euler() -> None:
    """dx/dt = x has the solution e · x(0)."""
    noise = torch.randn(1, 3, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    error = {
        method: float((run(lambda point, time: point, 20, method)[0] - np.e * noise).abs().max())
        for method in ("euler", "heun")
    }
    assert error["heun"] < 0.2 * error["euler"]


def test_given_frames_stay_and_have_time_one() -> None:
    given = torch.tensor([[True, False, True]])
    latents = torch.full((1, 3, 2, 2, 2), 7.0)
    found, model = run(lambda point, time: point + 1, 4, "heun", Conditions(latents, given, KnownGaps.none(1, 3)))
    assert (found[0, [0, 2]] == 7).all()
    assert (found[0, 1] != 7).all()
    assert all((time[0, [0, 2]] == 1).all() and time[0, 1] < 1 for time in model.times)


def test_wrong_options_are_named() -> None:
    with pytest.raises(UsageError, match="steps is 0"):
        run(lambda point, time: point, 0, "euler")
    with pytest.raises(UsageError, match="method 'rk4' is unknown; give one of euler, heun"):
        run(lambda point, time: point, 1, "rk4")


def test_gaps_become_positions() -> None:
    first, second = place_segments(
        [True, False, False, True, False], [1.2, 3.6, 2.4, 0.1, 5.0], [9.0, 9.0, 3.3, 9.0, 1.6]
    )
    assert (first.begin, first.end, first.positions, first.frames) == (0, 3, [1, 5, 7], 11)
    assert (second.begin, second.end, second.positions, second.frames) == (3, 5, [0, 5], 8)


def test_hostile_gaps_still_form_clips() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        count = int(rng.integers(1, 33))
        gaps, trailing = rng.normal(2, 20, (2, count)).tolist()
        for segment in place_segments((rng.random(count) < 0.1).tolist(), gaps, trailing):
            assert 1 <= segment.frames <= 32
            assert len(segment.positions) == segment.end - segment.begin
            assert segment.positions == sorted(set(segment.positions))
            assert segment.positions[0] >= 0
            assert segment.positions[-1] < segment.frames


def test_a_segment_longer_than_a_clip_is_rejected() -> None:
    with pytest.raises(UsageError, match="5 kept frames, more than 4"):
        place_segments([True] + [False] * 4, [1.0] * 5, [0.0] * 5, limit=4)
