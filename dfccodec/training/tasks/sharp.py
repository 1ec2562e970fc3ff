"""A second decoder for the latents of `mini`, for the eye: nothing of the bitstream changes.

Trunk and picture branch learn from files (`training.coded`): absolute error and LPIPS of kept frames. LPIPS sees crops
that begin anywhere, turned, mirrored and magnified: a decoder that pleases one position of its grid alone gains nothing
(Kettunen et al. 2019, "E-LPIPS", section 4). It sees no error of what is smooth, where it takes faint lines for detail,
and the rest under noise, the same on both pictures, which drowns patterns that only its network has a taste for.
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
from dfccodec.models.mini import Mini, Slots
from dfccodec.models.mini_layers import PATCH
from dfccodec.training.data.coded import CodedClip
from dfccodec.training.losses.discriminator import Discriminator
from dfccodec.training.losses.texture_mask import detail
from dfccodec.training.recipe import Stage
from dfccodec.training.trainer import LossModule, noise_like

JUDGED_CLIPS = 16

MAGNIFIED = 2.0
"""How much pictures are magnified for LPIPS at the most."""

SEEN = 96
"""Pixels a side that the discriminator sees of a picture."""

OPTIONS = {"absolute": 2.0, "smooth": 8.0, "perceptual": 1.0, "adversarial": 0.0, "noise": 0.02}
"""Where a recipe has none: weights of mean absolute error, of the error of what is smooth beside that, of LPIPS and
of what the discriminator says; the standard deviation at QP 32 of the noise under which LPIPS sees pictures."""


@dataclass(frozen=True)
class Part:
    """A crop of one clip for one step.

    Args:
        latents: (1, K, 96, h, w) of its kept frames.
        slots: of these frames.
        loss_mask: (N,) which of them are decoded to pictures.
        truth: (N, 3, 16 h, 16 w) in [0, 1].
        qp: quantizer index.
    """

    latents: Tensor
    slots: Slots
    loss_mask: Tensor
    truth: Tensor
    qp: int

    @classmethod
    def of(cls, clip: CodedClip, loss_mask: np.ndarray, rows: slice, columns: slice, device: torch.device) -> Part:
        """The tokens `rows` and `columns` of a clip, with frames `loss_mask` (N,) of its kept ones."""
        y, x = (slice(PATCH * side.start, PATCH * side.stop) for side in (rows, columns))
        latents = torch.from_numpy(clip.latents[None, :, :, rows, columns]).to(device)
        truth = torch.from_numpy(clip.frames[loss_mask, y, x]).to(device).permute(0, 3, 1, 2).float() / 255
        slots = Slots.from_mask(clip.kept, np.zeros(0, np.int64)).to(device)
        return cls(latents, slots, torch.from_numpy(loss_mask).to(device), truth, clip.qp)


class SharpSystem(LossModule):
    """The decoder and its judge; a call is one step's loss.

    Args:
        model: to train.
        options: see `OPTIONS`.
        autocast: number format of the networks.
    """

    def __init__(self, model: Mini, options: Mapping[str, float], autocast: torch.dtype) -> None:
        super().__init__()
        self.model, self.options, self.autocast = model, options, autocast
        self.discriminator = Discriminator(SEEN) if options["adversarial"] else None
        # In a list, which hides it from state_dict(): these weights are not ours to store in checkpoints.
        self.judge = [load_lpips()]

    def forward(self, parts: Sequence[Part], seed: int) -> Tensor:
        """Loss of parts; `seed` says where LPIPS and the discriminator look."""
        rng = np.random.default_rng(seed)
        made, truth = self.pictures(parts), torch.cat([part.truth for part in parts])
        error, share = made - truth, detail(truth)
        rough = truth + share * error
        # Seams of a level or two, which a mean over the picture hardly notices, show in what is smooth.
        weight = 1 + self.options["smooth"] * (1 - share)
        each = self.options["absolute"] * (weight * error.abs()).mean(dim=(1, 2, 3))
        usual = torch.cat([_usual(part) for part in parts])
        strength = math.sqrt(12) * self.options["noise"] * usual[:, None, None, None]  # noise has variance 1/12
        noise = strength * noise_like(truth, seed)
        each = each + self.options["perceptual"] * self.near(*view(rng, rough + noise, truth + noise))
        extra = truth.new_zeros(())
        if self.discriminator is not None:
            fooled, extra = self._doubt(parts, rough, truth, rng)
            each = each + self.options["adversarial"] * fooled
        loss = (each / usual).mean()
        self.cost = 10 * loss.detach().log10()
        return loss + extra

    def _doubt(
        self, parts: Sequence[Part], rough: Tensor, truth: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """The losses of `Discriminator.losses` at one place of every picture."""
        assert self.discriminator is not None
        linear = self.model.linear.synthesise(torch.cat([part.latents[0, part.loss_mask] for part in parts]))
        y, x = (int(rng.integers(side - SEEN + 1)) for side in truth.shape[2:])
        made, real, base = (picture[..., y : y + SEEN, x : x + SEEN] for picture in (rough, truth, linear))
        with self._precision(truth.device):
            return self.discriminator.losses(made, real, base, rng)

    def pictures(self, parts: Sequence[Part]) -> Tensor:
        """Shown frames of all parts (N, 3, H, W), not clamped."""
        latents, features, rates = [], [], []
        with self._precision(parts[0].truth.device):
            for part in parts:
                qp = torch.full((1,), part.qp, device=part.truth.device)
                features.append(self.model.features(part.latents, part.slots, qp)[0, part.loss_mask])
                latents.append(part.latents[0, part.loss_mask])
                rates.append(qp.expand(len(part.loss_mask)))
            return self.model.picture(torch.cat(latents), torch.cat(features), torch.cat(rates)).float()

    def near(self, made: Tensor, truth: Tensor) -> Tensor:
        """LPIPS of pictures (N, 3, H, W): (N,)."""
        judge = self.judge[0].to(made.device)
        with torch.no_grad():
            wanted = judge.features(truth)
        return judge.distance(judge.features(made), wanted)

    def _precision(self, device: torch.device) -> torch.autocast:
        return torch.autocast(device.type, self.autocast, enabled=self.autocast != torch.float32)


def _usual(part: Part) -> Tensor:
    """How large errors are at a part's QP, about, beside those at QP 32: (N,); else coarse quantizers decide alone."""
    return torch.full((len(part.loss_mask),), 2.0 ** ((part.qp - 32) / 16), device=part.truth.device)


