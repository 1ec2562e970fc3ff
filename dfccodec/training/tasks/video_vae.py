"""Training task of the published VideoVAE, with its losses: distortion, KL divergence, REINFORCE for frame selection.

The published code draws two masks per clip, decodes both, and makes the better one more likely. Sources: the training
script of *Dynamic Frame Compression* as described by its reference (issue "mini made good", section Importance);
Williams 1992, "Simple statistical gradient-following algorithms", for the estimator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from dfccodec.errors import InputError
from dfccodec.metrics.lpips import load_lpips
from dfccodec.models.config import PUBLISHED_VAE, VAEConfig
from dfccodec.models.vae import Posterior, VideoVAE
from dfccodec.training.data.dataset import ClipSampler, Scene, held_out_clips
from dfccodec.training.recipe import Stage
from dfccodec.training.trainer import LossModule

LOGIT_LIMIT = 4.0
"""Magnitude of importance logits above which they are penalized: saturated frames are no longer explored."""

DEFAULT_WEIGHTS: Mapping[str, float] = {
    "mae": 0.05, "kl": 1e-6, "perceptual": 0.0, "policy": 0.01, "logit": 0.01, "density": 0.01,
}  # fmt: skip
"""Weights of the loss terms, relative to the mean squared error, whose weight is 1.

`perceptual` is the weight of LPIPS, where the published code uses VGG features. Above 0, the LPIPS weights must be
installed, see `metrics.lpips`.
"""


class VideoVAELoss(LossModule):
    """A `VideoVAE` and its losses. A call returns the loss of one step."""

    def __init__(self, model: VideoVAE, weights: Mapping[str, float], autocast: torch.dtype) -> None:
        super().__init__()
        self.model, self.weights, self.autocast = model, {**DEFAULT_WEIGHTS, **weights}, autocast
        # A list hides the module from state_dict(): third-party weights do not belong in checkpoints.
        self.lpips = [load_lpips()] if self.weights["perceptual"] else []

    def forward(self, clips: Tensor, seed: int) -> Tensor:
        """Compute the loss of clips (B, T, 3, H, W) in [0, 1], with two masks per clip, both decoded."""
        video = rearrange(clips, "b t c h w -> b t h w c")
        generator = torch.Generator(device=clips.device).manual_seed(seed)
        with torch.autocast(clips.device.type, self.autocast, enabled=self.autocast != torch.float32):
            posterior = self.model.encoder(video, None)
            mean, variance = posterior.mean.float(), posterior.variance.float()
            noise = torch.randn(mean.shape, generator=generator, device=mean.device)
            latents = mean + variance.sqrt() * noise
            masks = draw_mask_pair(posterior.importance, generator)
            back = [self.model.decoder(self.model.fill(latents, mask), None).float() for mask in masks]
        each = torch.stack(
            [self._distortion(video, b) + self._kl(posterior, m) for b, m in zip(back, masks, strict=True)]
        )
        density = torch.stack([mask.float().mean(dim=1) for mask in masks])
        reward = -(each + self.weights["density"] * density).detach()
        p = posterior.importance.float()
        policy = policy_loss(p, torch.stack(masks), reward)
        logits = torch.logit(p, eps=1e-6)
        beyond = (logits.abs() - LOGIT_LIMIT).clamp(min=0).square().mean()
        self.cost = 10 * each.detach().mean().log10()
        total: Tensor = each.mean() + self.weights["density"] * p.abs().mean()
        return total + self.weights["policy"] * policy + self.weights["logit"] * beyond

    def _distortion(self, video: Tensor, back: Tensor) -> Tensor:
        """Return MSE + weighted MAE (+ weighted LPIPS) of each clip, (B,)."""
        difference = back - video
        total: Tensor = (difference.square() + self.weights["mae"] * difference.abs()).mean(dim=(1, 2, 3, 4))
        for network in self.lpips:
            a, b = (rearrange(v, "b t h w c -> (b t) c h w") for v in (video, back))
            total = total + self.weights["perceptual"] * network.to(a.device)(a, b).reshape(len(video), -1).mean(dim=1)
        return total

    def _kl(self, posterior: Posterior, kept: Tensor) -> Tensor:
        """Return the weighted KL divergence to a unit normal: sum over channels, mean over kept frames, (B,)."""
        mean, variance = posterior.mean.float(), posterior.variance.float()
        each = 0.5 * (mean.square() + variance - 1 - variance.log()).sum(dim=-1).mean(dim=-1)
        count = kept.sum(dim=1).clamp(min=1)
        return self.weights["kl"] * (each * kept).sum(dim=1) / count


def draw_mask_pair(importance: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw two masks (B, T) bool; each frame is kept with its probability in `importance` (B, T)."""
    p = importance.detach().float()
    first, second = (torch.rand(p.shape, generator=generator, device=p.device) < p for _ in range(2))
    return first, second


