"""Sampling of `LatentDiT`: integrates the velocity from noise at t = 0 to latents at t = 1, around given frames."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from dfccodec.errors import UsageError
from dfccodec.models.latent_dit import MAX_GAP, KnownGaps, LatentDiT, LatentFlow

METHODS = ("euler", "heun")

TIME_SHIFT = 2.0
"""Steps are closer together near noise, where the layout of the picture is decided: the first ones are this many times
shorter than the last ones (Esser et al. 2024, "SD3", section 5.3.2)."""


@dataclass(frozen=True)
class Conditions:
    """What is fixed before sampling.

    Args:
        latents: (B, K, C, h, w), normalized, with the segment embedding; used only where `given`.
        given: (B, K) bool, frames that are not generated.
        known: known positions.
    """

    latents: Tensor
    given: Tensor
    known: KnownGaps

    @classmethod
    def none(cls, shape: torch.Size) -> Conditions:
        """Nothing is given; `shape` is (B, K, C, h, w)."""
        given = torch.zeros(shape[:2], dtype=torch.bool)
        return cls(torch.zeros(()).expand(shape), given, KnownGaps.none(shape[0], shape[1]))

    def to(self, device: torch.device) -> Conditions:
        """Return the conditions on a device."""
        k = self.known
        known = KnownGaps(k.gaps.to(device), k.trailing.to(device), k.known.to(device))
        return Conditions(self.latents.to(device), self.given.to(device), known)


def time_steps(steps: int) -> Tensor:
    """Times (steps + 1,) from 0 to 1."""
    even = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return (even / (even + TIME_SHIFT * (1 - even))).float()


def sample(
    model: LatentDiT, noise: Tensor, steps: int, method: str = "euler", conditions: Conditions | None = None
) -> LatentFlow:
    """Sample latents and gaps.

    Args:
        model: the generator.
        noise: (B, K, C, h, w), standard normal.
        steps: number of steps, at least 1. A Heun step evaluates the network twice, except the last one.
        method: `euler` or `heun`.
        conditions: given frames and positions; None for none.

    Returns:
        normalized latents as `velocity`, with the segment embedding; and the gaps of the last evaluation.

    Raises:
        UsageError: steps or method is invalid, or the network does not support the shape.
    """
    if steps < 1:
        raise UsageError(f"steps is {steps}; give at least 1")
    if method not in METHODS:
        raise UsageError(f"method {method!r} is unknown; give one of {', '.join(METHODS)}")
    fixed = (conditions or Conditions.none(noise.shape)).to(noise.device)
    here = fixed.given[:, :, None, None, None]
    times = time_steps(steps).tolist()

    def velocity(point: Tensor, time: float) -> LatentFlow:
        found: LatentFlow = model(point, torch.where(fixed.given, 1.0, time), fixed.known)
        return LatentFlow(found.velocity.masked_fill(here, 0.0), found.gaps, found.trailing)

    with torch.inference_mode():
        point = torch.where(here, fixed.latents, noise)
        for now, then in pairwise(times):
            flow = velocity(point, now)
            end = point + (then - now) * flow.velocity
            if method == "heun" and then < 1:  # at t = 1 the network was not trained
                flow = LatentFlow((flow.velocity + velocity(end, then).velocity) / 2, flow.gaps, flow.trailing)
                end = point + (then - now) * flow.velocity
            point = end
        return LatentFlow(point, flow.gaps, flow.trailing)


@dataclass(frozen=True)
class Segment:
    """One generated segment.

    Args:
        begin, end: range of its kept frames.
        positions: (end − begin,) ascending frame numbers within the segment.
        frames: number of frames, dropped ones included.
    """

    begin: int
    end: int
    positions: list[int]
    frames: int


def place_segments(starts: list[bool], gaps: list[float], trailing: list[float], limit: int = MAX_GAP) -> list[Segment]:
    """Turn starts, gaps and trailing frames of K kept frames into segments of at most `limit` frames.

    Gaps are rounded. A predicted gap can be too small or negative, but positions must ascend: the first one of a
    segment is at least 0, all others are at least 1. A segment that would be too long is shortened at its end.

    Raises:
        UsageError: a segment has more than `limit` kept frames.
    """
    first = [number for number, start in enumerate(starts) if start or number == 0]
    out = []
    for begin, end in zip(first, [*first[1:], len(starts)], strict=True):
        if end - begin > limit:
            raise UsageError(
                f"a segment has {end - begin} kept frames, more than {limit}: give a smaller --latent-frames"
            )
        positions: list[int] = []
        for number in range(begin, end):
            least = positions[-1] + 1 if positions else 0
            wanted = (positions[-1] if positions else 0) + round(gaps[number])
            positions.append(min(max(wanted, least), limit - (end - number)))
        frames = min(max(positions[-1] + 1 + round(trailing[end - 1]), positions[-1] + 1), limit)
        out.append(Segment(begin, end, positions, frames))
    return out