def view(rng: np.random.Generator, *pictures: Tensor) -> list[Tensor]:
    """The same place of pictures (N, 3, H, W): begun anywhere, magnified half of the time, mirrored and turned.

    Returns:
        (N, 3, H - 16, W - 16) of each, or with sides exchanged.
    """
    scale = rng.uniform(1, MAGNIFIED) if rng.random() < 0.5 else 1.0
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
    """A second decoder on coded footage; satisfies `training.loop.Task`."""

    def __init__(
        self,
        options: Mapping[str, Any],
        train: Sequence[CodedClip],
        held_out: Sequence[CodedClip],
        device: torch.device,
        autocast: torch.dtype,
        start: Mini | None = None,
    ) -> None:
        if unknown := set(options) - set(OPTIONS):
            raise InputError(f"recipe: option {min(unknown)!r} is unknown; known are {', '.join(sorted(OPTIONS))}")
        for name, value in options.items():
            if not isinstance(value, int | float) or not value >= 0:
                raise InputError(f"recipe: {name} is {value!r}; give a number, 0 or more")
        model = start or registry.load("mini")[0]
        assert isinstance(model, Mini)
        self.system = SharpSystem(model, {**OPTIONS, **options}, autocast).to(device)
        self.model, self.config_json, self.device = model, model.config_json, device
        self.max_frames = Mini.max_frames
        self.train = train
        self.held_out = _spread(held_out, JUDGED_CLIPS)
        self.judges: dict[str, Lpips] = {"alex": self.system.judge[0], "vgg": load_lpips(net="vgg").to(device)}

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Arguments of `SharpSystem.forward` for one step."""
        parts = []
        for number in rng.integers(len(self.train), size=stage.batch):
            clip = self.train[number]
            shown = rng.permutation(len(clip.frames))[: stage.loss_kept_frames]
            rows, columns = (_range(rng, side, stage.crop // PATCH) for side in clip.latents.shape[2:])
            parts.append(Part.of(clip, shown, rows, columns, self.device))
        return {"parts": parts, "seed": int(rng.integers(1 << 62))}

    @torch.inference_mode()
    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """PSNR and LPIPS in dB, of the middle kept frame of each held-out clip.

        The score is the mean of LPIPS over AlexNet, which is trained on, and over VGG-16, which is not: by the first
        alone the last step would win, by the second alone the faithful decoder, which adds nothing it does not know.
        """
        found: dict[str, list[float]] = {"psnr": [], **{name: [] for name in self.judges}}
        for clip in self.held_out:
            rows, columns = (slice(0, side) for side in clip.latents.shape[2:])
            part = Part.of(clip, np.array([len(clip.frames) // 2]), rows, columns, self.device)
            made = (self.system.pictures([part]).clamp(0, 1) * 255).round() / 255
            found["psnr"].append(_decibels((made - part.truth).square().mean()))
            for name, judge in self.judges.items():
                found[name].append(_decibels(judge(made, part.truth).mean()))
        figures = {name: round(float(np.mean(values)), 4) for name, values in found.items()}
        return {"score": round((figures["alex"] + figures["vgg"]) / 2, 4), **figures}


def _spread(clips: Sequence[CodedClip], count: int) -> list[CodedClip]:
    """So many clips, at even distances: neighbours are of one source."""
    return [clips[i] for i in np.unique(np.linspace(0, len(clips) - 1, count).round().astype(int))]


def _range(rng: np.random.Generator, side: int, wanted: int) -> slice:
    """A run of `wanted` tokens of `side`.

    Raises:
        InputError: there are fewer.
    """
    if side < wanted:
        raise InputError(f"coded footage of {PATCH * side} pixels is too small for crops of {PATCH * wanted}")
    first = int(rng.integers(side - wanted + 1))
    return slice(first, first + wanted)


def _decibels(distance: Tensor) -> float:
    """The more, the smaller a distance is."""
    return -10 * math.log10(max(float(distance), 1e-10))
