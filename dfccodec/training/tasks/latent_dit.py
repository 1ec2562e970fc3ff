"""Training task of the generator `mini-dit`: flow matching over the latents of kept frames (Lipman et al. 2022).

Half of the windows are generated from noise. In the others, some frames are given: the first ones, as `dfc generate
--continue` needs it, or any of them, as `--between` does. Given frames are at t = 1 and are not part of the loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from dfccodec.data.statistics import ChannelStatistics
from dfccodec.errors import InputError
from dfccodec.models.latent_dit import GAP_UNIT, KnownGaps, LatentDiT, LatentDiTConfig
from dfccodec.models.mini_layers import PATCH
from dfccodec.training.data.latent_videos import LatentVideo
from dfccodec.training.data.latent_windows import LatentWindow, WindowSampler, smallest_side
from dfccodec.training.recipe import Stage
from dfccodec.training.trainer import LossModule

DEFAULT_OPTIONS = {
    "whole_share": 0.3, "channel_power": 1.0, "gap_weight": 0.25, "time_mean": -0.4, "time_deviation": 1.2,
}  # fmt: skip
"""Defaults: share of steps with crops of twice the side; power of a channel's standard deviation that weights its
velocity; weight of the loss of gaps; mean and standard deviation of the log odds of the time."""

COUNTS = {4: 0.15, 8: 0.6, 16: 0.25}
"""Kept frames per window, and the share of steps with that number."""

EVAL_WINDOWS, EVAL_FRAMES, EVAL_SIDE = 32, 8, 16
EVAL_TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
STATISTICS_FRAMES = 4000
"""Maximum number of frames from which mean and standard deviation of the channels are computed."""


def channel_statistics(videos: Sequence[LatentVideo]) -> ChannelStatistics:
    """Return the statistics of every channel over tokens, from frames at uniform spacing."""
    stride = max(1, sum(len(video.latents) for video in videos) // STATISTICS_FRAMES)
    return ChannelStatistics.of(rearrange(video.latents[::stride], "k c h w -> k h w c") for video in videos)


def draw_given(rng: np.random.Generator, frames: int) -> tuple[np.ndarray, bool]:
    """Draw which frames are given, (K,) bool with at least one False, and whether all positions are known."""
    given = np.zeros(frames, bool)
    kind = rng.random()
    if kind < 0.5 or frames == 1:
        return given, bool(rng.random() < 0.3)
    if kind < 0.75:
        given[: rng.integers(1, max(2, frames * 3 // 4 + 1))] = True
        given[-1] = False
        return given, bool(rng.random() < 0.5)
    given[:] = rng.random(frames) < rng.uniform(0.2, 0.8)
    given[rng.integers(frames)] = False
    return given, True


class LatentFlowLoss(LossModule):
    """The generator and its losses. A call returns the loss of one step.

    Args:
        model: model to train.
        options: see `DEFAULT_OPTIONS`.
        autocast: data type of the network.
    """

    def __init__(self, model: LatentDiT, options: Mapping[str, float], autocast: torch.dtype) -> None:
        super().__init__()
        self.model, self.options, self.autocast = model, options, autocast

    def forward(
        self, clean: Tensor, starts: Tensor, ends: Tensor, gaps: Tensor, trailing: Tensor, given: Tensor,
        all_known: Tensor, time: Tensor, seed: int,
    ) -> Tensor:  # fmt: skip
        """Compute the loss of windows.

        Args:
            clean: (B, K, C, h, w) latents.
            starts, ends, gaps, trailing: (B, K), see `LatentWindow`.
            given: (B, K) bool, frames that are not generated.
            all_known: (B,) bool, whether all positions are known.
            time: (B,) of the generated frames.
            seed: seed of the noise.
        """
        known = known_positions(starts, given, all_known)
        velocity, gap = self.losses(clean, starts, ends, KnownGaps(gaps, trailing, known), given, time, seed)
        self.cost = 10 * velocity.detach().mean().log10()
        return velocity.mean() + self.options["gap_weight"] * gap

    def losses(
        self, clean: Tensor, starts: Tensor, ends: Tensor, positions: KnownGaps, given: Tensor, time: Tensor, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Return the weighted squared error of the velocity (B,), over generated frames, and the loss of gaps."""
        generator = torch.Generator(clean.device).manual_seed(seed)
        with torch.no_grad():
            target = self.model.segments.add(self.model.normalize(clean), starts)
            noise = torch.randn(target.shape, generator=generator, device=target.device)
            moment = torch.where(given, 1.0, time[:, None])
            point = torch.lerp(noise, target, moment[:, :, None, None, None])
        with torch.autocast(clean.device.type, self.autocast, enabled=self.autocast != torch.float32):
            flow = self.model(point, moment, positions)
        weight = self.model.get_buffer("deviation") ** self.options["channel_power"]
        error = ((flow.velocity - (target - noise)).square().mean(dim=(3, 4)) * (weight / weight.mean())).mean(dim=2)
        made = (~given).float()
        velocity = (error * made).sum(dim=1) / made.sum(dim=1)
        return velocity, gap_loss(flow.gaps, flow.trailing, positions, ends)


