"""LatentDiT, the generator `mini-dit`: a diffusion transformer over the kept frames of a clip, for any picture size.

As the published VideoDiT, it is trained by flow matching and has two heads: the velocity of the latents and the gaps
between kept frames. It differs in four ways. Every frame has its own time: given frames enter at t = 1, and the others
are generated to fit them. Positions in space and time are relative (rotary), so any grid works. Time modulates every
block (adaptive layer norm, Peebles and Xie 2023, "DiT"). And the first kept latent of every segment carries a segment
embedding, so that `SegmentMarks` finds the segments from the latents alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from dfccodec.errors import UsageError
from dfccodec.models.config import JsonConfig
from dfccodec.models.mini_layers import channels_last, zero_init
from dfccodec.models.segments import SegmentMarks

ROTARY_BASE = 100.0
"""Low, because grids are small: the slowest pair turns by one radian in 100 patches or frames."""

TIME_FREQUENCIES = 32
GAP_UNIT = 8.0
"""Gaps are predicted and embedded in units of 8 frames."""

_SHORT = 128
"""Maximum length of a sequence whose attention is computed as two products of matrices."""

MAX_GAP = 32
"""Maximum distance in frames between kept frames of a segment: its maximum length."""


@dataclass(frozen=True)
class LatentDiTConfig(JsonConfig):
    """Widths and depth of `LatentDiT`.

    Args:
        channels: width of a latent.
        width: width of a token in the network, a multiple of 4 × heads.
        depth: number of blocks.
        heads: attention heads.
        hidden: width of the MLP in each block.
        max_frames: maximum number of kept frames at once.
        patch: side of the squares of latents that are one token of the network.
    """

    family: ClassVar[str] = "mini-dit"

    channels: int = 96
    width: int = 256
    depth: int = 7
    heads: int = 8
    hidden: int = 864
    max_frames: int = 32
    patch: int = 1

    def __post_init__(self) -> None:
        self.require_sizes("depth")
        self.require(self.width % (4 * self.heads) == 0, "width", f"use a multiple of 4 × heads = {4 * self.heads}")


@dataclass(frozen=True)
class KnownGaps:
    """What is known about the positions of kept frames before they are generated.

    Args:
        gaps: (B, K) frames between a kept frame and the one before it in its segment, or the start of the segment.
        trailing: (B, K) dropped frames after it; 0 unless it is the last one of its segment.
        known: (B, K) bool, whether the two numbers are given.
    """

    gaps: Tensor
    trailing: Tensor
    known: Tensor

    @classmethod
    def none(cls, batch: int, frames: int, device: torch.device | None = None) -> KnownGaps:
        """No position is known."""
        zero = torch.zeros(batch, frames, device=device)
        return cls(zero, zero, torch.zeros(batch, frames, dtype=torch.bool, device=device))

    def features(self) -> Tensor:
        """(B, K, 4): whether known, both distances, and 1 for the first frame; distances are 0 where unknown."""
        on = self.known.float()
        first = torch.zeros_like(on)
        first[:, 0] = 1
        return torch.stack([on, on * self.gaps / GAP_UNIT, on * self.trailing / GAP_UNIT, first], dim=-1)


@dataclass(frozen=True)
class LatentFlow:
    """Result of one evaluation.

    Args:
        velocity: (B, K, C, h, w), in normalized units.
        gaps: (B, K) frames since the kept frame before, or since the start of the segment.
        trailing: (B, K) frames after it until the end of its segment, meaningful for the last one of a segment.
    """

    velocity: Tensor
    gaps: Tensor
    trailing: Tensor


class RotaryAttention(nn.Module):
    """Softmax attention with normalized queries and keys, turned by the angles of their positions; no residual."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.q_norm = nn.LayerNorm(width // heads, bias=False)
        self.k_norm = nn.LayerNorm(width // heads, bias=False)

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        """(B, L, D) and `angles` (L, D / heads / 2) → (B, L, D)."""
        query, key, value = rearrange(self.qkv(x), "b l (three h d) -> three b h l d", three=3, h=self.heads)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        query, key = (_rotate(norm(part), cos, sin) for norm, part in ((self.q_norm, query), (self.k_norm, key)))
        mixed = _attend(query.to(value.dtype), key.to(value.dtype), value)
        out: Tensor = self.out(rearrange(mixed, "b h l d -> b l (h d)"))
        return out


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention. On a CPU, torch's fused form takes five times as long for short sequences."""
    if query.shape[-2] > _SHORT:
        return F.scaled_dot_product_attention(query, key, value)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    out: Tensor = scores.softmax(dim=-1).to(value.dtype) @ value
    return out


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the pairs (i, i + d/2) of x (…, L, d) by angles (L, d/2)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def frame_angles(frames: int, pairs: int, device: torch.device) -> Tensor:
    """Angles (frames, pairs) of positions 0, 1, …"""
    rate = ROTARY_BASE ** (-torch.arange(pairs, device=device) / pairs)
    return torch.arange(frames, device=device)[:, None] * rate


def grid_angles(rows: int, columns: int, pairs: int, device: torch.device) -> Tensor:
    """Angles (rows · columns, pairs) of a grid in raster order: the first half turns by row, the second by column."""
    row, column = (frame_angles(side, pairs // 2, device) for side in (rows, columns))
    both = [row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1)]
    return torch.cat(both, dim=-1).flatten(0, 1)


class LatentBlock(nn.Module):
    """Attention over time for each patch, over space for each frame, then an MLP; all modulated by time.

    A depthwise convolution mixes adjacent patches before the MLP. Attention would have to learn what adjacent means.

    The modulation is a shared one (see `LatentDiT`) plus a learned offset of this block, as in PixArt-α (Chen et al.
    2023): a projection per block would take a third of all parameters.
    """

    def __init__(self, config: LatentDiTConfig) -> None:
        super().__init__()
        width = config.width
        self.modulation = nn.Parameter(torch.zeros(9, width))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.temporal = RotaryAttention(width, config.heads)
        self.spatial = RotaryAttention(width, config.heads)
        self.near = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.linear1 = nn.Linear(width, config.hidden)
        self.linear2 = nn.Linear(config.hidden, width)

    def forward(self, x: Tensor, shared: Tensor, time_angles: Tensor, space_angles: Tensor, rows: int) -> Tensor:
        """Tokens (B, K, N, D) of `rows` rows, shared modulation (B, K, 9, D) and angles → (B, K, N, D)."""
        batch, frames = x.shape[:2]
        parts = (shared + self.modulation).unsqueeze(3).unbind(2)  # each (B, K, 1, D)

        def modulated(number: int) -> Tensor:
            return torch.addcmul(parts[number], self.norm(x), 1 + parts[number + 1])

        # Contiguous: without gradients, torch would copy the weight of a linear layer for every batch of a view.
        h = self.temporal(rearrange(modulated(0), "b k n d -> (b n) k d").contiguous(), time_angles)
        x = torch.addcmul(x, parts[2], rearrange(h, "(b n) k d -> b k n d", b=batch).to(x.dtype))
        h = self.spatial(modulated(3).flatten(0, 1), space_angles)
        x = torch.addcmul(x, parts[5], h.unflatten(0, (batch, frames)).to(x.dtype))
        h = rearrange(modulated(6), "b k (h w) d -> (b k) d h w", h=rows)
        h = rearrange(h + self.near(h), "(b k) d h w -> b k (h w) d", b=batch)
        h = self.linear2(F.gelu(self.linear1(h), approximate="tanh"))
        return torch.addcmul(x, parts[8], h.to(x.dtype))


class LatentDiT(nn.Module):
    """Velocity and gaps of kept frames at one point of the path from noise to latents.

    Latents are normalized: less the mean of their channel, divided by its standard deviation.
    """

    float32_tensors = ("mean", "deviation", "segments.embedding", "segments.predictor.weight")

    def __init__(self, config: LatentDiTConfig | None = None) -> None:
        super().__init__()
        self.config = config or LatentDiTConfig()
        c = self.config
        self.register_buffer("mean", torch.zeros(c.channels))
        self.register_buffer("deviation", torch.ones(c.channels))
        self.segments = SegmentMarks(c.channels)
        self.stem = nn.Conv2d(c.channels * c.patch**2, c.width, 3, padding=1)
        self.time1 = nn.Linear(2 * TIME_FREQUENCIES + 4, c.width)
        self.time2 = nn.Linear(c.width, c.width)
        self.shared = nn.Linear(c.width, 9 * c.width)
        blocks = [LatentBlock(c) for _ in range(c.depth)]
        self.blocks = nn.ModuleList(blocks)
        self.final = nn.Linear(c.width, 2 * c.width)
        self.norm = nn.LayerNorm(c.width, elementwise_affine=False)
        self.velocity = nn.Linear(c.width, c.channels * c.patch**2)
        self.gap = nn.Linear(c.width, 2)
        for layer in (self.final, self.velocity, self.gap, *(block.near for block in blocks)):
            zero_init(layer)
        nn.init.normal_(self.shared.weight, std=0.02)
        with torch.no_grad():  # every branch starts small, not at zero: a short training cannot wait for its gates
            self.shared.bias.zero_().view(9, -1)[2::3] = 0.2

    @property
    def config_json(self) -> str:
        """Configuration as in weight files."""
        return self.config.to_json()

    def normalize(self, latents: Tensor) -> Tensor:
        """(…, C, h, w) in the units of the codec → normalized."""
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        return (latents.float() - mean[:, None, None]) / deviation[:, None, None]

    def denormalize(self, latents: Tensor) -> Tensor:
        """Inverse of `normalize`."""
        mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
        return latents.float() * deviation[:, None, None] + mean[:, None, None]

    def forward(self, latents: Tensor, time: Tensor, known: KnownGaps) -> LatentFlow:
        """Return velocity and gaps.

        Args:
            latents: (B, K, C, h, w), normalized, a point on the path.
            time: (B, K) in 0…1 for each frame, 0 for noise and 1 for a given frame.
            known: known positions.

        Raises:
            UsageError: the network does not support the shape.
        """
        self._check(latents, time)
        rows, columns = (side // self.config.patch for side in latents.shape[3:])
        pairs = self.config.width // self.config.heads // 2
        time_angles = frame_angles(latents.shape[1], pairs, latents.device)
        space_angles = grid_angles(rows, columns, pairs, latents.device)
        condition = torch.cat([_time_features(time), known.features()], dim=-1)
        moment = F.silu(self.time2(F.silu(self.time1(condition))))
        shared = self.shared(moment).unflatten(-1, (9, -1)).float()
        side = {"p": self.config.patch, "q": self.config.patch}
        tokens = rearrange(latents, "b k c (h p) (w q) -> (b k) (c p q) h w", **side)
        x = rearrange(self.stem(channels_last(tokens)).float(), "(b k) d h w -> b k (h w) d", k=latents.shape[1])
        for block in self.blocks:
            x = block(x, shared, time_angles, space_angles, rows)
        shift, scale = self.final(moment)[:, :, None].float().chunk(2, dim=-1)
        x = torch.addcmul(shift, self.norm(x), 1 + scale)
        found = rearrange(self.velocity(x).float(), "b k (h w) (c p q) -> b k c (h p) (w q)", h=rows, **side)
        skip, scale = (part[:, :, None, None, None] for part in preconditioning(time))
        velocity = torch.addcmul(skip * latents, scale, found)
        gaps, trailing = (self.gap(x.mean(dim=2)).float() * GAP_UNIT).unbind(-1)
        return LatentFlow(velocity, gaps, trailing)

    def _check(self, latents: Tensor, time: Tensor) -> None:
        c = self.config
        if latents.ndim != 5 or latents.shape[2] != c.channels or not 1 <= latents.shape[1] <= c.max_frames:
            raise UsageError(
                f"latents are {tuple(latents.shape)}; this model takes (B, 1…{c.max_frames}, {c.channels}, h, w)"
            )
        if time.shape != latents.shape[:2]:
            raise UsageError(f"time is {tuple(time.shape)}; give (B, K) = {tuple(latents.shape[:2])}")
        if latents.shape[3] % c.patch or latents.shape[4] % c.patch:
            raise UsageError(
                f"a grid of {latents.shape[3]}×{latents.shape[4]} is not divisible by {c.patch}: pad the latents"
            )


def preconditioning(time: Tensor) -> tuple[Tensor, Tensor]:
    """Factors of the point on the path and of the network's output in the velocity.

    If latents were white noise, the first factor alone would give the best velocity, and the second one is the standard
    deviation of the rest (as in Karras et al. 2022, "EDM", for this path). The network need not pass on noise, so a
    token may hold more latents than its width.
    """
    variance = time.square() + (1 - time).square()
    return (2 * time - 1) / variance, variance.rsqrt()


def _time_features(time: Tensor) -> Tensor:
    """(B, K) in 0…1 → (B, K, 64), sines and cosines."""
    rate = math.tau * torch.exp(torch.linspace(math.log(0.1), math.log(100.0), TIME_FREQUENCIES, device=time.device))
    angle = time.float()[..., None] * rate
    return torch.cat([angle.cos(), angle.sin()], dim=-1)
