"""Training of `mini`: one loss for all quantizer indices and all masks of kept frames.

Error and bits of kept frames, error of dropped ones: `error + λ(QP)·bits`, each divided by its running mean at that QP,
so that no rate and no kind of frame drowns the others.
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
from dfccodec.models.mini import BASE_STEP, Mini, MiniConfig, Slots
from dfccodec.models.mini_layers import PATCH
from dfccodec.training.data.dataset import Clips, Scene, held_out_clips
from dfccodec.training.losses.masks import draw_mask, uniform_mask
from dfccodec.training.losses.quantization import estimate_latent_motion, predict, snap
from dfccodec.training.losses.rate_model import ContextRate
from dfccodec.training.losses.texture_mask import split
from dfccodec.training.pca import fit_pca, format_code
from dfccodec.training.recipe import Stage
from dfccodec.training.trainer import LossModule, noise_like

EVAL_QPS = (16, 26, 36)
LINEAR_QPS = (10, 18, 26, 34, 42, 50)
JUDGED_CLIPS = 10

WEIGHTS = {"dropped_weight": 0.3, "perceptual": 0.0}
"""Of the terms of the loss beside the cost of kept frames, each over its running mean, where a recipe has none."""

SCORE_SCALE = 2.0
"""What a term of the loss counts in the score, times its weight: the loss weighs it against D + λR, of which the error
that the score is made of is about half."""

REFINE_STEPS = (2, 3)
"""Steps of refinement in training: those of the default and one more."""


def step_of(qp: Tensor) -> Tensor:
    """Quantizer step of QP (B,)."""
    return BASE_STEP * 2.0 ** (qp.float() / 8)


def high_rate_lambda(qp: Tensor) -> Tensor:
    """λ in squared error per bit: minus the slope of the high-rate curve at this step, ln 2 / 6 · step²."""
    return math.log(2) / 6 * step_of(qp) ** 2


class MiniSystem(LossModule):
    """`mini`, its rate model and the running means its loss is divided by; a call is one step's loss.

    Args:
        model: to train.
        dropped_weight: of the error of dropped frames beside the cost of kept ones.
        autocast: number format of the networks.
        perceptual: of the LPIPS of shown frames where they have texture, and of their error where they have none,
            beside that cost; above 0, the weights of LPIPS must be on the machine.
        inter: whether the bits of a kept frame are those of the inter coding, where the model can have it.
    """

    def __init__(
        self, model: Mini, dropped_weight: float, autocast: torch.dtype, perceptual: float = 0.0, inter: bool = True
    ) -> None:
        super().__init__()
        self.model, self.inter = model, inter and default_coding(model) == Coding.INTER
        self.rate = ContextRate(model.linear.scale.detach(), BASE_STEP)
        self.dropped_weight, self.autocast, self.perceptual = dropped_weight, autocast, perceptual
        # In a list, which hides it from state_dict(): these weights are not ours to store in checkpoints.
        self.judge = [load_lpips()] if perceptual else []
        self.register_buffer("mean", torch.zeros(4 if perceptual else 2, 64))

    def forward(
        self, clips: Tensor, qp: Tensor, kept: np.ndarray, loss_mask: np.ndarray, seed: int, refine_steps: int = 0
    ) -> Tensor:
        """Loss of clips (B, T, 3, S, S) at QP (B,), kept frames `kept` (T,) bool, errors judged at `loss_mask` (T,).

        With `refine_steps` steps of descent on the latents before they are rounded, nothing reaches the encoder.
        """
        error, apart, bits, is_kept = self.errors(clips, qp, kept, loss_mask, seed, refine_steps)
        own = error[:, is_kept].mean(dim=1) + high_rate_lambda(qp) * bits.mean(dim=1)
        # What is minimised hovers around one by construction; what is logged is the objective in units of step².
        self.cost = (own.detach() / step_of(qp) ** 2).log10().mean() * 10
        total = (own / self._norm(0, qp, own)).mean()
        if not is_kept.all():
            filled = error[:, ~is_kept].mean(dim=1)
            total = total + self.dropped_weight * (filled / self._norm(1, qp, filled)).mean()
        for kind, term in enumerate(apart, start=2):
            total = total + self.perceptual * (term / self._norm(kind, qp, term)).mean()
        return total

    def errors(
        self, clips: Tensor, qp: Tensor, kept: np.ndarray, loss_mask: np.ndarray, seed: int, refine_steps: int = 0
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """What one batch comes to.

        Returns:
            squared error a patch of shown frames (B, N), where LPIPS is asked for its mean over their texture and the
            mean squared error of what is smooth, each (B,), bits a patch of kept frames (B, K), which of the shown
            are kept (N,).
        """
        model, b = self.model, len(clips)
        slots = Slots.from_mask(kept, np.flatnonzero(loss_mask & ~kept)).to(clips.device)
        step = step_of(qp)[:, None, None, None, None]
        with torch.autocast(clips.device.type, self.autocast, enabled=self.autocast != torch.float32):
            frames = clips[:, slots.frame_index[: slots.num_kept]]
            with torch.set_grad_enabled(torch.is_grad_enabled() and not refine_steps):
                z = model.analyse(frames.flatten(0, 1), qp.repeat_interleave(slots.num_kept)).float()
            y = z.reshape(b, slots.num_kept, *z.shape[1:]) / step
            if refine_steps:
                y = self.refine(y, frames, slots, qp, refine_steps)
            values, wanted = snap(y.detach(), self.vectors(y))
            rounded = y + (values - y.detach())  # straight through
            filled = model.fill(rounded * step, slots)
            features = model.features(filled, slots, qp)
            mask = torch.from_numpy(loss_mask).to(clips.device)[slots.frame_index]
            pictures = model.picture(
                filled[:, mask].flatten(0, 1), features[:, mask].flatten(0, 1), qp.repeat_interleave(int(mask.sum()))
            )
        bits = self.rate(y + noise_like(y, seed), rounded, wanted, qp)
        patches = y.shape[3] * y.shape[4]
        truth = clips[:, slots.frame_index[mask]].flatten(0, 1)
        error = (pictures.float() - truth).square().sum(dim=(1, 2, 3)).reshape(b, -1) / patches
        apart = []
        # The judge looks at every fourth pixel first, and the decoder makes four by four at once: were both always in
        # step, it would learn all the sooner a pattern in smooth areas that the judge takes for texture.
        down, right = seed % 4, seed // 4 % 4
        for judge in self.judge:
            textured, smooth = split(pictures.float(), truth)
            near = judge.to(clips.device)(*(part[..., down:, right:] for part in (textured, truth)))
            apart = [term.reshape(b, -1).mean(dim=1) for term in (near, smooth)]
        is_kept = torch.arange(len(slots.frame_index), device=clips.device)[mask] < slots.num_kept
        return error, apart, bits.sum(dim=(2, 3, 4)) / patches, is_kept

    @torch.enable_grad()
    def refine(self, y: Tensor, frames: Tensor, slots: Slots, qp: Tensor, count: int) -> Tensor:
        """Latents (B, K, 96, h, w) in steps after the descent of `codec.refine`, with this rate model for the coder.

        Args:
            y: as the encoder made them.
            frames: (B, K, 3, H, W), what they should look like.
            slots: of the clip; kept frames are decoded the same without the others.
            qp: (B,).
            count: steps.
        """
        own, vectors = slots.kept_only, self.vectors(y)
        step = step_of(qp)[:, None, None, None, None]
        rates = qp.repeat_interleave(slots.num_kept)

        def gradient(y: Tensor) -> Tensor:
            y = y.detach().requires_grad_()
            features = self.model.features(y * step, own, qp)
            made = self.model.picture((y * step).flatten(0, 1), features.flatten(0, 1), rates)
            error = (made.float() - frames.flatten(0, 1)).square().sum(dim=(1, 2, 3)).reshape(y.shape[:2]).sum(dim=1)
            now = torch.round(y.detach())
            bits = self.rate(y, now, predict(now, vectors), qp).sum(dim=(1, 2, 3, 4))
            (slope,) = torch.autograd.grad((error + refine.RATE_WEIGHT * high_rate_lambda(qp) * bits).sum(), y)
            return slope / step**2  # so that clips of different QPs are alike

        curvature = y.new_full((), refine.INITIAL_CURVATURE * self.model.synthesis_gain)
        return refine.descend(y.detach(), gradient, count, curvature, (1, 3, 4))

    def vectors(self, y: Tensor) -> np.ndarray | None:
        """Those of the inter coding (K, B·h·w, 2) for latents in steps (B, K, 96, h, w); None where nothing moves."""
        return estimate_latent_motion(y.detach()) if self.inter and y.shape[1] > 1 else None

    @torch.no_grad()
    def _norm(self, kind: int, qp: Tensor, value: Tensor) -> Tensor:
        mean: Tensor = self.mean  # type: ignore[assignment]
        for q, v in zip(qp.tolist(), value.tolist(), strict=True):
            before = float(mean[kind, q])
            mean[kind, q] = v if before == 0 else 0.99 * before + 0.01 * v
        return mean[kind, qp].clamp(min=1e-12)  # a black picture has no texture, and so no error there


class MiniTask:
    """`mini` on a folder of footage; satisfies `training.loop.Task`."""

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
        self.qps = _qps(options.get("qps", [8, 48]))
        for name in {"all_kept", *WEIGHTS} & set(options):
            if not isinstance(options[name], int | float) or not options[name] >= 0:
                raise InputError(f"recipe: {name} is {options[name]!r}; give a number, 0 or more")
        self.all_kept = float(options.get("all_kept", 0.35))
        self.pooled = bool(options.get("pooled_mse", False))
        asked = options.get("config")
        config = MiniConfig.with_values(MiniConfig(), asked) if asked else start.config if start else MiniConfig()
        model = _grown(start, config) if start else _from_linear(config, train, bool(options.get("fit_pca", False)))
        weights = {name: float(options.get(name, by_default)) for name, by_default in WEIGHTS.items()}
        inter = bool(options.get("inter", True))
        self.system = MiniSystem(model, autocast=autocast, inter=inter, **weights).to(device)
        self.model = self.system.model
        self.config_json, self.coding = self.model.config_json, default_coding(self.model)
        self.device, self.autocast, self.max_frames = device, autocast, Mini.max_frames
        self.clips = Clips(train, device)
        self.held_out = held_out_clips(held_out, 32, 256, PATCH, JUDGED_CLIPS)
        self._linear: dict[int, list[tuple[float, float, float]]] = {}

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Arguments of `MiniSystem.forward` for one step."""
        clips = self.clips.batch(rng, stage.batch, stage.frames, stage.crop)
        kept = draw_mask(rng, stage.frames, self.all_kept, self._costs(clips) if stage.frames > 1 else None)
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
        refine_steps = int(rng.choice(REFINE_STEPS)) if rng.random() < stage.refined_share else 0
        return {
            "clips": clips,
            "qp": qp,
            "kept": kept,
            "loss_mask": loss_mask,
            "seed": seed,
            "refine_steps": refine_steps,
        }

    @torch.inference_mode()
    def _costs(self, clips: Tensor) -> np.ndarray:
        """What gaps between kept frames of clips (B, T, 3, S, S) cost all of them together, as importance sees it."""
        z = torch.stack([self.model.linear.analyse(clip) for clip in clips], dim=1)  # (T, B, 96, h, w)
        return gap_costs(z.flatten(1).float().cpu().numpy())

    @torch.inference_mode()
    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """Gain in dB over the linear code with interpolation at equal bytes, all frames kept and 8 of 32.

        The linear code keeps frames at even distances, the model those that importance chooses, as files have it. With
        `pooled_mse`, decibels are those of the squared error of all clips together, which fast ones decide; else the
        mean of the clips' PSNR. In the stage `frames` the middle frame of every clip stands alone, as one frame of one.
        With a perceptual term, the gain in LPIPS, in dB as well, counts by twice its weight.
        """
        clips = [clip[len(clip) // 2 :][:1] for clip in self.held_out] if stage.frames == 1 else self.held_out
        figures: dict[str, Any] = {}
        gains = []
        for budget in (1,) if stage.frames == 1 else (32, 8):
            if not self._linear.get(budget):
                self._linear[budget] = [self._point(clips, budget, qp, linear=True) for qp in LINEAR_QPS]
            bits, psnr, near = (np.array(v)[::-1] for v in zip(*self._linear[budget], strict=True))
            for qp in EVAL_QPS:
                bpp, quality, nearness = self._point(clips, budget, qp)
                gain, nearer = (
                    now - float(np.interp(math.log(bpp), np.log(bits), then))
                    for now, then in ((quality, psnr), (nearness, near))
                )
                gains.append(gain + SCORE_SCALE * self.system.perceptual * nearer)
                figures[f"gain_{budget}_qp{qp}"] = round(gain, 3)
                figures[f"psnr_{budget}_qp{qp}"] = round(quality, 3)
                if self.system.judge:
                    figures[f"lpips_gain_{budget}_qp{qp}"] = round(nearer, 3)
        return {"score": round(float(np.mean(gains)), 4), **figures}

    def _point(self, clips: Sequence[Tensor], budget: int, qp: int, linear: bool = False) -> tuple[float, float, float]:
        """Of clips (T, 3, S, S) uint8 at a budget of 32 and a QP: mean bits per pixel, PSNR and LPIPS in dB.

        LPIPS is that of every fourth frame; 0 dB where the training has no perceptual term.
        """
        sizes, errors, nearness = [], [], []
        for clip in clips:
            count = max(1, round(budget * len(clip) / 32)) if budget < 32 else len(clip)
            if linear or count == len(clip):
                kept = uniform_mask(len(clip), count)
            else:
                kept = optimal_selection(self._costs(clip.to(self.device).float()[None] / 255), count)
            values, back = self._code(clip, kept, qp, linear)
            rows = values.permute(0, 2, 3, 1)[:, None].to(torch.int16).cpu().numpy()
            sizes.append(len(encode_latents(rows, self.coding)[0]) * 8 / (clip.numel() / 3))
            made, true = back.clamp(0, 1).float(), clip.to(self.device).float() / 255
            errors.append(float((made - true).square().mean()))
            nearness += [_decibels(judge.to(self.device)(made[::4], true[::4]).mean()) for judge in self.system.judge]
        quality = _decibels(np.mean(errors)) if self.pooled else float(np.mean([_decibels(e) for e in errors]))
        return float(np.mean(sizes)), quality, float(np.mean(nearness or [0.0]))

    def _code(self, clip: Tensor, kept: np.ndarray, qp: int, linear: bool) -> tuple[Tensor, Tensor]:
        """Integers of kept frames (K, 96, h, w) and all frames back, (T, 3, S, S)."""
        model, index = self.model, torch.full((1,), qp, device=self.device)
        step = float(step_of(index))
        slots = Slots.from_mask(kept).to(self.device)
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast != torch.float32):
            frames = (
                clip[i : i + 1].to(self.device).float() / 255 for i in slots.frame_index[: slots.num_kept].tolist()
            )
            z = torch.cat([model.linear.analyse(f) if linear else model.analyse(f, index) for f in frames])
            y = (z.float() / step)[None]
            values = (torch.round(y) if linear else snap(y, self.system.vectors(y))[0])[0]
            filled = model.fill((values * step)[None], slots)
            if linear:
                back = model.linear.synthesise(filled[0])
            else:
                features = model.features(filled, slots, index)
                slot = range(len(slots.frame_index))
                back = torch.cat([model.picture(filled[:, i], features[:, i], index) for i in slot])
        return values, back[torch.argsort(slots.frame_index)]


def _decibels(distance: Tensor | float | np.floating[Any]) -> float:
    """The more, the smaller a distance is."""
    return -10 * math.log10(max(float(distance), 1e-10))


def _from_linear(config: MiniConfig, scenes: Sequence[Scene], fitted: bool) -> Mini:
    """A model that is its linear code: the format's, or one fitted to the scenes if `fitted`; measured on every fourth
    frame of the scenes."""
    model = Mini(config)
    basis, mean, scale = (fit_pca if fitted else format_code)([f for scene in scenes for f in scene.frames[::4]])
    code = {"basis": basis, "mean": mean, "scale": scale}
    model.linear.load_state_dict({name: torch.from_numpy(value) for name, value in code.items()})
    return model


def _qps(value: Any) -> tuple[int, int]:
    """The first and the last quantizer index, both drawn."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(q, int) for q in value):
        first, last = value
        if 0 <= first <= last < 64:
            return first, last
    raise InputError(f"recipe: qps is {value!r}; give the first and the last of 0 to 63")


def _grown(start: Mini, config: MiniConfig) -> Mini:
    """The same function with the blocks that a configuration adds, which start as nothing.

    Raises:
        InputError: the configuration has other widths, or fewer blocks.
    """
    if config == start.config:
        return start
    model = Mini(config)
    try:
        unknown = model.load_state_dict(start.state_dict(), strict=False).unexpected_keys
    except RuntimeError:  # of another shape
        unknown = ["widths"]
    if unknown:
        raise InputError(
            f"recipe: config {config.to_json()} does not hold the model to start from, {start.config.to_json()}: "
            "it can add blocks, at the end of each stage, and nothing else"
        )
    return model
