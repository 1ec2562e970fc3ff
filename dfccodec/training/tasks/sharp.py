"""Training task of a look (`models.look`): a filter of decoded pictures that makes them look sharp.

It learns from decoded clips (`training.data.decoded`) with absolute error and LPIPS. LPIPS gets random crops, rotated,
mirrored and magnified, so the network cannot exploit a position in its grid (Kettunen et al. 2019, "E-LPIPS", section
4). It gets little error of smooth areas, where it takes faint lines for detail. Equal noise is added to both of its
inputs, which hides patterns that only its network responds to. Pictures come in pairs of consecutive frames: what the
look adds must change as the source does, or it flickers.
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
from dfccodec.metrics.lpips import Lpips, load_lpips
from dfccodec.models.look import Look, LookConfig
from dfccodec.training.data.decoded import DecodedClip
from dfccodec.training.losses.discriminator import DISCRIMINATOR_SIDE, Discriminator
from dfccodec.training.losses.texture_mask import detail_share
from dfccodec.training.recipe import Stage
from dfccodec.training.trainer import LossModule, uniform_noise_like

EVAL_CLIPS = 20

MARGIN = 16
"""Pixels by which crops for LPIPS are smaller than those of the look; the position is random."""

MAX_MAGNIFICATION = 2.0
"""Maximum magnification of pictures for LPIPS."""

DEFAULT_OPTIONS = {
    "absolute": 1.5, "smooth": 2.0, "alex": 1.0, "vgg": 0.0, "flicker": 1.0, "adversarial": 0.0, "noise": 0.02,
}  # fmt: skip
"""Defaults: weights of the mean absolute error, of that error in smooth areas (additional), of LPIPS over AlexNet and
over VGG-16, of the mean absolute error of differences between consecutive pictures, and of the adversarial loss; and
the standard deviation of the noise on the inputs of LPIPS at QP 32."""

BACKBONES = ("alex", "vgg")


class SharpLoss(LossModule):
    """A look and its losses. A call returns the loss of one step."""

    def __init__(self, model: Look, options: Mapping[str, float], autocast: torch.dtype) -> None:
        super().__init__()
        self.model, self.options, self.autocast = model, options, autocast
        self.discriminator = Discriminator(DISCRIMINATOR_SIDE) if options["adversarial"] else None
        # A dictionary hides the modules from state_dict(): third-party weights do not belong in checkpoints.
        self.lpips = {net: load_lpips(net=net) for net in BACKBONES if options[net]}

    def forward(self, decoded: Tensor, truth: Tensor, qp: Tensor, seed: int) -> Tensor:
        """Compute the loss.

        Args:
            decoded, truth: (N, 2, 3, H, W) in [0, 1], pairs of consecutive pictures.
            qp: (N,) quantizer index.
            seed: determines where LPIPS and the discriminator look.
        """
        rng = np.random.default_rng(seed)
        pairs = truth.shape[:2]
        qp = qp.repeat_interleave(2)
        given, wanted = decoded.flatten(0, 1), truth.flatten(0, 1)
        made = self.show(given, qp)
        error, share = made - wanted, detail_share(wanted)
        # Seams of one or two levels hardly change a mean over the picture, but are visible in smooth areas.
        weight = 1 + self.options["smooth"] * (1 - share)
        each = self.options["absolute"] * (weight * error.abs()).mean(dim=(1, 2, 3))
        usual = error_scale(qp)
        rough = wanted + share * error
        strength = math.sqrt(12) * self.options["noise"] * usual[:, None, None, None]  # uniform noise has variance 1/12
        noise = strength * uniform_noise_like(wanted, seed)
        views = random_view(rng, rough + noise, wanted + noise)
        for net in self.lpips:
            each = each + self.options[net] * self.perceptual_distance(net, *views)
        changes = error.reshape(*pairs, *error.shape[1:])
        flicker = (changes[:, 1] - changes[:, 0]).abs().mean(dim=(1, 2, 3)).repeat_interleave(2)
        each = each + self.options["flicker"] * flicker
        extra = wanted.new_zeros(())
        if self.discriminator is not None:
            with self.precision(wanted.device):
                fooled, extra = self.discriminator.losses(rough, wanted, given, rng)
            each = each + self.options["adversarial"] * fooled
        loss = (each / usual).mean()
        self.cost = 10 * loss.detach().log10()
        return loss + extra

    def show(self, decoded: Tensor, qp: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) with the look, not clamped."""
        with self.precision(decoded.device):
            residual: Tensor = self.model(decoded, qp)
        return decoded + residual

    def perceptual_distance(self, net: str, made: Tensor, truth: Tensor) -> Tensor:
        """Return the LPIPS (N,) of pictures (N, 3, H, W)."""
        network = self.lpips[net].to(made.device)
        with self.precision(made.device):
            with torch.no_grad():
                wanted = network.features(truth)
            distance: Tensor = network.distance(network.features(made), wanted).float()
            return distance

    def precision(self, device: torch.device) -> torch.autocast:
        """Context in which the networks run in the precision of the run."""
        return torch.autocast(device.type, self.autocast, enabled=self.autocast != torch.float32)


def error_scale(qp: Tensor) -> Tensor:
    """Return the typical error at a QP (N,) relative to QP 32. Without it, high QPs would dominate the loss."""
    scale: Tensor = 2.0 ** ((qp.float() - 32) / 16)
    return scale


