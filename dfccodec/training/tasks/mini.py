"""Training task of `mini`: one loss for all quantizer indices and all masks of kept frames (`losses.mini_loss`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfccodec.entropy.latent_coding import default_coding, encode_latents
from dfccodec.errors import InputError
from dfccodec.models.importance import gap_costs, optimal_selection
from dfccodec.models.mini import Mini, MiniConfig
from dfccodec.models.mini_layers import PATCH
from dfccodec.models.mini_slots import Slots
from dfccodec.training.data.dataset import ClipSampler, Scene, held_out_clips
from dfccodec.training.losses.flow_consistency import flow_inconsistency
from dfccodec.training.losses.masks import draw_adjacent, draw_loss_mask, draw_mask, uniform_mask
from dfccodec.training.losses.mini_loss import MiniLoss, quantizer_step
from dfccodec.training.losses.quantization import quantize_with_prediction
from dfccodec.training.pca import fit_pca, format_pca
from dfccodec.training.recipe import Stage

EVAL_QPS = (16, 26, 36)
PCA_QPS = (10, 18, 26, 34, 42, 50)
EVAL_CLIPS = 10

DEFAULT_WEIGHTS = {"dropped_weight": 0.3, "perceptual": 0.0, "consistency": 0.0}
"""Default weights of additional loss terms, relative to the RD cost of kept frames; each is divided by its mean."""

SCORE_SCALE = 2.0
"""Factor on the weight of a loss term to get its weight in the score. The loss compares the term with D + λR, of which
D, the only part in the score, is about half."""

STEADY_FRAMES = 8
"""Frames in the middle of each clip on which the score measures consistency."""

REFINE_ITERATIONS = (2, 3)
"""Numbers of refinement iterations in training: the default and one more."""


class MiniTask:
    """Training task of `mini` on videos; implements `training.trainer.Task`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        train: Sequence[Scene],
        held_out: Sequence[Scene],
        device: torch.device,
        autocast: torch.dtype,
        start: Mini | None = None,
    ) -> None:
        known = {"qps", "all_kept", "inter", "fit_pca", "pooled_mse", "config", *DEFAULT_WEIGHTS}
        if unknown := set(options) - known:
            raise InputError(f"recipe: option {min(unknown)!r} is unknown; known are {', '.join(sorted(known))}")
        self.qps = _parse_qps(options.get("qps", [8, 48]))
        for name in {"all_kept", *DEFAULT_WEIGHTS} & set(options):
            if not isinstance(options[name], int | float) or not options[name] >= 0:
                raise InputError(f"recipe: {name} is {options[name]!r}; give a number, 0 or more")
        self.all_kept = float(options.get("all_kept", 0.35))
        self.pooled_mse = bool(options.get("pooled_mse", False))
        asked = options.get("config")
        config = MiniConfig.with_values(MiniConfig(), asked) if asked else start.config if start else MiniConfig()
        model = (
            _add_blocks(start, config) if start else _init_from_pca(config, train, bool(options.get("fit_pca", False)))
        )
        weights = {name: float(options.get(name, by_default)) for name, by_default in DEFAULT_WEIGHTS.items()}
        inter = bool(options.get("inter", True))
        self.loss_module = MiniLoss(model, autocast=autocast, inter=inter, **weights).to(device)
        self.model = self.loss_module.model
        self.config_json, self.coding = self.model.config_json, default_coding(self.model)
        self.device, self.autocast, self.max_frames = device, autocast, Mini.max_frames
        self.clips = ClipSampler(train, device)
        self.held_out = held_out_clips(held_out, 32, 256, PATCH, EVAL_CLIPS)
        self._pca_points: dict[int, list[tuple[float, float, float, float]]] = {}

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the arguments of `MiniLoss.forward` for one step."""
        clips = self.clips.batch(rng, stage.batch, stage.frames, stage.crop)
        kept = draw_mask(rng, stage.frames, self.all_kept, self._gap_costs(clips) if stage.frames > 1 else None)
        adjacent = self.loss_module.consistency
        loss_mask = (draw_adjacent if adjacent else draw_loss_mask)(
            rng, kept, stage.loss_kept_frames, stage.loss_dropped_frames
        )
        qp = torch.from_numpy(rng.integers(self.qps[0], self.qps[1] + 1, stage.batch)).to(self.device)
        seed = int(rng.integers(1 << 62))
        refine_steps = int(rng.choice(REFINE_ITERATIONS)) if rng.random() < stage.refined_share else 0
        return {
            "clips": clips,
            "qp": qp,
            "kept": kept,
            "loss_mask": loss_mask,
            "seed": seed,
            "refine_steps": refine_steps,
        }

    @torch.inference_mode()
    def _gap_costs(self, clips: Tensor) -> np.ndarray:
        """Compute the costs of gaps between kept frames, summed over clips (B, T, 3, S, S); see `gap_costs`."""
        z = torch.stack([self.model.linear.analyse(clip) for clip in clips], dim=1)  # (T, B, 96, h, w)
        return gap_costs(z.flatten(1).float().cpu().numpy())

    @torch.inference_mode()
    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """Measure the gain in dB over the PCA baseline at equal bytes, with 32 and 8 of 32 kept frames.

        The PCA baseline keeps uniformly spaced frames and interpolates between them. The model keeps the frames that
        importance selects, as in files. With `pooled_mse`, PSNR is computed from the mean squared error of all clips,
        which is dominated by fast clips; otherwise it is the mean over the clips. The stage `frames` uses the middle
        frame of every clip. A perceptual term adds the gain in LPIPS, in dB, with twice its weight, and consistency its
        own.
        """
        clips = [clip[len(clip) // 2 :][:1] for clip in self.held_out] if stage.frames == 1 else self.held_out
        figures: dict[str, Any] = {}
        gains = []
        for budget in (1,) if stage.frames == 1 else (32, 8):
            if not self._pca_points.get(budget):
                self._pca_points[budget] = [self._rd_point(clips, budget, qp, linear=True) for qp in PCA_QPS]
            bits, psnr, near, steady = (np.array(v)[::-1] for v in zip(*self._pca_points[budget], strict=True))
            for qp in EVAL_QPS:
                bpp, *now = self._rd_point(clips, budget, qp)
                quality = now[0]
                gain, nearer, steadier = (
                    own - float(np.interp(math.log(bpp), np.log(bits), then))
                    for own, then in zip(now, (psnr, near, steady), strict=True)
                )
                more = self.loss_module.perceptual * nearer + self.loss_module.consistency * steadier
                gains.append(gain + SCORE_SCALE * more)
                figures[f"gain_{budget}_qp{qp}"] = round(gain, 3)
                figures[f"psnr_{budget}_qp{qp}"] = round(quality, 3)
                if self.loss_module.lpips:
                    figures[f"lpips_gain_{budget}_qp{qp}"] = round(nearer, 3)
                if self.loss_module.consistency:
                    figures[f"consistency_gain_{budget}_qp{qp}"] = round(steadier, 3)
        return {"score": round(float(np.mean(gains)), 4), **figures}

    def _rd_point(
        self, clips: Sequence[Tensor], budget: int, qp: int, linear: bool = False
    ) -> tuple[float, float, float, float]:
        """Encode clips (T, 3, S, S) uint8 with `budget` of 32 frames at a QP; return bits per pixel, and in dB PSNR,
        LPIPS and inconsistency.

        LPIPS is measured on every fourth frame, inconsistency on the middle frames; each is 0 dB without its term.
        """
        sizes, errors, nearness, steadiness = [], [], [], []
        for clip in clips:
            count = max(1, round(budget * len(clip) / 32)) if budget < 32 else len(clip)
            if linear or count == len(clip):
                kept = uniform_mask(len(clip), count)
            else:
                kept = optimal_selection(self._gap_costs(clip.to(self.device).float()[None] / 255), count)
            values, back = self._encode_and_decode(clip, kept, qp, linear)
            rows = values.permute(0, 2, 3, 1)[:, None].to(torch.int16).cpu().numpy()
            sizes.append(len(encode_latents(rows, self.coding)[0]) * 8 / (clip.numel() / 3))
            made, true = back.clamp(0, 1).float(), clip.to(self.device).float() / 255
            errors.append(float((made - true).square().mean()))
            nearness += [
                _to_decibels(network.to(self.device)(made[::4], true[::4]).mean()) for network in self.loss_module.lpips
            ]
            if self.loss_module.consistency:
                middle = slice(max(0, len(true) // 2 - STEADY_FRAMES // 2), len(true) // 2 + STEADY_FRAMES // 2)
                numbers = torch.arange(len(true))[middle]
                steadiness.append(_to_decibels(flow_inconsistency(made[middle][None], true[middle][None], numbers)))
        quality = (
            _to_decibels(np.mean(errors)) if self.pooled_mse else float(np.mean([_to_decibels(e) for e in errors]))
        )
        return float(np.mean(sizes)), quality, float(np.mean(nearness or [0.0])), float(np.mean(steadiness or [0.0]))

    def _encode_and_decode(self, clip: Tensor, kept: np.ndarray, qp: int, linear: bool) -> tuple[Tensor, Tensor]:
        """Encode and decode a clip; return quantized latents (K, 96, h, w) and decoded frames (T, 3, S, S)."""
        model, index = self.model, torch.full((1,), qp, device=self.device)
        step = float(quantizer_step(index))
        slots = Slots.from_mask(kept).to(self.device)
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast != torch.float32):
            frames = (
                clip[i : i + 1].to(self.device).float() / 255 for i in slots.frame_index[: slots.num_kept].tolist()
            )
            z = torch.cat([model.linear.analyse(f) if linear else model.analyse(f, index) for f in frames])
            y = (z.float() / step)[None]
            values = (torch.round(y) if linear else quantize_with_prediction(y, self.loss_module.motion_vectors(y))[0])[
                0
            ]
            filled = model.fill((values * step)[None], slots)
            if linear:
                back = model.linear.synthesise(filled[0])
            else:
                features = model.features(filled, slots, index)
                slot = range(len(slots.frame_index))
                back = torch.cat([model.picture(filled[:, i], features[:, i], index) for i in slot])
        return values, back[torch.argsort(slots.frame_index)]


def _to_decibels(distance: Tensor | float | np.floating[Any]) -> float:
    """Convert a distance to dB; a smaller distance gives a higher value."""
    return -10 * math.log10(max(float(distance), 1e-10))


def _init_from_pca(config: MiniConfig, scenes: Sequence[Scene], fitted: bool) -> Mini:
    """Create a model that equals its PCA transform: the format's basis, or one fitted if `fitted` is set.

    Mean and scale are measured on every fourth frame of the scenes.
    """
    model = Mini(config)
    basis, mean, scale = (fit_pca if fitted else format_pca)([f for scene in scenes for f in scene.frames[::4]])
    code = {"basis": basis, "mean": mean, "scale": scale}
    model.linear.load_state_dict({name: torch.from_numpy(value) for name, value in code.items()})
    return model


def _parse_qps(value: Any) -> tuple[int, int]:
    """Parse the inclusive range of quantizer indices."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(q, int) for q in value):
        first, last = value
        if 0 <= first <= last < 64:
            return first, last
    raise InputError(f"recipe: qps is {value!r}; give the first and the last of 0 to 63")


def _add_blocks(start: Mini, config: MiniConfig) -> Mini:
    """Add the blocks of a larger configuration, zero-initialized, so that the function stays the same.

    Raises:
        InputError: the configuration has other widths or fewer blocks.
    """
    if config == start.config:
        return start
    model = Mini(config)
    try:
        unknown = model.load_state_dict(start.state_dict(), strict=False).unexpected_keys
    except RuntimeError:  # shapes differ
        unknown = ["widths"]
    if unknown:
        raise InputError(
            f"recipe: config {config.to_json()} does not extend the initial model, {start.config.to_json()}: "
            "it can only add blocks at the end of each stage"
        )
    return model
