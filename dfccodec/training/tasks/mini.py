"""Training task of `mini`: one loss for all quantizer indices and all masks of kept frames.

The loss has two terms: error + λ(QP)·bits of kept frames, and the error of dropped frames. Each term is divided by its
running mean at that QP, so that no QP and no kind of frame dominates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfccodec.codec.clip import refine
from dfccodec.container.records import Coding
from dfccodec.entropy.latent_coding import default_coding, encode_latents
from dfccodec.errors import InputError
from dfccodec.metrics.lpips import load_lpips
from dfccodec.models.importance import gap_costs, optimal_selection
from dfccodec.models.mini import BASE_STEP, Mini, MiniConfig
from dfccodec.models.mini_layers import PATCH
from dfccodec.models.mini_slots import Slots
from dfccodec.training.data.dataset import ClipSampler, Scene, held_out_clips
from dfccodec.training.losses.masks import draw_mask, uniform_mask
from dfccodec.training.losses.quantization import estimate_latent_motion, predict, quantize_with_prediction
from dfccodec.training.losses.rate_model import ContextRateModel
from dfccodec.training.losses.texture_mask import split_error
from dfccodec.training.pca import fit_pca, format_pca
from dfccodec.training.recipe import Stage
from dfccodec.training.trainer import LossModule, uniform_noise_like

EVAL_QPS = (16, 26, 36)
PCA_QPS = (10, 18, 26, 34, 42, 50)
EVAL_CLIPS = 10

DEFAULT_WEIGHTS = {"dropped_weight": 0.3, "perceptual": 0.0}
"""Default weights of additional loss terms, relative to the RD cost of kept frames; each is divided by its mean."""

SCORE_SCALE = 2.0
"""Factor on the weight of a loss term to get its weight in the score. The loss compares the term with D + λR, of which
D, the only part in the score, is about half."""

REFINE_ITERATIONS = (2, 3)
"""Numbers of refinement iterations in training: the default and one more."""


def quantizer_step(qp: Tensor) -> Tensor:
    """Return the quantizer step at QP (B,)."""
    return BASE_STEP * 2.0 ** (qp.float() / 8)


def high_rate_lambda(qp: Tensor) -> Tensor:
    """Return λ in squared error per bit: the negative slope of the high-rate RD curve, ln 2 / 6 · step²."""
    return math.log(2) / 6 * quantizer_step(qp) ** 2


class MiniLoss(LossModule):
    """`mini`, its rate model and the running means of its loss terms. A call returns the loss of one step.

    Args:
        model: model to train.
        dropped_weight: weight of the error of dropped frames, relative to the RD cost of kept frames.
        autocast: data type of the networks.
        perceptual: weight, relative to that cost, of the LPIPS of textured areas and of the error of smooth areas.
            Above 0, the LPIPS weights must be installed.
        inter: whether to use inter coding for kept frames, if the model supports it.
    """

    def __init__(
        self, model: Mini, dropped_weight: float, autocast: torch.dtype, perceptual: float = 0.0, inter: bool = True
    ) -> None:
        super().__init__()
        self.model, self.inter = model, inter and default_coding(model) == Coding.INTER
        self.rate = ContextRateModel(model.linear.scale.detach(), BASE_STEP)
        self.dropped_weight, self.autocast, self.perceptual = dropped_weight, autocast, perceptual
        # A list hides the module from state_dict(): third-party weights do not belong in checkpoints.
        self.lpips = [load_lpips()] if perceptual else []
        self.register_buffer("mean", torch.zeros(4 if perceptual else 2, 64))

    def forward(
        self, clips: Tensor, qp: Tensor, kept: np.ndarray, loss_mask: np.ndarray, seed: int, refine_steps: int = 0
    ) -> Tensor:
        """Compute the loss.

        Args:
            clips: (B, T, 3, S, S) in [0, 1].
            qp: (B,) quantizer indices.
            kept: (T,) bool, kept frames.
            loss_mask: (T,) bool, frames on which the error is computed.
            seed: seed of the quantization noise.
            refine_steps: number of refinement iterations of the latents; above 0, no gradient reaches the encoder.
        """
        error, perceptual_terms, bits, is_kept = self.measure(clips, qp, kept, loss_mask, seed, refine_steps)
        kept_cost = error[:, is_kept].mean(dim=1) + high_rate_lambda(qp) * bits.mean(dim=1)
        # The loss is about one by construction. The log has the objective in units of step².
        self.cost = (kept_cost.detach() / quantizer_step(qp) ** 2).log10().mean() * 10
        total = (kept_cost / self._running_mean(0, qp, kept_cost)).mean()
        if not is_kept.all():
            filled = error[:, ~is_kept].mean(dim=1)
            total = total + self.dropped_weight * (filled / self._running_mean(1, qp, filled)).mean()
        for kind, term in enumerate(perceptual_terms, start=2):
            total = total + self.perceptual * (term / self._running_mean(kind, qp, term)).mean()
        return total

    def measure(
        self, clips: Tensor, qp: Tensor, kept: np.ndarray, loss_mask: np.ndarray, seed: int, refine_steps: int = 0
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """Decode a batch and measure error and bits. Arguments as for :meth:`forward`.

        N frames are in `loss_mask`, K frames are kept.

        Returns:
            squared error per patch (B, N); with a perceptual term, mean LPIPS of textured areas and mean squared error
            of smooth areas, each (B,); bits per patch of kept frames (B, K); and which of the N frames are kept (N,).
        """
        model, b = self.model, len(clips)
        slots = Slots.from_mask(kept, np.flatnonzero(loss_mask & ~kept)).to(clips.device)
        step = quantizer_step(qp)[:, None, None, None, None]
        with torch.autocast(clips.device.type, self.autocast, enabled=self.autocast != torch.float32):
            frames = clips[:, slots.frame_index[: slots.num_kept]]
            with torch.set_grad_enabled(torch.is_grad_enabled() and not refine_steps):
                z = model.analyse(frames.flatten(0, 1), qp.repeat_interleave(slots.num_kept)).float()
            y = z.reshape(b, slots.num_kept, *z.shape[1:]) / step
            if refine_steps:
                y = self.refine_latents(y, frames, slots, qp, refine_steps)
            values, prediction = quantize_with_prediction(y.detach(), self.motion_vectors(y))
            rounded = y + (values - y.detach())  # straight-through estimator
            filled = model.fill(rounded * step, slots)
            features = model.features(filled, slots, qp)
            mask = torch.from_numpy(loss_mask).to(clips.device)[slots.frame_index]
            pictures = model.picture(
                filled[:, mask].flatten(0, 1), features[:, mask].flatten(0, 1), qp.repeat_interleave(int(mask.sum()))
            )
        bits = self.rate(y + uniform_noise_like(y, seed), rounded, prediction, qp)
        patches = y.shape[3] * y.shape[4]
        truth = clips[:, slots.frame_index[mask]].flatten(0, 1)
        error = (pictures.float() - truth).square().sum(dim=(1, 2, 3)).reshape(b, -1) / patches
        perceptual_terms = []
        # LPIPS first samples every fourth pixel, and the decoder outputs blocks of 4×4. If both were always aligned,
        # the decoder would learn a pattern in smooth areas that LPIPS takes for texture. A random offset prevents it.
        down, right = seed % 4, seed // 4 % 4
        for network in self.lpips:
            textured, smooth = split_error(pictures.float(), truth)
            near = network.to(clips.device)(*(part[..., down:, right:] for part in (textured, truth)))
            perceptual_terms = [term.reshape(b, -1).mean(dim=1) for term in (near, smooth)]
        is_kept = torch.arange(len(slots.frame_index), device=clips.device)[mask] < slots.num_kept
        return error, perceptual_terms, bits.sum(dim=(2, 3, 4)) / patches, is_kept

    @torch.enable_grad()
    def refine_latents(self, y: Tensor, frames: Tensor, slots: Slots, qp: Tensor, count: int) -> Tensor:
        """Refine latents as `codec.clip.refine` does, with the rate model in place of the entropy coder.

        Args:
            y: (B, K, 96, h, w) latents in quantizer steps.
            frames: (B, K, 3, H, W) source frames.
            slots: frame slots of the clip; kept frames are decoded without dropped frames.
            qp: (B,) quantizer indices.
            count: number of iterations.

        Returns:
            refined latents, shaped as `y`.
        """
        own, vectors = slots.kept_only, self.motion_vectors(y)
        step = quantizer_step(qp)[:, None, None, None, None]
        rates = qp.repeat_interleave(slots.num_kept)

        def gradient(y: Tensor) -> Tensor:
            y = y.detach().requires_grad_()
            features = self.model.features(y * step, own, qp)
            made = self.model.picture((y * step).flatten(0, 1), features.flatten(0, 1), rates)
            error = (made.float() - frames.flatten(0, 1)).square().sum(dim=(1, 2, 3)).reshape(y.shape[:2]).sum(dim=1)
            now = torch.round(y.detach())
            bits = self.rate(y, now, predict(now, vectors), qp).sum(dim=(1, 2, 3, 4))
            (slope,) = torch.autograd.grad((error + refine.RATE_WEIGHT * high_rate_lambda(qp) * bits).sum(), y)
            return slope / step**2  # makes clips of different QPs comparable

        curvature = y.new_full((), refine.INITIAL_CURVATURE[1] * self.model.synthesis_gain)
        return refine.descend(y.detach(), gradient, count, curvature, (1, 3, 4))

    def motion_vectors(self, y: Tensor) -> np.ndarray | None:
        """Estimate motion vectors (K, B·h·w, 2) for latents (B, K, 96, h, w) in steps; None without inter coding."""
        return estimate_latent_motion(y.detach()) if self.inter and y.shape[1] > 1 else None

    @torch.no_grad()
    def _running_mean(self, kind: int, qp: Tensor, value: Tensor) -> Tensor:
        mean: Tensor = self.mean  # type: ignore[assignment]
        for q, v in zip(qp.tolist(), value.tolist(), strict=True):
            before = float(mean[kind, q])
            mean[kind, q] = v if before == 0 else 0.99 * before + 0.01 * v
        return mean[kind, qp].clamp(min=1e-12)  # the texture error of a black picture is 0


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
        known = {"qps", "all_kept", "dropped_weight", "perceptual", "inter", "fit_pca", "pooled_mse", "config"}
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
        self._pca_points: dict[int, list[tuple[float, float, float]]] = {}

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the arguments of `MiniLoss.forward` for one step."""
        clips = self.clips.batch(rng, stage.batch, stage.frames, stage.crop)
        kept = draw_mask(rng, stage.frames, self.all_kept, self._gap_costs(clips) if stage.frames > 1 else None)
        loss_mask = np.zeros(stage.frames, bool)
        for frames, count in (
            (np.flatnonzero(kept), stage.loss_kept_frames),
            (np.flatnonzero(~kept), stage.loss_dropped_frames),
        ):
            if kept.all():
                count = stage.loss_kept_frames + stage.loss_dropped_frames
            loss_mask[rng.permutation(frames)[:count]] = True
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
        frame of every clip. A perceptual term adds the gain in LPIPS, in dB, with twice its weight.
        """
        clips = [clip[len(clip) // 2 :][:1] for clip in self.held_out] if stage.frames == 1 else self.held_out
        figures: dict[str, Any] = {}
        gains = []
        for budget in (1,) if stage.frames == 1 else (32, 8):
            if not self._pca_points.get(budget):
                self._pca_points[budget] = [self._rd_point(clips, budget, qp, linear=True) for qp in PCA_QPS]
            bits, psnr, near = (np.array(v)[::-1] for v in zip(*self._pca_points[budget], strict=True))
            for qp in EVAL_QPS:
                bpp, quality, nearness = self._rd_point(clips, budget, qp)
                gain, nearer = (
                    now - float(np.interp(math.log(bpp), np.log(bits), then))
                    for now, then in ((quality, psnr), (nearness, near))
                )
                gains.append(gain + SCORE_SCALE * self.loss_module.perceptual * nearer)
                figures[f"gain_{budget}_qp{qp}"] = round(gain, 3)
                figures[f"psnr_{budget}_qp{qp}"] = round(quality, 3)
                if self.loss_module.lpips:
                    figures[f"lpips_gain_{budget}_qp{qp}"] = round(nearer, 3)
        return {"score": round(float(np.mean(gains)), 4), **figures}

    def _rd_point(
        self, clips: Sequence[Tensor], budget: int, qp: int, linear: bool = False
    ) -> tuple[float, float, float]:
        """Encode clips (T, 3, S, S) uint8 with `budget` of 32 frames at a QP; return bits per pixel, PSNR, LPIPS in dB.

        LPIPS is measured on every fourth frame; it is 0 dB without a perceptual term.
        """
        sizes, errors, nearness = [], [], []
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
        quality = (
            _to_decibels(np.mean(errors)) if self.pooled_mse else float(np.mean([_to_decibels(e) for e in errors]))
        )
        return float(np.mean(sizes)), quality, float(np.mean(nearness or [0.0]))

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
