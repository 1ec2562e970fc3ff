"""`mini`, the embedded default model: a PCA code as a floor, residual convolutions around it, any picture size.

A 16×16 patch (768 numbers) is projected on its 96 principal components; the transpose brings it back. Around
that linear code stand two convolutional branches that start at zero: one corrects the latents before they are
quantized, frame by frame, the other corrects the picture afterwards. Both are told the quantizer index (QP), so one
set of weights serves every rate. The decoder's branch also looks along time: in its first stage every frame of a patch
attends to the kept frames of that patch, which averages quantization noise away where nothing moves and shapes the
frames that were dropped, whose latents enter as the interpolation of their kept neighbours plus the learned fill token.

Frames are encoded independently of one another, so any of them can be dropped later (`dfc trim`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from dfccodec.models.config import JsonConfig
from dfccodec.models.importance import clip_importance
from dfccodec.models.interface import DistortionFn, Encoded, FrameCallback, to_float01
from dfccodec.models.mini_layers import (
    CHANNELS,
    MAX_FRAMES,
    PATCH,
    CallStrategy,
    PCATransform,
    Stage,
    TimeAttention,
    call_checkpointed,
    call_directly,
    channels_last,
    qp_features,
    zero_init,
)

_CHUNK_FRAMES = 8
"""Frames that a block of the trunk works on at once."""

_CHECKPOINT_ABOVE_TOKENS = 1 << 13
"""Tokens of a clip up to which the trunk's insides are held for a gradient, about 100 MB, and not made again for it."""

BASE_STEP = 0.02
"""Quantizer step at QP 0, in units of an orthonormal projection of pixels in [0, 1]."""


@dataclass(frozen=True)
class MiniConfig(JsonConfig):
    """Widths and depths of `mini`; everything else about it is fixed by this module.

    Args:
        width: channels at 1/16 scale.
        width8: channels at 1/8 scale.
        width4: channels at 1/4 scale (decoder only).
        encoder_blocks: residual blocks at (1/8, 1/16).
        decoder_blocks: residual blocks at (1/16, 1/8, 1/4).
        heads: attention heads over time; `width` is a multiple of it.
    """

    family: ClassVar[str] = "mini"

    width: int = 192
    width8: int = 96
    width4: int = 48
    encoder_blocks: tuple[int, ...] = (2, 2)
    decoder_blocks: tuple[int, ...] = (3, 3, 2)
    heads: int = 6

    def __post_init__(self) -> None:
        self.require_sizes("heads")
        self.require(self.width % self.heads == 0, "heads", f"use a divisor of the width, {self.width}")
        for key, count in (("encoder_blocks", 2), ("decoder_blocks", 3)):
            blocks = getattr(self, key)
            fits = len(blocks) == count and all(0 <= n <= 64 for n in blocks)
            self.require(fits, key, f"use {count} numbers from 0 to 64")


class FrameEncoder(nn.Module):
    """The correction of the latents: (B, 3, H, W) -> (B, 96, H/16, W/16) in units of `LinearCode.scale`."""

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 * 64, config.width8, 1)
        self.stage8 = Stage(config.width8, config.encoder_blocks[0])
        self.down = nn.Conv2d(config.width8 * 4, config.width, 1)
        self.stage16 = Stage(config.width, config.encoder_blocks[1])
        self.head = nn.Conv2d(config.width, CHANNELS, 1)
        zero_init(self.head)

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """Frames in [0, 1] and their `qp_features` (B, 4) -> correction."""
        h = self.stem(channels_last(F.pixel_unshuffle((x - 0.5) * 2, 8)))
        h = self.down(channels_last(F.pixel_unshuffle(self.stage8(h, q), 2)))
        out: Tensor = self.head(F.relu(self.stage16(h, q)))
        return out


