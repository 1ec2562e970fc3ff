"""Training task of a second, perceptual decoder for the latents of `mini`; the bitstream does not change.

Trunk and picture branch learn from coded clips (`training.data.coded`) with absolute error and LPIPS of kept frames.
LPIPS gets random crops, rotated, mirrored and magnified, so the decoder cannot exploit a position in its grid (Kettunen
et al. 2019, "E-LPIPS", section 4). It gets no error of smooth areas, where it takes faint lines for detail. Equal noise
is added to both of its inputs, which hides patterns that only its network responds to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dfccodec.errors import InputError
from dfccodec.metrics.lpips import Lpips, load_lpips
from dfccodec.models import registry
from dfccodec.models.mini import Mini
from dfccodec.models.mini_layers import PATCH
from dfccodec.models.mini_slots import Slots
from dfccodec.training.data.coded import CodedClip
from dfccodec.training.losses.discriminator import Discriminator
from dfccodec.training.losses.texture_mask import detail_share
from dfccodec.training.recipe import Stage
from dfccodec.training.trainer import LossModule, uniform_noise_like

EVAL_CLIPS = 16

MAX_MAGNIFICATION = 2.0
"""Maximum magnification of pictures for LPIPS."""

DISCRIMINATOR_SIDE = 96
"""Side in pixels of the crops that the discriminator gets."""

DEFAULT_OPTIONS = {"absolute": 2.0, "smooth": 8.0, "perceptual": 1.0, "adversarial": 0.0, "noise": 0.02}
"""Defaults: weights of the mean absolute error, of that error in smooth areas (additional), of LPIPS and of the
adversarial loss; and the standard deviation of the noise on the inputs of LPIPS at QP 32."""


@dataclass(frozen=True)
class TrainingCrop:
    """A crop of one clip for one step.

    Args:
        latents: (1, K, 96, h, w) of the kept frames.
        slots: frame slots of the kept frames.
        loss_mask: (N,) indices of the kept frames that are decoded to pictures.
        truth: (N, 3, 16 h, 16 w) in [0, 1], source pictures.
        qp: quantizer index.
    """

    latents: Tensor
    slots: Slots
    loss_mask: Tensor
    truth: Tensor
    qp: int

    @classmethod
    def from_clip(
        cls, clip: CodedClip, loss_mask: np.ndarray, rows: slice, columns: slice, device: torch.device
    ) -> TrainingCrop:
        """Crop a clip to the tokens `rows` and `columns`; `loss_mask` (N,) selects kept frames to decode."""
        y, x = (slice(PATCH * side.start, PATCH * side.stop) for side in (rows, columns))
        latents = torch.from_numpy(clip.latents[None, :, :, rows, columns]).to(device)
        truth = torch.from_numpy(clip.frames[loss_mask, y, x]).to(device).permute(0, 3, 1, 2).float() / 255
        slots = Slots.from_mask(clip.kept, np.zeros(0, np.int64)).to(device)
        return cls(latents, slots, torch.from_numpy(loss_mask).to(device), truth, clip.qp)


class SharpLoss(LossModule):
    """The decoder and its losses. A call returns the loss of one step.

    Args:
        model: model to train.
        options: see `DEFAULT_OPTIONS`.
        autocast: data type of the networks.
    """

    def __init__(self, model: Mini, options: Mapping[str, float], autocast: torch.dtype) -> None:
        super().__init__()
        self.model, self.options, self.autocast = model, options, autocast
        self.discriminator = Discriminator(DISCRIMINATOR_SIDE) if options["adversarial"] else None
        # A list hides the module from state_dict(): third-party weights do not belong in checkpoints.
        self.lpips = [load_lpips()]

    def forward(self, crops: Sequence[TrainingCrop], seed: int) -> Tensor:
        """Compute the loss of crops; `seed` determines where LPIPS and the discriminator look."""
        rng = np.random.default_rng(seed)
        made, truth = self.decode(crops), torch.cat([crop.truth for crop in crops])
        error, share = made - truth, detail_share(truth)
        rough = truth + share * error
        # Seams of one or two levels hardly change a mean over the picture, but are visible in smooth areas.
        weight = 1 + self.options["smooth"] * (1 - share)
        each = self.options["absolute"] * (weight * error.abs()).mean(dim=(1, 2, 3))
        usual = torch.cat([_error_scale(crop) for crop in crops])
        strength = math.sqrt(12) * self.options["noise"] * usual[:, None, None, None]  # uniform noise has variance 1/12
        noise = strength * uniform_noise_like(truth, seed)
        each = each + self.options["perceptual"] * self.perceptual_distance(
            *random_view(rng, rough + noise, truth + noise)
        )
        extra = truth.new_zeros(())
        if self.discriminator is not None:
            fooled, extra = self._adversarial_losses(crops, rough, truth, rng)
            each = each + self.options["adversarial"] * fooled
        loss = (each / usual).mean()
        self.cost = 10 * loss.detach().log10()
        return loss + extra

    def _adversarial_losses(
        self, crops: Sequence[TrainingCrop], rough: Tensor, truth: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Compute `Discriminator.losses` at one random position of every picture."""
        assert self.discriminator is not None
        linear = self.model.linear.synthesise(torch.cat([crop.latents[0, crop.loss_mask] for crop in crops]))
        y, x = (int(rng.integers(side - DISCRIMINATOR_SIDE + 1)) for side in truth.shape[2:])
        made, real, base = (
            picture[..., y : y + DISCRIMINATOR_SIDE, x : x + DISCRIMINATOR_SIDE] for picture in (rough, truth, linear)
        )
        with self._autocast_context(truth.device):
            return self.discriminator.losses(made, real, base, rng)

    def decode(self, crops: Sequence[TrainingCrop]) -> Tensor:
        """Decode the selected frames of all crops to pictures (N, 3, H, W), not clamped."""
        latents, features, rates = [], [], []
        with self._autocast_context(crops[0].truth.device):
            for crop in crops:
                qp = torch.full((1,), crop.qp, device=crop.truth.device)
                features.append(self.model.features(crop.latents, crop.slots, qp)[0, crop.loss_mask])
                latents.append(crop.latents[0, crop.loss_mask])
                rates.append(qp.expand(len(crop.loss_mask)))
            return self.model.picture(torch.cat(latents), torch.cat(features), torch.cat(rates)).float()

    def perceptual_distance(self, made: Tensor, truth: Tensor) -> Tensor:
        """Return the LPIPS (N,) of pictures (N, 3, H, W)."""
        network = self.lpips[0].to(made.device)
        with torch.no_grad():
            wanted = network.features(truth)
        return network.distance(network.features(made), wanted)

    def _autocast_context(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, self.autocast, enabled=self.autocast != torch.float32)


