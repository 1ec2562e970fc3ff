"""Training task of the segment embedding and the keyframe predictor of `mini-dit` (MTC-VAE), minutes long.

Both learn from the latents of kept frames alone; the transformer stays as it was. Noise on the mean latent of a frame
stands for the errors of a generator, and a penalty keeps the embedding small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dfccodec.errors import InputError
from dfccodec.models.latent_dit import LatentDiT
from dfccodec.models.mini_layers import PATCH
from dfccodec.models.segments import compression_rate
from dfccodec.training.data.latent_videos import LatentVideo
from dfccodec.training.data.latent_windows import CLIP_FRAMES, WindowSampler, smallest_side
from dfccodec.training.recipe import Stage
from dfccodec.training.tasks.latent_dit import make_generator, stack_windows
from dfccodec.training.trainer import LossModule

DEFAULT_OPTIONS = {"noise": 0.15, "penalty": 0.002}
"""Defaults: standard deviation of the noise on the mean of a normalized channel, and weight of the squared length of
the embedding."""

PLACES = ("first", "last", "none")
"""Which kept frame of a segment carries the embedding; the model uses `first`, the others are for comparison."""

EVAL_WINDOWS, EVAL_FRAMES, EVAL_SIDE = 400, 16, 16


class SegmentLoss(LossModule):
    """Binary cross-entropy of the predictor and the penalty of the embedding."""

    def __init__(self, model: LatentDiT, options: Mapping[str, float], place: str) -> None:
        super().__init__()
        self.model, self.options, self.place = model, options, place

    def forward(self, clean: Tensor, starts: Tensor, ends: Tensor, seed: int) -> Tensor:
        """Compute the loss of latents (B, K, C, h, w) with first and last frames (B, K) of segments."""
        generator = torch.Generator(clean.device).manual_seed(seed)
        marked = self.marked(clean, starts, ends)
        noise = torch.randn(marked.shape[:3], generator=generator, device=marked.device)
        logits = self.model.segments.logits(marked + self.options["noise"] * noise[..., None, None])
        loss = F.binary_cross_entropy_with_logits(logits, starts.float())
        self.cost = 10 * loss.detach().clamp(min=1e-10).log10()
        return loss + self.options["penalty"] * self.model.segments.embedding.square().sum()

    def marked(self, clean: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """Normalized latents with the embedding added."""
        where = {"first": starts, "last": ends, "none": torch.zeros_like(starts)}[self.place]
        return self.model.segments.add(self.model.normalize(clean), where)


class SegmentTask:
    """Training task of embedding and predictor; implements `training.trainer.Task`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        train: Sequence[LatentVideo],
        held_out: Sequence[LatentVideo],
        device: torch.device,
        autocast: torch.dtype,
        start: LatentDiT | None = None,
    ) -> None:
        options = dict(options)
        place = options.pop("place", "first")
        if place not in PLACES:
            raise InputError(f"recipe: place is {place!r}; give one of {', '.join(PLACES)}")
        model, options = make_generator(options, DEFAULT_OPTIONS, train, start)
        if start is None:
            torch.nn.init.normal_(model.segments.embedding, std=0.05)
        self.model, self.config_json, self.device = model.to(device), model.config_json, device
        self.loss_module: LossModule = SegmentLoss(model, options, place).to(device)
        self.max_frames = 32
        self.train = WindowSampler(train)
        side = min(EVAL_SIDE, smallest_side(held_out))
        self.held_out = WindowSampler(held_out).spaced(EVAL_WINDOWS, 8, EVAL_FRAMES, side, side)

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the arguments of `SegmentLoss.forward` for one step."""
        side = stage.crop // PATCH
        windows = [self.train.draw(rng, EVAL_FRAMES, side, side) for _ in range(stage.batch)]
        parts = stack_windows(windows, self.device)
        return {name: parts[name] for name in ("clean", "starts", "ends")} | {"seed": int(rng.integers(1 << 62))}

    @torch.inference_mode()
    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """Measure the predictor on held-out windows. The score is the cross-entropy in dB, negated.

        `accuracy` is the share of frames, `exact` that of windows whose segments all have the right rate.
        """
        loss = self.loss_module
        assert isinstance(loss, SegmentLoss)
        right, exact, entropy = [], [], []
        for window in self.held_out:
            parts = stack_windows([window], self.device)
            logits = self.model.segments.logits(loss.marked(parts["clean"], parts["starts"], parts["ends"]))
            entropy.append(float(F.binary_cross_entropy_with_logits(logits, parts["starts"].float())))
            right.append(float(((logits > 0) == parts["starts"]).float().mean()))
            found, truth = (compression_rate(part[0], CLIP_FRAMES) for part in (logits > 0, parts["starts"]))
            exact.append(found == truth)
        return {
            "score": round(-10 * math.log10(max(float(np.mean(entropy)), 1e-10)), 4),
            "accuracy": round(float(np.mean(right)), 6),
            "exact": round(float(np.mean(exact)), 6),
            "length": round(float(self.model.segments.embedding.norm()), 4),
        }