class Trunk(nn.Module):
    """The decoder at 1/16 scale, where space and time meet: convolutions within a frame, attention along each patch.

    Slots hold the kept frames first, then the dropped ones that are wanted: only kept frames are looked at, so a
    dropped frame comes out the same whichever others are decoded with it.
    """

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(CHANNELS, config.width, 1)
        self.place = nn.Linear(4, config.width, bias=False)
        self.blocks = Stage(config.width, config.decoder_blocks[0]).blocks
        self.time = nn.ModuleList([TimeAttention(config.width, config.heads) for _ in self.blocks])
        zero_init(self.place)

    def forward(
        self,
        z: Tensor,
        frame_index: Tensor,
        position_features: Tensor,
        num_kept: int,
        q: Tensor,
        call: CallStrategy = call_directly,
    ) -> Tensor:
        """Normalised latents (B, S, 96, h, w) of frames `frame_index` (S,) and their `position_features` (S, 4) -> (B,
        S, width, h, w).

        `call`: see `blocks.Step`.
        """
        b, s = z.shape[:2]
        q = q.repeat_interleave(s, dim=0)
        h = self.stem(channels_last(z.flatten(0, 1)))
        h = h + self.place(position_features).to(h.dtype).repeat(b, 1)[:, :, None, None]
        for block, time in zip(self.blocks, self.time, strict=True):
            h = time(h.reshape(b, s, *h.shape[1:]), frame_index, num_kept, call).flatten(0, 1)
            # A few frames at a time where memory counts: what is made on the way is wider than what is kept.
            few = len(h) if torch.is_grad_enabled() and call is call_directly else _CHUNK_FRAMES
            parts = zip(torch.split(h, few), torch.split(q, few), strict=True)
            h = torch.cat([call(block, channels_last(part), rate) for part, rate in parts])
        out: Tensor = h.reshape(b, s, *h.shape[1:])
        return out


class FrameDecoder(nn.Module):
    """The correction of the picture: features at 1/16 and the linear synthesis -> (B, 3, H, W)."""

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.up8 = nn.Conv2d(config.width, config.width8 * 4, 1)
        self.stage8 = Stage(config.width8, config.decoder_blocks[1])
        self.up4 = nn.Conv2d(config.width8, config.width4 * 4, 1)
        self.merge = nn.Conv2d(config.width4 + 48, config.width4, 3, padding=1)
        self.stage4 = Stage(config.width4, config.decoder_blocks[2])
        self.head = nn.Conv2d(config.width4, 48, 3, padding=1)
        zero_init(self.head)

    def forward(self, h: Tensor, linear: Tensor, q: Tensor) -> Tensor:
        """Features (B, width, h, w), linear synthesis (B, 3, 16 h, 16 w), `qp_features` (B, 4) -> its correction."""
        h = channels_last(F.pixel_shuffle(self.up8(h), 2))
        h = F.pixel_shuffle(self.up4(self.stage8(h, q)), 2)
        h = torch.cat([h, F.pixel_unshuffle((linear - 0.5) * 2, 4).to(h.dtype)], dim=1)
        h = self.stage4(self.merge(channels_last(h)), q)
        return F.pixel_shuffle(self.head(F.relu(h)), 4)


@dataclass(frozen=True)
class Slots:
    """Which frames of a clip go into the decoder, kept ones first, and where the others stand between them.

    Args:
        frame_index: (S,) frames of the clip.
        num_kept: how many of them are kept; 0 only where a clip has no kept frame.
        past, future: (S,) slots of the kept neighbours; a kept frame is its own.
        position_features: (S, 4) float32: 1 for a dropped frame, the fraction of the way from past to future, and the
            distances to both in units of 8 frames; all zero for a kept frame.
    """

    frame_index: Tensor
    num_kept: int
    past: Tensor
    future: Tensor
    position_features: Tensor

    @classmethod
    def of(cls, kept: np.ndarray, wanted: np.ndarray | None = None) -> Slots:
        """Slots of a clip whose kept frames are `kept` (T,) bool, with the dropped frames `wanted` (all by default)."""
        index = np.flatnonzero(kept)
        past, future, where = neighbours(kept)
        dropped = np.flatnonzero(~kept)
        chosen = np.arange(len(dropped)) if wanted is None else np.searchsorted(dropped, wanted)
        own = np.arange(len(index))
        place = np.zeros((len(index) + len(chosen), 4), np.float32)
        place[len(index) :, 0] = 1
        place[len(index) :, 1:] = where[chosen]
        sides = (np.searchsorted(index, side[chosen]) for side in (past, future))
        before, after = (torch.from_numpy(np.concatenate([own, side])) for side in sides)
        at = torch.from_numpy(np.concatenate([index, dropped[chosen]]))
        return cls(at, len(index), before, after, torch.from_numpy(place))

    @property
    def kept(self) -> Slots:
        """Those of the kept frames alone."""
        at, past, future, place = (
            x[: self.num_kept] for x in (self.frame_index, self.past, self.future, self.position_features)
        )
        return Slots(at, self.num_kept, past, future, place)

    def to(self, device: torch.device) -> Slots:
        """The same on a device."""
        at, past, future, place = (
            x.to(device) for x in (self.frame_index, self.past, self.future, self.position_features)
        )
        return Slots(at, self.num_kept, past, future, place)


