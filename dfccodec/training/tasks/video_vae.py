"""Training of the published architecture, with its losses: distortion, KL, and REINFORCE for the choice of frames.

The published code draws two masks per clip, decodes both, and lets the better one be likelier next time. Source: the
training script of *Dynamic Frame Compression* as its reference describes it (issue "mini made good", section
Importance); Williams 1992, "Simple statistical gradient-following algorithms", for the estimator.
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
from dfccodec.training.data.dataset import Clips, Scene, held_out_clips
from dfccodec.training.recipe import Stage
from dfccodec.training.trainer import LossModule

LOGIT_LIMIT = 4.0
"""Logits beyond this are pulled back: a frame that is always kept or never is no longer explored."""

WEIGHTS: Mapping[str, float] = {
    "mae": 0.05, "kl": 1e-6, "perceptual": 0.0, "policy": 0.01, "logit": 0.01, "density": 0.01,
}  # fmt: skip
"""Weights of the terms beside the mean squared error, which has weight 1.

`perceptual` is a distance of deep features (LPIPS, where the published code has features of VGG); anything above 0
needs its weights on this machine, see `metrics.lpips`.
"""


class PublishedSystem(LossModule):
    """A `VideoVAE` and its losses; a call is one step's loss."""

    def __init__(self, model: VideoVAE, weights: Mapping[str, float], autocast: torch.dtype) -> None:
        super().__init__()
        self.model, self.weights, self.autocast = model, {**WEIGHTS, **weights}, autocast
        # In a list, which hides it from state_dict(): these weights are not ours to store in checkpoints.
        self.judge = [load_lpips()] if self.weights["perceptual"] else []

    def forward(self, clips: Tensor, seed: int) -> Tensor:
        """Loss of clips (B, T, 3, H, W) in [0, 1]: two masks a clip, both decoded."""
        video = rearrange(clips, "b t c h w -> b t h w c")
        generator = torch.Generator(device=clips.device).manual_seed(seed)
        with torch.autocast(clips.device.type, self.autocast, enabled=self.autocast != torch.float32):
            posterior = self.model.encoder(video, None)
            mean, variance = posterior.mean.float(), posterior.variance.float()
            noise = torch.randn(mean.shape, generator=generator, device=mean.device)
            latents = mean + variance.sqrt() * noise
            masks = draw_pair(posterior.importance, generator)
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
        """MSE + 0.05·MAE, and the perceptual term where it is asked for, of each clip, (B,)."""
        difference = back - video
        total: Tensor = (difference.square() + self.weights["mae"] * difference.abs()).mean(dim=(1, 2, 3, 4))
        for judge in self.judge:
            a, b = (rearrange(v, "b t h w c -> (b t) c h w") for v in (video, back))
            total = total + self.weights["perceptual"] * judge.to(a.device)(a, b).reshape(len(video), -1).mean(dim=1)
        return total

    def _kl(self, posterior: Posterior, kept: Tensor) -> Tensor:
        """KL divergence to a unit normal, summed over channels, mean over kept frames of each clip, (B,)."""
        mean, variance = posterior.mean.float(), posterior.variance.float()
        each = 0.5 * (mean.square() + variance - 1 - variance.log()).sum(dim=-1).mean(dim=-1)
        count = kept.sum(dim=1).clamp(min=1)
        return self.weights["kl"] * (each * kept).sum(dim=1) / count


def draw_pair(importance: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two masks (B, T) bool, every frame kept with its own probability `importance` (B, T)."""
    p = importance.detach().float()
    first, second = (torch.rand(p.shape, generator=generator, device=p.device) < p for _ in range(2))
    return first, second


def policy_loss(importance: Tensor, masks: Tensor, reward: Tensor) -> Tensor:
    """REINFORCE: minus log-probability of each mask times its advantage.

    Args:
        importance: (B, T) probabilities to keep.
        masks: (2, B, T) bool drawn from them.
        reward: (2, B), no gradient.

    Returns:
        a scalar whose gradient is that of minus the expected reward, scaled: the mean of the pair is the baseline, and
        the standard deviation of the whole batch, in float32, the unit.
    """
    advantage = reward.float() - reward.float().mean(dim=0, keepdim=True)
    advantage = advantage / (advantage.std() + 1e-8)
    p = importance.clamp(1e-6, 1 - 1e-6)
    log_p = torch.where(masks, p.log(), torch.log1p(-p)).sum(dim=-1)
    return -(advantage * log_p).mean()


class PublishedTask:
    """The published architecture on a folder of footage; satisfies `training.loop.Task`."""

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
        if unknown := set(weights) - set(WEIGHTS):
            raise InputError(f"recipe: weight {min(unknown)!r} is unknown; known are {', '.join(WEIGHTS)}")
        config = VAEConfig.with_values(PUBLISHED_VAE, options.get("config", {}))
        self.system = PublishedSystem(start or VideoVAE(config), weights, autocast).to(device)
        self.model = self.system.model
        self.config_json = self.model.config.to_json()
        side = self.model.config.height
        self.clips, self.device = Clips(train, device), device
        self.max_frames = self.model.config.max_temporal_len
        frames = min(32, self.model.config.max_temporal_len)
        self.held_out = held_out_clips(held_out, frames, side, side, 8)

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Arguments of `PublishedSystem.forward` for one step.

        Raises:
            InputError: the recipe's crop is not the size of the architecture.
        """
        if stage.crop != self.model.config.height:
            raise InputError(
                f"recipe: crop is {stage.crop}; this architecture takes its own size, {self.model.config.height}"
            )
        return {
            "clips": self.clips.batch(rng, stage.batch, stage.frames, stage.crop),
            "seed": int(rng.integers(1 << 62)),
        }

    @torch.inference_mode()
    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """PSNR of held-out clips from the means of their latents, with the frames whose importance is above a half."""
        qualities, rates = [], []
        for clip in self.held_out:
            video = rearrange(clip, "t c h w -> 1 t h w c").to(self.device).float() / 255
            posterior = self.model.encoder(video, None)
            kept = posterior.importance > 0.5
            back = self.model.decoder(self.model.fill(posterior.mean, kept), None).clamp(0, 1)
            qualities.append(-10 * math.log10(max(float((back - video).square().mean()), 1e-10)))
            rates.append(float(kept.float().mean()))
        return {"score": round(float(np.mean(qualities)), 4), "keep_rate": round(float(np.mean(rates)), 4)}
