"""Training task of `mini-regen`: Charbonnier error of the warped picture, then absolute error and LPIPS of the result,
and late a patch discriminator.

The codec and the motion latents of the clips are fixed. Flow matching predicts the picture (x-prediction); most steps
start from pure noise, because one step is the default of the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfccodec.errors import InputError
from dfccodec.metrics.lpips import Lpips, load_lpips
from dfccodec.models.regen import CELL, PATCH, TIME_UNIT, Reference, Regen, RegenConfig
from dfccodec.training.data.motion_clips import MotionClip
from dfccodec.training.losses.discriminator import DISCRIMINATOR_SIDE, Discriminator
from dfccodec.training.recipe import Stage
from dfccodec.training.tasks.sharp import random_view
from dfccodec.training.trainer import LossModule, uniform_noise_like

DEFAULT_OPTIONS = {"warped": 0.5, "absolute": 1.0, "perceptual": 1.0, "adversarial": 0.0, "noise_share": 0.75}
"""Defaults: weights of the Charbonnier error of the warped picture, of the mean absolute error, of LPIPS and of the
adversarial loss; share of steps from pure noise."""

EVAL_CLIPS, EVAL_FRAMES = 8, 4
CHARBONNIER = 1e-3


class RegenLoss(LossModule):
    """The generator and its losses. A call returns the loss of one step."""

    def __init__(self, model: Regen, options: Mapping[str, float], autocast: torch.dtype) -> None:
        super().__init__()
        self.model, self.options, self.autocast = model, options, autocast
        self.discriminator = Discriminator(DISCRIMINATOR_SIDE) if options["adversarial"] else None
        self.lpips: list[Lpips] = [load_lpips()] if options["perceptual"] else []  # a list keeps it out of checkpoints

    def forward(self, references: list[Reference], truth: Tensor, seed: int) -> Tensor:
        """Loss of frames `truth` (B, 3, H, W) from their references; `seed` determines noise and views."""
        rng = np.random.default_rng(seed)
        noise = uniform_noise_like(truth[:1], seed) * 12**0.5
        with self.precision(truth.device):
            warped = self.model.warp(references)
            fresh = rng.random() < self.options["noise_share"]
            level = torch.full((len(truth),), 0.0 if fresh else float(rng.uniform(0, 0.9)))
            mix = level[:, None, None, None]
            noisy = (1 - mix) * noise + mix * (2 * truth - 1)
            made = self.model.refine(warped, noisy, level)
        loss = self.options["warped"] * ((warped.picture - truth).square() + CHARBONNIER**2).sqrt().mean()
        error = self.options["absolute"] * (made - truth).abs().mean()
        if self.lpips:
            error = error + self.options["perceptual"] * self._perceptual(*random_view(rng, made, truth)).mean()
        extra = truth.new_zeros(())
        if self.discriminator is not None:
            with self.precision(truth.device):
                fooled, extra = self.discriminator.losses(made, truth, warped.picture.detach(), rng)
            error = error + self.options["adversarial"] * fooled.mean()
        loss = loss + error
        self.cost = 10 * loss.detach().log10()
        return loss + extra

    def precision(self, device: torch.device) -> torch.autocast:
        """Context in which the networks run in the precision of the run."""
        return torch.autocast(device.type, self.autocast, enabled=self.autocast != torch.float32)

    def _perceptual(self, made: Tensor, truth: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.lpips[0].features(truth)
        return self.lpips[0].distance(self.lpips[0].features(made), wanted)


def references_of(clip: MotionClip, times: np.ndarray, rows: slice, columns: slice) -> list[Reference]:
    """The references of frames `times` (B,) of a clip: the kept frames before and after; `rows`, `columns` of cells."""
    after = np.searchsorted(clip.kept, times)
    sides = [(after - 1, after > 0), (after, after < len(clip.kept))]
    y, x = (slice(CELL * side.start, CELL * side.stop) for side in (rows, columns))
    v, u = (slice(side.start * CELL // PATCH, side.stop * CELL // PATCH) for side in (rows, columns))
    out = []
    for index, valid in sides:
        if not valid.any():
            continue
        index = np.clip(index, 0, len(clip.kept) - 1)
        out.append(
            Reference(
                torch.from_numpy(clip.pictures[index, y, x]).permute(0, 3, 1, 2).float() / 255,
                torch.from_numpy(clip.content[index][..., v, u].astype(np.float32)),
                torch.from_numpy(clip.motion[index][..., rows, columns]),
                torch.from_numpy((times - clip.kept[index]).astype(np.float32)) / TIME_UNIT,
                torch.from_numpy(valid),
            )
        )
    return out


class RegenTask:
    """Training task on motion clips; implements `training.trainer.Task`."""

    max_frames = 32

    def __init__(
        self,
        options: Mapping[str, Any],
        train: Sequence[MotionClip],
        held_out: Sequence[MotionClip],
        device: torch.device,
        autocast: torch.dtype,
        start: Regen | None = None,
    ) -> None:
        if unknown := set(options) - set(DEFAULT_OPTIONS):
            raise InputError(f"recipe: option {min(unknown)!r} is unknown; known are {', '.join(DEFAULT_OPTIONS)}")
        model = start or Regen(RegenConfig())
        if start is None:
            content = np.concatenate([clip.content.astype(np.float32).swapaxes(0, 1).reshape(
                clip.content.shape[1], -1) for clip in train[:64]], axis=1)  # fmt: skip
            model.expansion.get_buffer("deviation").copy_(torch.from_numpy(content.std(axis=1) + 1e-3))
        self.loss_module = RegenLoss(model, {**DEFAULT_OPTIONS, **options}, autocast).to(device)
        self.model, self.config_json, self.device = model, model.config_json, device
        self.train, self.held_out = train, list(held_out)[:: max(1, len(held_out) // EVAL_CLIPS)][:EVAL_CLIPS]
        self.networks = {name: load_lpips(net=name).to(device) for name in ("alex", "vgg")}

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the arguments of `RegenLoss.forward` for one step: frames of one clip, cropped to whole cells."""
        clip = self.train[int(rng.integers(len(self.train)))]
        dropped = np.setdiff1d(np.arange(len(clip.frames)), clip.kept)
        times = np.sort(rng.choice(dropped, min(stage.batch, len(dropped)), replace=False))
        side = stage.crop // CELL
        rows, columns = (slice(a, a + side) for a in rng.integers(0, np.array(clip.motion.shape[2:]) - side + 1))
        truth = clip.frames[times, rows.start * CELL : rows.stop * CELL, columns.start * CELL : columns.stop * CELL]
        return {
            "references": references_of(clip, times, rows, columns),
            "truth": torch.from_numpy(truth).permute(0, 3, 1, 2).float() / 255,
            "seed": int(rng.integers(1 << 62)),
        }

    @torch.inference_mode()
    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """LPIPS and PSNR of the generated and of the warped frames of validation clips."""
        found: dict[str, list[float]] = {}
        for clip in self.held_out:
            dropped = np.setdiff1d(np.arange(len(clip.frames)), clip.kept)
            times = dropped[np.linspace(0, len(dropped) - 1, EVAL_FRAMES).astype(int)]
            whole = [slice(0, side) for side in clip.motion.shape[2:]]
            truth = torch.from_numpy(clip.frames[times]).permute(0, 3, 1, 2).float() / 255
            references = references_of(clip, times, *whole)
            noise = uniform_noise_like(truth[:1], 1) * 12**0.5
            with self.loss_module.precision(truth.device):
                warped = self.model.warp(references)
                made = self.model.refine(warped, noise.expand_as(truth), torch.zeros(len(truth)))
            for name, pictures in (("", made), ("warped_", warped.picture)):
                pictures = pictures.float().clamp(0, 1)
                for net, network in self.networks.items():
                    found.setdefault(name + net, []).append(float(network(pictures, truth).mean()))
                mse = (pictures - truth).square().mean(dim=(1, 2, 3)).clamp(min=1e-6)
                found.setdefault(name + "psnr", []).append(float(-10 * mse.log10().mean()))
        figures = {name: round(float(np.mean(values)), 4) for name, values in found.items()}
        return {"score": round(-10 * float(np.log10((figures["alex"] + figures["vgg"]) / 2)), 4), **figures}