def _error_scale(crop: TrainingCrop) -> Tensor:
    """Return the typical error at a crop's QP relative to QP 32, (N,). Without it, high QPs would dominate the loss."""
    return torch.full((len(crop.loss_mask),), 2.0 ** ((crop.qp - 32) / 16), device=crop.truth.device)


def random_view(rng: np.random.Generator, *pictures: Tensor) -> list[Tensor]:
    """Crop pictures (N, 3, H, W) at one random position; mirror, transpose and (half of the time) magnify them.

    Returns:
        (N, 3, H - 16, W - 16) of each, or with height and width exchanged.
    """
    scale = rng.uniform(1, MAX_MAGNIFICATION) if rng.random() < 0.5 else 1.0
    whole = pictures[0].shape[2:]
    size = [side - PATCH for side in whole]
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
    """Training task of a second decoder on coded clips; implements `training.trainer.Task`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        train: Sequence[CodedClip],
        held_out: Sequence[CodedClip],
        device: torch.device,
        autocast: torch.dtype,
        start: Mini | None = None,
    ) -> None:
        if unknown := set(options) - set(DEFAULT_OPTIONS):
            raise InputError(
                f"recipe: option {min(unknown)!r} is unknown; known are {', '.join(sorted(DEFAULT_OPTIONS))}"
            )
        for name, value in options.items():
            if not isinstance(value, int | float) or not value >= 0:
                raise InputError(f"recipe: {name} is {value!r}; give a number, 0 or more")
        model = start or registry.load("mini")[0]
        assert isinstance(model, Mini)
        self.loss_module = SharpLoss(model, {**DEFAULT_OPTIONS, **options}, autocast).to(device)
        self.model, self.config_json, self.device = model, model.config_json, device
        self.max_frames = Mini.max_frames
        self.train = train
        self.held_out = _pick_spaced(held_out, EVAL_CLIPS)
        self.networks: dict[str, Lpips] = {"alex": self.loss_module.lpips[0], "vgg": load_lpips(net="vgg").to(device)}

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the arguments of `SharpLoss.forward` for one step."""
        crops = []
        for number in rng.integers(len(self.train), size=stage.batch):
            clip = self.train[number]
            loss_mask = rng.permutation(len(clip.frames))[: stage.loss_kept_frames]
            rows, columns = (_draw_range(rng, side, stage.crop // PATCH) for side in clip.latents.shape[2:])
            crops.append(TrainingCrop.from_clip(clip, loss_mask, rows, columns, self.device))
        return {"crops": crops, "seed": int(rng.integers(1 << 62))}

    @torch.inference_mode()
    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """Measure PSNR and LPIPS in dB on the middle kept frame of each validation clip.

        The score is the mean of LPIPS over AlexNet, which is part of the loss, and over VGG-16, which is not. AlexNet
        alone would always prefer the last step. VGG-16 alone would prefer the faithful decoder, which adds no detail.
        """
        found: dict[str, list[float]] = {"psnr": [], **{name: [] for name in self.networks}}
        for clip in self.held_out:
            rows, columns = (slice(0, side) for side in clip.latents.shape[2:])
            crop = TrainingCrop.from_clip(clip, np.array([len(clip.frames) // 2]), rows, columns, self.device)
            made = (self.loss_module.decode([crop]).clamp(0, 1) * 255).round() / 255
            found["psnr"].append(_to_decibels((made - crop.truth).square().mean()))
            for name, network in self.networks.items():
                found[name].append(_to_decibels(network(made, crop.truth).mean()))
        figures = {name: round(float(np.mean(values)), 4) for name, values in found.items()}
        return {"score": round((figures["alex"] + figures["vgg"]) / 2, 4), **figures}


def _pick_spaced(clips: Sequence[CodedClip], count: int) -> list[CodedClip]:
    """Return `count` clips at uniform spacing, because adjacent clips have the same source."""
    return [clips[i] for i in np.unique(np.linspace(0, len(clips) - 1, count).round().astype(int))]


def _draw_range(rng: np.random.Generator, side: int, wanted: int) -> slice:
    """Draw a random run of `wanted` out of `side` tokens.

    Raises:
        InputError: `wanted` exceeds `side`.
    """
    if side < wanted:
        raise InputError(
            f"coded clips of {PATCH * side} pixels are too small for crops of {PATCH * wanted}: give a smaller crop"
        )
    first = int(rng.integers(side - wanted + 1))
    return slice(first, first + wanted)


def _to_decibels(distance: Tensor) -> float:
    """Convert a distance to dB; a smaller distance gives a higher value."""
    return -10 * math.log10(max(float(distance), 1e-10))