def known_positions(starts: Tensor, given: Tensor, all_known: Tensor) -> Tensor:
    """Known positions (B, K) bool: those of given frames that follow a given one or begin a segment, or all."""
    after_given = torch.cat([torch.ones_like(given[:, :1]), given[:, :-1]], dim=1)
    return (given & (after_given | starts)) | all_known[:, None]


def gap_loss(gaps: Tensor, trailing: Tensor, truth: KnownGaps, ends: Tensor) -> Tensor:
    """Huber loss of unknown gaps, and of the frames after the last kept frame of a clip, in units of `GAP_UNIT`."""
    unknown = (~truth.known).float()
    error = F.smooth_l1_loss(gaps / GAP_UNIT, truth.gaps / GAP_UNIT, reduction="none", beta=0.25)
    end = F.smooth_l1_loss(trailing / GAP_UNIT, truth.trailing / GAP_UNIT, reduction="none", beta=0.25)
    return ((error + ends * end) * unknown).sum() / unknown.sum().clamp(min=1)


def make_generator(
    options: Mapping[str, Any], defaults: Mapping[str, float], train: Sequence[LatentVideo], start: LatentDiT | None
) -> tuple[LatentDiT, dict[str, Any]]:
    """Make the network of a task, with mean and deviation of the training latents, unless one is given.

    Args:
        options: options of the recipe; `config` has values of `LatentDiTConfig`.
        defaults: default options of the task.
        train: training latents.
        start: the network to go on with.

    Returns:
        the network, and all options of the task except `config`.

    Raises:
        InputError: an option is unknown.
    """
    given = dict(options)
    config = LatentDiTConfig.with_values(LatentDiTConfig(), given.pop("config", {}))
    check_options(given, defaults)
    model = start or LatentDiT(config)
    if start is None:
        set_statistics(model, train)
    return model, {**defaults, **given}