def policy_loss(importance: Tensor, masks: Tensor, reward: Tensor) -> Tensor:
    """Compute the REINFORCE loss: minus the log-probability of each mask times its advantage.

    The mean reward of the pair is the baseline. Advantages are divided by their standard deviation over the batch, in
    float32.

    Args:
        importance: (B, T) probabilities of keeping a frame.
        masks: (2, B, T) bool, drawn with these probabilities.
        reward: (2, B), without gradient.

    Returns:
        a scalar whose gradient is proportional to that of the negative expected reward.
    """
    advantage = reward.float() - reward.float().mean(dim=0, keepdim=True)
    advantage = advantage / (advantage.std() + 1e-8)
    p = importance.clamp(1e-6, 1 - 1e-6)
    log_p = torch.where(masks, p.log(), torch.log1p(-p)).sum(dim=-1)
    return -(advantage * log_p).mean()


class VideoVAETask:
    """Training task of VideoVAE on videos; implements `training.trainer.Task`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        train: Sequence[Scene],
        held_out: Sequence[Scene],
        device: torch.device,
        autocast: torch.dtype,
        start: VideoVAE | None = None,
    ) -> None:
        if unknown := set(options) - {"config", "weights"}:
            raise InputError(f"recipe: option {min(unknown)!r} is unknown; known are config, weights")
        weights = dict(options.get("weights", {}))
        if unknown := set(weights) - set(DEFAULT_WEIGHTS):
            raise InputError(f"recipe: weight {min(unknown)!r} is unknown; known are {', '.join(DEFAULT_WEIGHTS)}")
        config = VAEConfig.with_values(PUBLISHED_VAE, options.get("config", {}))
        self.loss_module = VideoVAELoss(start or VideoVAE(config), weights, autocast).to(device)
        self.model = self.loss_module.model
        self.config_json = self.model.config.to_json()
        side = self.model.config.height
        self.clips, self.device = ClipSampler(train, device), device
        self.max_frames = self.model.config.max_temporal_len
        frames = min(32, self.model.config.max_temporal_len)
        self.held_out = held_out_clips(held_out, frames, side, side, 8)

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the arguments of `VideoVAELoss.forward` for one step.

        Raises:
            InputError: the crop of the recipe differs from the size of the architecture.
        """
        if stage.crop != self.model.config.height:
            raise InputError(
                f"recipe: crop is {stage.crop}; give {self.model.config.height}, the size of this architecture"
            )
        return {
            "clips": self.clips.batch(rng, stage.batch, stage.frames, stage.crop),
            "seed": int(rng.integers(1 << 62)),
        }

    @torch.inference_mode()
    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """Measure the PSNR of validation clips, from latent means, with frames whose importance exceeds 0.5 kept."""
        qualities, rates = [], []
        for clip in self.held_out:
            video = rearrange(clip, "t c h w -> 1 t h w c").to(self.device).float() / 255
            posterior = self.model.encoder(video, None)
            kept = posterior.importance > 0.5
            back = self.model.decoder(self.model.fill(posterior.mean, kept), None).clamp(0, 1)
            qualities.append(-10 * math.log10(max(float((back - video).square().mean()), 1e-10)))
            rates.append(float(kept.float().mean()))
        return {"score": round(float(np.mean(qualities)), 4), "keep_rate": round(float(np.mean(rates)), 4)}
