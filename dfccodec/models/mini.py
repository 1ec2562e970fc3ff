"""`mini`, the embedded default model: a PCA code as a floor, residual convolutions around it, any picture size.

A 16×16 patch (768 numbers) is projected on its 96 principal components; the transpose brings it back. Around
that linear code stand two convolutional branches that start at zero: one corrects the latents before they are
quantized, the other corrects the picture afterwards. Both are told the quantizer index (QP), so one set of weights
serves every rate. A third, small network works on latents alone and fills dropped frames: it sees the kept
neighbours on both sides, how far they are, and the learned fill token, and corrects their linear interpolation.

Convolutions carry space and nothing normalises over space or time, so any size and clip length works without tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from dfccodec.models.config import JsonConfig
from dfccodec.models.contract import Encoded, unit
from dfccodec.models.importance import clip_importance

PATCH = 16
CHANNELS = 96
PIXELS = PATCH * PATCH * 3
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
        fill_width: channels of the network that fills dropped frames.
        fill_blocks: its residual blocks.
    """

    family: ClassVar[str] = "mini"

    width: int = 192
    width8: int = 96
    width4: int = 48
    encoder_blocks: tuple[int, ...] = (2, 2)
    decoder_blocks: tuple[int, ...] = (3, 3, 2)
    fill_width: int = 160
    fill_blocks: int = 4

    def __post_init__(self) -> None:
        self.require_sizes("fill_blocks")
        for key, count in (("encoder_blocks", 2), ("decoder_blocks", 3)):
            blocks = getattr(self, key)
            fits = len(blocks) == count and all(0 <= n <= 64 for n in blocks)
            self.require(fits, key, f"use {count} numbers from 0 to 64")


def _qp_features(qp: Tensor) -> Tensor:
    """(B,) quantizer indices -> (B, 4): a cubic in QP, about ±1 over the useful range 0…56."""
    q = (qp.float() - 28.0) / 28.0
    return torch.stack([torch.ones_like(q), q, q * q, q * q * q], dim=1)


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(x) + bias(QP))); the second convolution starts at zero. (B, C, h, w) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.rate = nn.Linear(4, channels, bias=False)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.rate.weight)

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        y = self.conv1(x) + self.rate(q)[:, :, None, None].to(x.dtype)
        out: Tensor = x + self.conv2(F.relu(y))
        return out