class LatentDiTTask:
    """Training task of the generator; implements `training.trainer.Task`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        train: Sequence[LatentVideo],
        held_out: Sequence[LatentVideo],
        device: torch.device,
        autocast: torch.dtype,
        start: LatentDiT | None = None,
    ) -> None:
        model, self.options = make_generator(options, DEFAULT_OPTIONS, train, start)
        self.model, self.config_json, self.device = model.to(device), model.config_json, device
        self.loss_module: LossModule = LatentFlowLoss(model, self.options, autocast).to(device)
        self.max_frames = 32
        self.train, held = WindowSampler(train), WindowSampler(held_out)
        side = min(EVAL_SIDE, smallest_side(held_out)) // model.config.patch * model.config.patch
        self.held_out = held.spaced(EVAL_WINDOWS, 8, EVAL_FRAMES, side, side)

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the arguments of `LatentFlowLoss.forward`: `stage.batch` clips of 8 frames, or as many tokens."""
        count = int(rng.choice(list(COUNTS), p=list(COUNTS.values())))
        whole = rng.random() < self.options["whole_share"]
        side = stage.crop // PATCH * (2 if whole else 1)
        number = max(1, stage.batch * 8 // count // (4 if whole else 1))
        windows = [self.train.draw(rng, count, side, side) for _ in range(number)]
        drawn = [draw_given(rng, count) for _ in windows]
        odds = rng.normal(self.options["time_mean"], self.options["time_deviation"], number)
        return {
            **stack_windows(windows, self.device),
            "given": torch.from_numpy(np.stack([given for given, _ in drawn])).to(self.device),
            "all_known": torch.tensor([known for _, known in drawn], device=self.device),
            "time": torch.sigmoid(torch.from_numpy(odds).float()).to(self.device),
            "seed": int(rng.integers(1 << 62)),
        }

    @torch.inference_mode()
    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """Measure the loss on validation windows with fixed noise and times: from noise, and with half given.

        The score is the loss from noise in dB, negated.
        """
        found: dict[str, list[float]] = {"noise": [], "continue": [], "gap": []}
        loss = self.loss_module
        assert isinstance(loss, LatentFlowLoss)
        for number, window in enumerate(self.held_out):
            for name, count in (("noise", 0), ("continue", EVAL_FRAMES // 2)):
                parts = stack_windows([window], self.device)
                given = torch.arange(EVAL_FRAMES, device=self.device)[None] < count
                known = known_positions(parts["starts"], given, torch.zeros(1, dtype=torch.bool, device=self.device))
                positions = KnownGaps(parts["gaps"], parts["trailing"], known)
                time = torch.full((1,), EVAL_TIMES[number % len(EVAL_TIMES)], device=self.device)
                velocity, gap = loss.losses(
                    parts["clean"], parts["starts"], parts["ends"], positions, given, time, number
                )
                found[name].append(float(velocity.mean()))
                found["gap"].append(float(gap))
        noise, given_half = (10 * math.log10(np.mean(found[name])) for name in ("noise", "continue"))
        return {
            "score": round(-noise, 4), "noise": round(noise, 4), "continue": round(given_half, 4),
            "gap": round(float(np.mean(found["gap"])), 4),
        }  # fmt: skip


def check_options(options: Mapping[str, Any], known: Mapping[str, float]) -> None:
    """Check the options of a recipe.

    Raises:
        InputError: one is unknown, or is not a finite number.
    """
    if unknown := set(options) - set(known):
        raise InputError(f"recipe: option {min(unknown)!r} is unknown; known are {', '.join(sorted(known))}")
    for name, value in options.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise InputError(f"recipe: {name} is {value!r}; give a number")


def set_statistics(model: LatentDiT, videos: Sequence[LatentVideo]) -> None:
    """Set mean and standard deviation of the latents.

    Raises:
        InputError: the videos have another number of channels than the model.
    """
    found = channel_statistics(videos)
    mean, deviation = found.mean, found.deviation
    if len(mean) != model.config.channels:
        raise InputError(f"latents have {len(mean)} channels, the recipe's model {model.config.channels}: give --data")
    model.get_buffer("mean").copy_(torch.from_numpy(mean))
    model.get_buffer("deviation").copy_(torch.from_numpy(deviation))


def stack_windows(windows: Sequence[LatentWindow], device: torch.device) -> dict[str, Tensor]:
    """Stack windows of one shape to a batch."""
    return {
        "clean": torch.from_numpy(np.stack([w.latents for w in windows])).to(device).float(),
        "starts": torch.from_numpy(np.stack([w.starts for w in windows])).to(device),
        "ends": torch.from_numpy(np.stack([w.ends for w in windows])).to(device),
        "gaps": torch.from_numpy(np.stack([w.gaps for w in windows])).to(device).float(),
        "trailing": torch.from_numpy(np.stack([w.trailing for w in windows])).to(device).float(),
    }