def neighbours(kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each dropped frame of a clip: which kept frames stand on either side, and where between them it is.

    Args:
        kept: (T,) bool; without a True, everything stands at frame 0.

    Returns:
        past, future: (D,) positions of the nearest kept frames; at an end of the clip both name the only side.
        where: (D, 3) float32: fraction of the way from past to future, distance to past / 8, distance to future / 8.
    """
    index = np.flatnonzero(kept) if kept.any() else np.zeros(1, np.int64)
    dropped = np.flatnonzero(~kept)
    right = np.searchsorted(index, dropped)
    past = index[np.clip(right - 1, 0, None)]
    future = index[np.clip(right, None, len(index) - 1)]
    past = np.minimum(past, future)  # before the first kept frame both are the first
    span = np.maximum(future - past, 1)
    fraction = np.clip((dropped - past) / span, 0.0, 1.0) * (future != past)
    where = np.stack([fraction, np.abs(dropped - past) / 8, np.abs(future - dropped) / 8], axis=1)
    return past, future, where.astype(np.float32)


class Mini(nn.Module):
    """The network behind `--model mini`; satisfies :class:`dfccodec.models.interface.LatentModel`."""

    channels = CHANNELS
    patch = PATCH
    tile = 0
    max_frames = MAX_FRAMES
    synthesis_gain = 1.0
    """The linear code is orthonormal, and the branches around it are small."""

    def __init__(self, config: MiniConfig | None = None) -> None:
        super().__init__()
        self.config = config or MiniConfig()
        self.linear = PCATransform()
        self.encoder = FrameEncoder(self.config)
        self.trunk = Trunk(self.config)
        self.decoder = FrameDecoder(self.config)
        self.token = nn.Parameter(torch.zeros(CHANNELS))  # in units of linear.scale

    @property
    def config_json(self) -> str:
        """See `contract.LatentModel`."""
        return self.config.to_json()

    @property
    def steps(self) -> np.ndarray | None:
        """(96,) float32 quantizer steps at QP 0."""
        return np.full(CHANNELS, BASE_STEP, dtype=np.float32)

    @property
    def linear_transform(self) -> np.ndarray | None:
        """See `contract.LatentModel`."""
        code: np.ndarray = self.linear.basis.detach().float().cpu().numpy()
        return code

    @property
    def fill_token(self) -> Tensor:
        """(96,) the learned fill token, in latent units."""
        return self.token.detach() * self.linear.scale.detach()

    def analyse(self, x: Tensor, qp: Tensor) -> Tensor:
        """Frames (B, 3, H, W) in [0, 1] at QP (B,) -> latents (B, 96, H/16, W/16), not yet quantized."""
        return self.linear.analyse(x) + self._correction(x, qp)

    def _correction(self, x: Tensor, qp: Tensor) -> Tensor:
        out: Tensor = self.encoder(x, qp_features(qp)).float() * self.linear.scale[:, None, None]
        return out

    def fill(self, z: Tensor, slots: Slots) -> Tensor:
        """Kept latents (B, K, 96, h, w) -> latents of all slots (B, S, 96, h, w): dropped ones are interpolated.

        Without a kept frame every slot is the mean patch: latents of zero.
        """
        if slots.num_kept == 0:
            return z.new_zeros(z.shape[0], len(slots.frame_index), *z.shape[2:])
        fraction = slots.position_features[:, 1, None, None, None]
        return torch.lerp(z[:, slots.past], z[:, slots.future], fraction)

    def features(self, filled: Tensor, slots: Slots, qp: Tensor, call: CallStrategy = call_directly) -> Tensor:
        """Latents of all slots (B, S, 96, h, w) at QP (B,) -> features (B, S, width, h, w); `call`: see `Step`."""
        token = self.token[:, None, None] * slots.position_features[:, 0, None, None, None]
        normal = filled / self.linear.scale[:, None, None] + token
        out: Tensor = self.trunk(
            normal, slots.frame_index, slots.position_features, slots.num_kept, qp_features(qp), call
        )
        return out

    def picture(self, filled: Tensor, features: Tensor, qp: Tensor) -> Tensor:
        """Latents (B, 96, h, w) and features (B, width, h, w) at QP (B,) -> frames (B, 3, 16h, 16w), not clamped."""
        x = self.linear.synthesise(filled)
        out: Tensor = x + self.decoder(features, x, qp_features(qp)).float()
        return out

    @torch.inference_mode()
    def encode(self, video: Tensor, qp: int, valid: Tensor | None = None, keep: int | None = None) -> Encoded:
        """Video (B, T, H, W, 3), H and W multiples of 16 -> latents (B, T, N, 96) and importance (B, T).

        Pixels are uint8 0…255 or floats 0…1; bytes become floats one frame at a time.
        `valid` is accepted for the contract and not needed: frames are analysed one by one. The `keep` most important
        frames are the best choice of that size (see `models.importance`); importance is that of the linear code, so
        the network runs on those frames alone.
        """
        index = torch.full((1,), qp, device=video.device)
        step = BASE_STEP * 2.0 ** (qp / 8)
        latents, scores = [], []
        for clip in rearrange(video, "b t h w c -> b t c h w"):
            # One frame at a time: convolutions on two cores gain nothing from batches, and memory stays flat.
            z = torch.empty(len(clip), CHANNELS, clip.shape[2] // PATCH, clip.shape[3] // PATCH, device=clip.device)
            for frame, pixels in enumerate(clip):
                z[frame] = self.linear.analyse(to_float01(pixels)[None])[0]
            score = clip_importance(z.flatten(1).cpu().numpy(), step, keep)
            for frame in np.argsort(-score, kind="stable")[:keep].tolist():
                z[frame] += self._correction(to_float01(clip[frame])[None], index)[0]
            latents.append(rearrange(z, "t c h w -> t (h w) c"))
            scores.append(torch.from_numpy(score))
        return Encoded(torch.stack(latents), torch.stack(scores).to(video.device))

    def decode(self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int) -> Tensor:
        """Latents (B, T, N, 96), anything where `kept` (B, T) is False -> video (B, T, H, W, 3), not clamped."""
        rows, columns = height // PATCH, width // PATCH
        z = rearrange(latents, "b t (h w) c -> b t c h w", h=rows, w=columns)
        index = torch.full((1,), qp, device=z.device)
        every = np.ones(z.shape[1], bool)
        clips = []
        for clip, mask in zip(z, kept.cpu().numpy(), strict=True):
            made = dict(self._pictures(clip, mask, every, index))
            # Stacked, not written into one tensor: gradients would go through a copy of it for every frame.
            clips.append(torch.stack([made[frame] for frame in range(len(every))]))
        return torch.stack(clips)

    def decode_frames(
        self,
        latents: Tensor,
        kept: Tensor,
        height: int,
        width: int,
        qp: int,
        on_frame: FrameCallback,
        wanted: Tensor | None = None,
    ) -> None:
        """See `contract.LatentModel.decode_each`."""
        rows, columns = height // PATCH, width // PATCH
        z = rearrange(latents, "t (h w) c -> t c h w", h=rows, w=columns)
        mask = kept.cpu().numpy()
        index = torch.full((1,), qp, device=z.device)
        asked = np.ones(len(mask), bool) if wanted is None else wanted.cpu().numpy()
        for frame, picture in self._pictures(z, mask, asked, index):
            on_frame(frame, picture)

    def gradient(
        self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int, distortion: DistortionFn
    ) -> Tensor:
        """See `contract.LatentModel.gradient`. Frames are gone through one by one, so that one's insides are held."""
        z = rearrange(latents.detach(), "t (h w) c -> t c h w", h=height // PATCH, w=width // PATCH).requires_grad_()
        index = torch.full((1,), qp, device=z.device)
        slots = Slots.of(kept.cpu().numpy(), np.zeros(0, np.int64)).to(z.device)
        with torch.enable_grad():
            filled = self.fill(z[None, slots.frame_index], slots)
            small = filled[0, :, 0].numel() <= _CHECKPOINT_ABOVE_TOKENS
            features = self.features(filled, slots, index, call_directly if small else call_checkpointed)
            ends = [part for whole in (filled, features) for part in whole.unbind(1)]
            leaves = [end.detach().requires_grad_() for end in ends]
            for slot, frame in enumerate(slots.frame_index.tolist()):
                picture = self.picture(leaves[slot], leaves[slots.num_kept + slot], index)
                torch.autograd.backward(distortion(frame, rearrange(picture[0], "c h w -> h w c")))
            torch.autograd.backward(ends, [leaf.grad for leaf in leaves])
        assert z.grad is not None
        return rearrange(z.grad, "t c h w -> t (h w) c")

    def _pictures(
        self, clip: Tensor, kept: np.ndarray, asked: np.ndarray, qp: Tensor
    ) -> Iterator[tuple[int, Tensor]]:  # fmt: skip
        """Latents of a clip (T, 96, h, w) at QP (1,) -> number and picture (16h, 16w, 3) of frames `asked` (T,)."""
        slots = Slots.of(kept, np.flatnonzero(asked & ~kept)).to(clip.device)
        filled = self.fill(clip[None, slots.frame_index[: slots.num_kept]], slots)
        features = self.features(filled, slots, qp, call_checkpointed)
        for slot, frame in enumerate(slots.frame_index.tolist()):
            if asked[frame]:
                picture = call_checkpointed(self.picture, filled[:, slot], features[:, slot], qp)
                yield frame, rearrange(picture[0], "c h w -> h w c")