class Stage(nn.Module):
    """A run of residual blocks at one scale."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([ResidualBlock(channels) for _ in range(depth)])

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, q)
        return x


class LinearCode(nn.Module):
    """The PCA floor: (B, 3, H, W) <-> (B, 96, H/16, W/16), orthonormal rows, patch order (row, column, channel)."""

    def __init__(self) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.zeros(CHANNELS, PIXELS))
        self.mean = nn.Parameter(torch.full((PIXELS,), 0.5))
        self.scale = nn.Parameter(torch.ones(CHANNELS))  # standard deviation of each latent channel

    def analyse(self, x: Tensor) -> Tensor:
        patches = rearrange(x, "b c (h p) (w q) -> b h w (p q c)", p=PATCH, q=PATCH)
        with torch.autocast(x.device.type, enabled=False):  # 8 bits of mantissa would cost the flattest pictures
            return rearrange((patches - self.mean) @ self.basis.T, "b h w c -> b c h w")

    def synthesise(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            patches = rearrange(z, "b c h w -> b h w c") @ self.basis + self.mean
        return rearrange(patches, "b h w (p q c) -> b c (h p) (w q)", p=PATCH, q=PATCH, c=3)


class FrameEncoder(nn.Module):
    """The correction of the latents: (B, 3, H, W) -> (B, 96, H/16, W/16) in units of `LinearCode.scale`."""

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3 * 64, config.width8, 1)
        self.stage8 = Stage(config.width8, config.encoder_blocks[0])
        self.down = nn.Conv2d(config.width8 * 4, config.width, 1)
        self.stage16 = Stage(config.width, config.encoder_blocks[1])
        self.head = nn.Conv2d(config.width, CHANNELS, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        h = self.stem(F.pixel_unshuffle((x - 0.5) * 2, 8).contiguous(memory_format=torch.channels_last))
        h = self.down(F.pixel_unshuffle(self.stage8(h, q), 2).contiguous(memory_format=torch.channels_last))
        out: Tensor = self.head(F.relu(self.stage16(h, q)))
        return out


class FrameDecoder(nn.Module):
    """The correction of the picture: normalised latents and their linear synthesis -> (B, 3, H, W)."""

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(CHANNELS, config.width, 1)
        self.stage16 = Stage(config.width, config.decoder_blocks[0])
        self.up8 = nn.Conv2d(config.width, config.width8 * 4, 1)
        self.stage8 = Stage(config.width8, config.decoder_blocks[1])
        self.up4 = nn.Conv2d(config.width8, config.width4 * 4, 1)
        self.merge = nn.Conv2d(config.width4 + 48, config.width4, 3, padding=1)
        self.stage4 = Stage(config.width4, config.decoder_blocks[2])
        self.head = nn.Conv2d(config.width4, 48, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, z: Tensor, linear: Tensor, q: Tensor) -> Tensor:
        h = self.stage16(self.stem(z.contiguous(memory_format=torch.channels_last)), q)
        h = F.pixel_shuffle(self.up8(h), 2).contiguous(memory_format=torch.channels_last)
        h = F.pixel_shuffle(self.up4(self.stage8(h, q)), 2)
        h = torch.cat([h, F.pixel_unshuffle((linear - 0.5) * 2, 4).to(h.dtype)], dim=1)
        h = self.stage4(self.merge(h.contiguous(memory_format=torch.channels_last)), q)
        return F.pixel_shuffle(self.head(F.relu(h)), 4)


class FillNetwork(nn.Module):
    """Latents of a dropped frame from its kept neighbours, as a correction of their linear interpolation.

    Works in units of `LinearCode.scale`. Input planes: past kept, future kept, their interpolation, the fill token,
    and three numbers: the fraction of the way from past to future and the two distances in frames.
    """

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4 * CHANNELS + 3, config.fill_width, 1)
        self.stage = Stage(config.fill_width, config.fill_blocks)
        self.head = nn.Conv2d(config.fill_width, CHANNELS, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, past: Tensor, future: Tensor, token: Tensor, where: Tensor, q: Tensor) -> Tensor:
        fraction = where[:, 0, None, None, None]
        lerp = past + (future - past) * fraction
        planes = where[:, :, None, None].expand(-1, -1, *past.shape[2:])
        h = torch.cat([past, future, lerp, token.expand_as(past), planes], dim=1)
        h = self.stem(h.contiguous(memory_format=torch.channels_last))
        # Where both neighbours agree there is nothing to guess, and a guess would only add noise.
        apart = F.avg_pool2d((future - past).square().mean(dim=1, keepdim=True), 3, 1, 1)
        out: Tensor = lerp + torch.tanh(apart.sqrt()) * self.head(F.relu(self.stage(h, q)))
        return out


def neighbours(kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each dropped frame of a clip: which kept frames stand on either side, and where between them it is.

    Args:
        kept: (T,) bool with at least one True.

    Returns:
        past, future: (D,) positions of the nearest kept frames; at an end of the clip both name the only side.
        where: (D, 3) float32: fraction of the way from past to future, distance to past / 8, distance to future / 8.
    """
    index = np.flatnonzero(kept)
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
    """The network behind `--model mini`; satisfies :class:`dfccodec.models.contract.LatentModel`."""

    channels = CHANNELS
    patch = PATCH
    tile = 0
    max_frames = 32

    def __init__(self, config: MiniConfig | None = None) -> None:
        super().__init__()
        self.config = config or MiniConfig()
        self.linear = LinearCode()
        self.encoder = FrameEncoder(self.config)
        self.decoder = FrameDecoder(self.config)
        self.fill = FillNetwork(self.config)
        self.token = nn.Parameter(torch.zeros(CHANNELS))  # in units of linear.scale

    @property
    def config_json(self) -> str:
        return self.config.to_json()

    @property
    def steps(self) -> np.ndarray | None:
        """(96,) float32 quantizer steps at QP 0."""
        return np.full(CHANNELS, BASE_STEP, dtype=np.float32)

    @property
    def fill_token(self) -> Tensor:
        """(96,) the learned fill token, in latent units."""
        return self.token.detach() * self.linear.scale.detach()

    def analyse(self, x: Tensor, qp: Tensor) -> Tensor:
        """Frames (B, 3, H, W) in [0, 1] at QP (B,) -> latents (B, 96, H/16, W/16), not yet quantized."""
        z = self.linear.analyse(x)
        out: Tensor = z + self.encoder(x, _qp_features(qp)).float() * self.linear.scale[:, None, None]
        return out

    def synthesise(self, z: Tensor, qp: Tensor) -> Tensor:
        """Dequantized latents (B, 96, h, w) at QP (B,) -> frames (B, 3, 16h, 16w), not clamped."""
        x = self.linear.synthesise(z)
        normal = z / self.linear.scale[:, None, None]
        out: Tensor = x + self.decoder(normal, x, _qp_features(qp)).float()
        return out

    def fill_latents(self, past: Tensor, future: Tensor, where: Tensor, qp: Tensor) -> Tensor:
        """Latents (D, 96, h, w) of dropped frames from those of their kept neighbours; `where` is (D, 3)."""
        scale = self.linear.scale[:, None, None]
        token = self.token[None, :, None, None]
        out: Tensor = self.fill(past / scale, future / scale, token, where, _qp_features(qp)).float() * scale
        return out

    @torch.inference_mode()
    def encode(self, video: Tensor, qp: int, valid: Tensor | None = None) -> Encoded:
        """Video (B, T, H, W, 3), H and W multiples of 16 -> latents (B, T, N, 96) and importance (B, T).

        Pixels are uint8 0…255 or floats 0…1; bytes become floats one frame at a time.
        `valid` is accepted for the contract and not needed: frames are analysed one by one.
        """
        b, t = video.shape[:2]
        index = torch.full((1,), qp, device=video.device)
        frames = rearrange(video, "b t h w c -> (b t) c h w")
        # One frame at a time: convolutions on two cores gain nothing from batches, and memory stays flat.
        z = torch.cat([self.analyse(unit(frame)[None], index) for frame in frames])
        latents = rearrange(z, "(b t) c h w -> b t (h w) c", b=b).float()
        step = BASE_STEP * 2.0 ** (qp / 8)
        scores = [clip_importance(clip.reshape(t, -1).cpu().numpy(), step) for clip in latents]
        return Encoded(latents, torch.from_numpy(np.stack(scores)).to(video.device))

    @torch.inference_mode()
    def decode(self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int) -> Tensor:
        """Latents (B, T, N, 96), anything where `kept` (B, T) is False -> video (B, T, H, W, 3), not clamped."""
        rows, columns = height // PATCH, width // PATCH
        z = rearrange(latents, "b t (h w) c -> b t c h w", h=rows, w=columns)
        index = torch.full((1,), qp, device=z.device)
        out = torch.empty(*z.shape[:2], height, width, 3, device=z.device)
        for target, clip, mask in zip(out, z, kept.cpu().numpy(), strict=True):
            for slot, frame in enumerate(self._fill_clip(clip, mask, index)):
                target[slot] = rearrange(self.synthesise(frame[None], index)[0], "c h w -> h w c")
        return out

    def _fill_clip(self, clip: Tensor, kept: np.ndarray, qp: Tensor) -> Tensor:
        """(T, 96, h, w) with every dropped slot filled; a clip with nothing kept is the token everywhere."""
        if kept.all():
            return clip
        if not kept.any():
            return self.fill_token[None, :, None, None].expand_as(clip)
        clip = clip.clone()
        past, future, where = neighbours(kept)
        place = torch.from_numpy(where).to(clip.device)
        for slot, i, j, at in zip(np.flatnonzero(~kept), past, future, place, strict=True):
            clip[slot] = self.fill_latents(clip[i][None], clip[j][None], at[None], qp)[0]
        return clip
