"""Layers of `mini`: convolutions over space, attention over time.

No layer normalizes over space or time, so any picture size works, and a result does not depend on the rest of the
picture or clip outside its receptive field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

PATCH = 16
CHANNELS = 96
PIXELS = PATCH * PATCH * 3
MAX_FRAMES = 32

_ATTENTION_TOKENS = 1 << 13
"""Maximum number of tokens whose attention is computed at once, except in training. Limits memory to about 30 MB."""


def qp_features(qp: Tensor) -> Tensor:
    """Return features of quantizer indices (B,): powers 0 to 3 of (QP − 28) / 28, (B, 4)."""
    q = (qp.float() - 28.0) / 28.0
    return torch.stack([torch.ones_like(q), q, q * q, q * q * q], dim=1)


def channels_last(x: Tensor) -> Tensor:
    """Return (B, C, H, W) in channels-last memory order, in which convolutions are fast."""
    return x.contiguous(memory_format=torch.channels_last)


def unshuffle_pixels(x: Tensor, size: int) -> Tensor:
    """As `F.pixel_unshuffle`, with the result in channels-last memory order; faster if that of `x` is, too.

    (B, C, H, W) -> (B, C · size², H / size, W / size).
    """
    b, _, h, w = x.shape
    parts = x.reshape(b, -1, h // size, size, w // size, size).permute(0, 2, 4, 1, 3, 5)
    return parts.reshape(b, h // size, w // size, -1).permute(0, 3, 1, 2)


def zero_init(layer: nn.Module) -> None:
    """Zero-initialize weight and bias of a layer, so that its residual branch starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


CallStrategy = Callable[..., Tensor]
"""Calls its first argument with the rest: `call_directly`, or `call_checkpointed` to save memory."""


def call_directly(part: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Call `part` with its inputs."""
    return part(*inputs)


def call_checkpointed(part: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Call `part` with gradient checkpointing: activations are recomputed in the backward pass instead of stored."""
    if not torch.is_grad_enabled():
        return part(*inputs)
    out: Tensor = checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=False)
    return out


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(x) + bias(QP))). The second convolution is zero-initialized."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.rate = nn.Linear(4, channels, bias=False)
        zero_init(self.conv2)
        zero_init(self.rate)

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """(B, C, h, w) and `qp_features` (B, 4) -> (B, C, h, w)."""
        y = self.conv1(x) + self.rate(q)[:, :, None, None].to(x.dtype)
        out: Tensor = x + self.conv2(F.relu(y))
        return out


class ResidualStack(nn.Module):
    """A sequence of residual blocks at one scale."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([ResidualBlock(channels) for _ in range(depth)])

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """(B, C, h, w) and `qp_features` (B, 4) -> (B, C, h, w)."""
        for block in self.blocks:
            x = block(x, q)
        return x


class TimeAttention(nn.Module):
    """Attention over time: each frame of a patch attends to the kept frames of the same patch. Zero-initialized.

    It is cosine attention (queries and keys of length one, a learned temperature per head: Liu et al. 2022, "Swin
    Transformer V2", section 3.2) plus a learned bias per head and distance in frames.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.sharpness = nn.Parameter(torch.full((heads, 1, 1), 2.0))
        self.bias = nn.Parameter(torch.zeros(heads, 2 * MAX_FRAMES - 1))
        zero_init(self.out)

    def forward(self, x: Tensor, frame_index: Tensor, num_kept: int, call: CallStrategy = call_directly) -> Tensor:
        """Attend over time.

        Args:
            x: (B, S, C, h, w) features of frames; the first `num_kept` frames are kept frames.
            frame_index: (S,) frame numbers in the clip.
            num_kept: number of kept frames.
            call: see `CallStrategy`.

        Returns:
            (B, S, C, h, w).
        """
        if num_kept == 0:
            return x
        unsplit = torch.is_grad_enabled() and call is call_directly
        if unsplit or x[0, :, 0].numel() <= _ATTENTION_TOKENS:
            return call(self._attend, x, frame_index, num_kept)
        rows = max(1, _ATTENTION_TOKENS // (x.shape[1] * x.shape[4]))
        return torch.cat(
            [call(self._attend, band, frame_index, num_kept) for band in torch.split(x, rows, dim=3)], dim=3
        )

    def _attend(self, x: Tensor, frame_index: Tensor, num_kept: int) -> Tensor:
        b, s, _, h, w = x.shape
        flat = rearrange(x, "b s c h w -> (b s) c h w")
        query, key, value = rearrange(
            self.qkv(flat), "(b s) (n e d) h w -> n (b h w) e s d", b=b, n=3, e=self.heads
        ).unbind(0)
        distance = frame_index[:, None] - frame_index[None, :num_kept] + MAX_FRAMES - 1
        query = F.normalize(query.float(), dim=-1) * self.sharpness.exp()
        score = query @ F.normalize(key[:, :, :num_kept].float(), dim=-1).mT + self.bias[:, distance]
        mixed = score.softmax(-1).to(value.dtype) @ value[:, :, :num_kept]
        mixed = rearrange(mixed, "(b h w) e s d -> (b s) (e d) h w", b=b, h=h, w=w)
        out: Tensor = x + self.out(channels_last(mixed)).reshape(b, s, -1, h, w)
        return out


class PCATransform(nn.Module):
    """PCA transform: (B, 3, H, W) <-> (B, 96, H/16, W/16). Rows are orthonormal; patches are (row, column, channel)."""

    def __init__(self) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.zeros(CHANNELS, PIXELS))
        self.mean = nn.Parameter(torch.full((PIXELS,), 0.5))
        self.scale = nn.Parameter(torch.ones(CHANNELS))  # standard deviation of each latent channel

    def analyse(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, H, W) in [0, 1] -> latents (B, 96, H/16, W/16)."""
        patches = rearrange(x, "b c (h p) (w q) -> b h w (p q c)", p=PATCH, q=PATCH)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would lose accuracy in flat pictures
            return rearrange((patches - self.mean) @ self.basis.T, "b h w c -> b c h w")

    def synthesise(self, z: Tensor) -> Tensor:
        """Latents (B, 96, h, w) -> pictures (B, 3, 16 h, 16 w), not clamped to [0, 1]."""
        with torch.autocast(z.device.type, enabled=False):
            patches = rearrange(z, "b c h w -> b h w c") @ self.basis + self.mean
        return rearrange(patches, "b h w (p q c) -> b c (h p) (w q)", p=PATCH, q=PATCH, c=3)