def random_view(rng: np.random.Generator, *pictures: Tensor) -> list[Tensor]:
    """Crop pictures (N, 3, H, W) at one random position; mirror, transpose and (half of the time) magnify them.

    Returns:
        (N, 3, H - 16, W - 16) of each, or with height and width exchanged.
    """
    scale = rng.uniform(1, MAX_MAGNIFICATION) if rng.random() < 0.5 else 1.0
    whole = pictures[0].shape[2:]
    size = [side - MARGIN for side in whole]
    small = [round(side / scale) for side in size]
    down, right = (int(rng.integers(a - b + 1)) for a, b in zip(whole, small, strict=True))
    axes = [axis for axis in (2, 3) if rng.random() < 0.5]
    across = rng.random() < 0.5
    out = []
    for picture in pictures:
        picture = picture[..., down : down + small[0], right : right + small[1]].flip(axes)
        if scale > 1:
            picture = F.interpolate(picture, size, mode="bilinear")
        out.append(picture.transpose(2, 3) if across else picture)
    return out


class SharpTask:
    """Training task of a look on decoded clips; implements `training.trainer.Task`."""

    max_frames = 2

    def __init__(
        self,
        options: Mapping[str, Any],
        train: Sequence[DecodedClip],
        held_out: Sequence[DecodedClip],
        device: torch.device,
        autocast: torch.dtype,
        start: Look | None = None,
    ) -> None:
        if unknown := set(options) - set(DEFAULT_OPTIONS):
            raise InputError(
                f"recipe: option {min(unknown)!r} is unknown; known are {', '.join(sorted(DEFAULT_OPTIONS))}"
            )
        for name, value in options.items():
            if not isinstance(value, int | float) or not value >= 0:
                raise InputError(f"recipe: {name} is {value!r}; give a number, 0 or more")
        model = start or Look(LookConfig())
        self.loss_module = SharpLoss(model, {**DEFAULT_OPTIONS, **options}, autocast).to(device)
        self.model, self.config_json, self.device = model, model.config_json, device
        self.train = train
        self.held_out = _pick_spaced(held_out, EVAL_CLIPS)
        self.networks: dict[str, Lpips] = {
            net: (self.loss_module.lpips.get(net) or load_lpips(net=net)).to(device) for net in BACKBONES
        }

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the arguments of `SharpLoss.forward` for one step."""
        decoded, truth, qp = [], [], []
        for number in rng.integers(len(self.train), size=stage.batch):
            clip = self.train[number]
            pair = int(rng.integers(len(clip.frames)))
            y, x = (slice(*_draw_range(rng, side, stage.crop)) for side in clip.frames.shape[2:4])
            decoded.append(clip.decoded[pair, :, y, x])
            truth.append(clip.frames[pair, :, y, x])
            qp.append(clip.qp)
        return {
            "decoded": self._to_pictures(np.stack(decoded)),
            "truth": self._to_pictures(np.stack(truth)),
            "qp": torch.tensor(qp, device=self.device),
            "seed": int(rng.integers(1 << 62)),
        }

    def _to_pictures(self, frames: np.ndarray) -> Tensor:
        """(..., H, W, 3) uint8 -> (..., 3, H, W) in [0, 1]."""
        return torch.from_numpy(frames).to(self.device).movedim(-1, -3).float() / 255

    @torch.inference_mode()
    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """Measure PSNR, LPIPS and flicker on one pair of each validation clip, relative to the decoded pictures.

        Flicker is LPIPS (AlexNet) between differences of consecutive pictures, halved and shifted to mid-grey. LPIPS
        and flicker are mean logarithms of ratios, in per cent. The score counts LPIPS with both networks, of which the
        recipe trains on one only, and flicker above that of the decoded pictures.
        """
        found: dict[str, list[float]] = {"psnr": [], "flicker": [], **{name: [] for name in self.networks}}
        for clip in self.held_out:
            given, truth = (self._to_pictures(video[0]) for video in (clip.decoded, clip.frames))
            qp = torch.full((2,), clip.qp, device=self.device)
            made = (self.loss_module.show(given, qp).clamp(0, 1) * 255).round() / 255
            found["psnr"].append(_to_decibels(_mse(made, truth)) - _to_decibels(_mse(given, truth)))
            for name, network in self.networks.items():
                found[name].append(_log_ratio(network(made, truth), network(given, truth)))
            change = [0.5 + (video[1:] - video[:1]) / 2 for video in (made, given, truth)]
            alex = self.networks["alex"]
            found["flicker"].append(_log_ratio(alex(change[0], change[2]), alex(change[1], change[2])))
        figures = {name: round(float(np.mean(values)), 3) for name, values in found.items()}
        score = -(figures["alex"] + figures["vgg"]) / 2 - max(0.0, figures["flicker"])
        return {"score": round(score, 3), **figures}


def _pick_spaced(clips: Sequence[DecodedClip], count: int) -> list[DecodedClip]:
    """Return `count` clips at uniform spacing, because adjacent clips have the same source."""
    return [clips[i] for i in np.unique(np.linspace(0, len(clips) - 1, count).round().astype(int))]


def _draw_range(rng: np.random.Generator, side: int, wanted: int) -> tuple[int, int]:
    """Draw a random run of `wanted` out of `side` pixels.

    Raises:
        InputError: `wanted` exceeds `side`.
    """
    if side < wanted:
        raise InputError(f"decoded clips of {side} pixels are too small for crops of {wanted}: give a smaller crop")
    first = int(rng.integers(side - wanted + 1))
    return first, first + wanted


def _mse(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean()


def _to_decibels(distance: Tensor) -> float:
    """Convert a distance to dB; a smaller distance gives a higher value."""
    return -10 * math.log10(max(float(distance), 1e-10))


def _log_ratio(a: Tensor, b: Tensor) -> float:
    """100 · ln of the ratio of mean distances: about the change in per cent."""
    return 100 * math.log(max(float(a.mean()), 1e-6) / max(float(b.mean()), 1e-6))
