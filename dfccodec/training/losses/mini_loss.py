"""Loss of `mini` for all quantizer indices and all masks of kept frames.

It has two terms: error + λ(QP)·bits of kept frames, and the error of dropped frames. Each term is divided by its
running mean at that QP, so that no QP and no kind of frame dominates. Two more terms are optional: LPIPS of textured
areas, and consistency along the motion.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from dfccodec.codec.clip import refine
from dfccodec.container.records import Coding
from dfccodec.entropy.latent_coding import default_coding
from dfccodec.metrics.lpips import load_lpips
from dfccodec.models.mini import BASE_STEP, Mini
from dfccodec.models.mini_slots import Slots
from dfccodec.training.losses.flow_consistency import flow_inconsistency
from dfccodec.training.losses.quantization import estimate_latent_motion, predict, quantize_with_prediction
from dfccodec.training.losses.rate_model import ContextRateModel
from dfccodec.training.losses.texture_mask import split_error
from dfccodec.training.trainer import LossModule, uniform_noise_like


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
        consistency: weight, relative to that cost, of the change of the decoded pictures along the motion.
        inter: whether to use inter coding for kept frames, if the model supports it.
    """

    def __init__(
        self, model: Mini, dropped_weight: float, autocast: torch.dtype, perceptual: float = 0.0,
        consistency: float = 0.0, inter: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.model, self.inter = model, inter and default_coding(model) == Coding.INTER
        self.rate = ContextRateModel(model.linear.scale.detach(), BASE_STEP)
        self.dropped_weight, self.autocast, self.perceptual = dropped_weight, autocast, perceptual
        # Of each optional term: LPIPS of textured areas, error of smooth areas, inconsistency.
        self.weights = [perceptual, perceptual] * (perceptual > 0) + [consistency] * (consistency > 0)
        self.consistency = consistency
        # A list hides the module from state_dict(): third-party weights do not belong in checkpoints.
        self.lpips = [load_lpips()] if perceptual else []
        self.register_buffer("mean", torch.zeros(2 + len(self.weights), 64))

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
        error, terms, bits, is_kept = self.measure(clips, qp, kept, loss_mask, seed, refine_steps)
        kept_cost = error[:, is_kept].mean(dim=1) + high_rate_lambda(qp) * bits.mean(dim=1)
        # The loss is about one by construction. The log has the objective in units of step².
        self.cost = (kept_cost.detach() / quantizer_step(qp) ** 2).log10().mean() * 10
        total = (kept_cost / self._running_mean(0, qp, kept_cost)).mean()
        if not is_kept.all():
            filled = error[:, ~is_kept].mean(dim=1)
            total = total + self.dropped_weight * (filled / self._running_mean(1, qp, filled)).mean()
        for kind, (weight, term) in enumerate(zip(self.weights, terms, strict=True), start=2):
            total = total + weight * (term / self._running_mean(kind, qp, term)).mean()
        return total

    def measure(
        self, clips: Tensor, qp: Tensor, kept: np.ndarray, loss_mask: np.ndarray, seed: int, refine_steps: int = 0
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """Decode a batch and measure error and bits. Arguments as for :meth:`forward`.

        N frames are in `loss_mask`, K frames are kept.

        Returns:
            squared error per patch (B, N); the optional terms, each (B,): mean LPIPS of textured areas and mean squared
            error of smooth areas, inconsistency; bits per patch of kept frames (B, K); and which of the N frames are
            kept (N,).
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
        terms = []
        # LPIPS first samples every fourth pixel, and the decoder outputs blocks of 4×4. If both were always aligned,
        # the decoder would learn a pattern in smooth areas that LPIPS takes for texture. A random offset prevents it.
        down, right = seed % 4, seed // 4 % 4
        for network in self.lpips:
            textured, smooth = split_error(pictures.float(), truth)
            near = network.to(clips.device)(*(part[..., down:, right:] for part in (textured, truth)))
            terms = [term.reshape(b, -1).mean(dim=1) for term in (near, smooth)]
        if self.consistency:
            numbers = slots.frame_index[mask]
            made, true = (x.reshape(b, -1, *x.shape[1:])[:, numbers.argsort()] for x in (pictures.float(), truth))
            terms.append(flow_inconsistency(made, true, numbers.sort().values))
        is_kept = torch.arange(len(slots.frame_index), device=clips.device)[mask] < slots.num_kept
        return error, terms, bits.sum(dim=(2, 3, 4)) / patches, is_kept

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
