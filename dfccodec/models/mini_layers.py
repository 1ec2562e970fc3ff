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


class Conv2d(nn.Conv2d):
    """A convolution that keeps its weights in the precision of autocast, in channels-last memory order.

    Autocast would convert them in each call, which takes half of the time of a convolution over a small picture. The
    results are the same. Weights with a gradient are not kept.
    """

    _kept: tuple[tuple[object, ...], Tensor, Tensor | None] | None = None

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        device = weight.device.type
        if weight.requires_grad or not torch.is_autocast_enabled(device):
            plain: Tensor = super()._conv_forward(input, weight, bias)
            return plain
        dtype = torch.get_autocast_dtype(device)
        key = (dtype, weight.data_ptr(), 0 if weight.is_inference() else weight._version, device)
        if self._kept is None or self._kept[0] != key:
            with torch.inference_mode(False):  # gradients may need the weights later
                low = weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
                self._kept = key, low, None if bias is None else bias.detach().to(dtype)
        out: Tensor = super()._conv_forward(input, *self._kept[1:])
        return out


CallStrategy = Callable[..., Tensor]
"""Calls its first argument with the rest: `call_directly`, `call_checkpointed` to save memory, or
`call_straight_through` to save the backward pass."""


def call_directly(part: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Call `part` with its inputs."""
    return part(*inputs)


def call_checkpointed(part: Callable[..., Tensor], *inputs: Any) -> Tensor:
    """Call `part` with gradient checkpointing: activations are recomputed in the backward pass instead of stored."""
    if not torch.is_grad_enabled():
        return part(*inputs)
    out: Tensor = checkpoint(part, *inputs, use_reentrant=False, preserve_rng_state=False)
    return out


class _StraightThrough(torch.autograd.Function):
    """The value of the second argument with the gradient of the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor) -> Tensor:
        return value

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        return slopes[0], None


def call_straight_through(part: Callable[..., Tensor], x: Tensor, *inputs: Any) -> Tensor:
    """Call `part` with x and other inputs; the gradient is that of x instead of the result."""
    with torch.no_grad():
        value = part(x, *inputs)
    out: Tensor = _StraightThrough.apply(x, value)  # type: ignore[no-untyped-call]
    return out


class _WithSlopes(torch.autograd.Function):
    """A scalar, zero, whose gradient with respect to each tensor is given."""

    @staticmethod
    def forward(ctx: Any, slopes: list[Tensor], *tensors: Tensor) -> Tensor:
        ctx.slopes = slopes
        return tensors[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        return None, *ctx.slopes


def backward_from(tensors: list[Tensor], slopes: list[Tensor]) -> None:
    """As `torch.autograd.backward` with gradients, which imports SymPy: half a second in the first clip."""
    torch.autograd.backward(_WithSlopes.apply(slopes, *tensors))  # type: ignore[no-untyped-call]


class ResidualBlock(nn.Module):
    """x + conv(ReLU(conv(x) + bias(QP))). The second convolution is zero-initialized."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(channels, channels, 3, padding=1)
        self.conv2 = Conv2d(channels, channels, 3, padding=1)
        self.rate = nn.Linear(4, channels, bias=False)
        zero_init(self.conv2)
        zero_init(self.rate)

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """(B, C, h, w) and `qp_features` (B, 4) -> (B, C, h, w)."""
        y = _add_bias(self.conv1(x), self.rate(q).to(x.dtype))
        return _add(self.conv2(F.relu(y) if y.requires_grad else y.relu_()), x)


def _add(x: Tensor, y: Tensor) -> Tensor:
    """x + y, in place if possible: no convolution needs its result for a gradient, and pictures take much memory."""
    return x.add_(y) if x.dtype == y.dtype else x + y


def _add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """x (B, C, h, w) plus bias (B, C), in place if possible. With a gradient, changes of a view would copy a lot."""
    if not x.is_contiguous(memory_format=torch.channels_last):
        return _add(x, bias[:, :, None, None])
    # Whole rows at once: loops over a few channels would take as long as a third of a convolution.
    rows, repeated = x.permute(0, 2, 3, 1).flatten(2), bias.repeat(1, x.shape[3])[:, None]
    out = rows + repeated if x.requires_grad else _add(rows, repeated)
    return out.reshape(x.shape[0], x.shape[2], x.shape[3], x.shape[1]).permute(0, 3, 1, 2)


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
        self.qkv = Conv2d(channels, 3 * channels, 1)
        self.out = Conv2d(channels, channels, 1)
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
        return rearrange(self.project(x), "b h w c -> b c h w")

    def project(self, x: Tensor) -> Tensor:
        """As :meth:`analyse`, (B, H/16, W/16, 96); pictures may also be uint8."""
        patches = rearrange(x, "b c (h p) (w q) -> b h w (p q c)", p=PATCH, q=PATCH)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 would lose accuracy in flat pictures
            if x.is_floating_point():
                return (patches - self.mean) @ self.basis.T
            return patches.float().div_(255).sub_(self.mean) @ self.basis.T  # in place: pictures take much memory

    def synthesise(self, z: Tensor) -> Tensor:
        """Latents (B, 96, h, w) -> pictures (B, 3, 16 h, 16 w), not clamped to [0, 1]."""
        with torch.autocast(z.device.type, enabled=False):
            patches = rearrange(z, "b c h w -> b h w c") @ self.basis + self.mean
        # In channels-last memory order, in which pictures are used.
        pixels = rearrange(patches, "b h w (p q c) -> b (h p) (w q) c", p=PATCH, q=PATCH, c=3)
        return pixels.permute(0, 3, 1, 2)
