"""VideoVAE, the published codec network of *Dynamic Frame Compression*.

Names and sizes are those of the published checkpoint `vae_pytorch.pt`, which loads strictly; DESIGN section 5 describes
the architecture. `video_vae_adapter.VideoVAEAdapter` adapts it to the interface of the codec.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from dfccodec.errors import UsageError
from dfccodec.models.config import VAEConfig
from dfccodec.models.transformer_layers import EPSILON, FactoredBlock

UNET_WIDTHS = (16, 32, 64)
UNET_BOTTLENECK = 128
UNET_GROUPS = 8


@dataclass(frozen=True)
class Posterior:
    """Output of the encoder for a clip.

    Args:
        mean, variance: (B, T, N, C) of the latents; the variance is at least 1e-6.
        importance: (B, T) in 0…1.
    """

    mean: Tensor
    variance: Tensor
    importance: Tensor


@dataclass(frozen=True)
class Packed:
    """Clips with kept frames moved to the front, the form in which the published code stores and generates clips.

    Args:
        latents: (B, T, N, C); zero after the last kept frame.
        gaps: (B, T) int64, distance to the previous kept frame; the first is the index of the first kept frame.
        valid: (B, T) bool, True for used slots.
    """

    latents: Tensor
    gaps: Tensor
    valid: Tensor


class PatchEmbedding(nn.Module):
    """Pixels to tokens: patches in (row, column, channel) order → LayerNorm → Linear."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        self.norm = nn.LayerNorm(config.dim, eps=EPSILON)
        self.linear = nn.Linear(config.dim, config.dim)

    def forward(self, video: Tensor) -> Tensor:
        """(B, T, H, W, C) → (B, T, N, D)."""
        p = self.patch_size
        patches = rearrange(video, "b t (h ph) (w pw) c -> b t (h w) (ph pw c)", ph=p, pw=p)
        tokens: Tensor = self.linear(self.norm(patches))
        return tokens


class PatchUnembedding(nn.Module):
    """Tokens to wide pixels; `downsample` maps wide pixels linearly to the picture."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.patch_size, self.rows = config.patch_size, config.height // config.patch_size
        wide = config.channels * config.unembedding_upsample_rate
        self.linear = nn.Linear(config.dim, config.dim)
        self.upsample = nn.Linear(config.dim, config.dim * config.unembedding_upsample_rate)
        self.downsample = nn.Linear(wide, config.channels)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T, N, D) → (B, T, H, W, wide)."""
        wide: Tensor = self.upsample(self.linear(tokens))
        p = self.patch_size
        return rearrange(wide, "b t (h w) (ph pw c) -> b t (h ph) (w pw) c", h=self.rows, ph=p, pw=p)


class ConvBlock(nn.Module):
    """3×3×3 convolution → GroupNorm over time and space → SiLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, 3, padding=1)
        self.norm = nn.GroupNorm(UNET_GROUPS, channels_out, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T, H, W) → (B, C_out, T, H, W)."""
        return F.silu(self.norm(self.conv(x)))


class UNetLevel(nn.Module):
    """Two convolution blocks. With `up`, their input is the upsampled features and the skip connection."""

    def __init__(self, channels_in: int, channels_out: int, *, up: bool) -> None:
        super().__init__()
        self.upsample: nn.ConvTranspose3d | None = None
        if up:
            self.upsample = nn.ConvTranspose3d(channels_in, channels_out, (1, 2, 2), stride=(1, 2, 2))
        self.conv1 = ConvBlock(2 * channels_out if up else channels_in, channels_out)
        self.conv2 = ConvBlock(channels_out, channels_out)

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """(B, C_in, T, H, W) → (B, C_out, T, H, W); with a skip (B, C_out, T, 2 H, 2 W) → the shape of the skip."""
        if self.upsample is not None and skip is not None:
            x = torch.cat([self.upsample(x), skip], dim=1)
        out: Tensor = self.conv2(self.conv1(x))
        return out


class UNet(nn.Module):
    """3-D U-Net at full resolution. It halves and doubles height and width three times, but never time."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        down = (channels_in, *UNET_WIDTHS)
        up = (UNET_BOTTLENECK, *reversed(UNET_WIDTHS))
        self.patch_mixer = nn.Conv3d(channels_in, channels_in, (3, 7, 7), padding=(1, 3, 3))
        self.encoders = nn.ModuleList(UNetLevel(a, b, up=False) for a, b in pairwise(down))
        self.bottleneck1 = ConvBlock(down[-1], UNET_BOTTLENECK)
        self.bottleneck2 = ConvBlock(UNET_BOTTLENECK, UNET_BOTTLENECK)
        self.decoders = nn.ModuleList(UNetLevel(a, b, up=True) for a, b in pairwise(up))
        self.final_conv = nn.Conv3d(up[-1], channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T, H, W) → (B, C_out, T, H, W)."""
        x = self.patch_mixer(x)
        skips = []
        for level in self.encoders:
            x = level(x)
            skips.append(x)
            x = F.max_pool3d(x, (1, 2, 2))
        x = self.bottleneck2(self.bottleneck1(x))
        for level in self.decoders:
            x = level(x, skips.pop())
        out: Tensor = self.final_conv(x)
        return out


def _blocks(config: VAEConfig, depth: int) -> nn.ModuleList:
    return nn.ModuleList(
        FactoredBlock(config.dim, config.mlp_dim, config.num_heads, config.qkv_features) for _ in range(depth)
    )


class Encoder(nn.Module):
    """Encoder: clip to posterior."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.patch_embedding = PatchEmbedding(config)
        self.spatial_compression = nn.Linear(config.dim, config.latent_channels)
        self.variance_estimator = nn.Linear(config.dim, config.latent_channels)
        self.selection_layer1 = nn.Linear(config.latent_channels, 1)
        self.selection_layer2 = nn.Linear(config.tokens, 1)
        self.layers = _blocks(config, config.encoder_depth)

    def forward(self, video: Tensor, valid: Tensor | None) -> Posterior:
        """Video (B, T, H, W, C), `valid` (B, T) bool (False for padding frames) → means, variances and importance."""
        x = self.patch_embedding(video)
        for layer in self.layers:
            x = layer(x, valid)
        mean = self.spatial_compression(x)
        variance = F.softplus(self.variance_estimator(x)) + 1e-6
        per_token = self.selection_layer1(mean).squeeze(-1)
        score = self.selection_layer2(per_token).squeeze(-1)
        return Posterior(mean, variance, torch.sigmoid(score + 1))  # + 1: an untrained network keeps most frames


class Decoder(nn.Module):
    """Decoder: latents of all frames to clip."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.patch_unembedding = PatchUnembedding(config)
        self.spatial_decompression = nn.Linear(config.latent_channels, config.dim)
        self.layers = _blocks(config, config.decoder_depth)
        self.unet = UNet(config.channels * config.unembedding_upsample_rate, config.channels)

    def forward(self, latents: Tensor, valid: Tensor | None) -> Tensor:
        """Latents (B, T, N, C), `valid` (B, T) bool (False for padding frames) → video (B, T, H, W, C)."""
        x = self.spatial_decompression(latents)
        for layer in self.layers:
            x = layer(x, valid)
        wide = self.patch_unembedding(x)
        detail = self.unet(rearrange(wide, "b t h w c -> b c t h w"))
        picture: Tensor = self.patch_unembedding.downsample(wide)
        out: Tensor = picture + rearrange(detail, "b c t h w -> b t h w c")
        return out


class VideoVAE(nn.Module):
    """The published VAE: encodes clips and decodes latents.

    Args:
        config: sizes and depths; `config.PUBLISHED_VAE` for the published checkpoint.
    """

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.fill_token = nn.Parameter(torch.zeros(1, 1, 1, config.latent_channels))
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, video: Tensor, valid: Tensor | None = None) -> Posterior:
        """Return the posterior of each frame.

        Args:
            video: (B, T, H, W, C) in [0, 1]; H and W as in the config, T at most `max_temporal_len`.
            valid: (B, T) bool, False for padding frames, which are masked out; None if there is no padding.

        Raises:
            UsageError: the network does not support the shape, or a clip has no valid frame.
        """
        c = self.config
        _check_shape("video", video, "(B, T, H, W, C)", (c.height, c.width, c.channels), c.max_temporal_len)
        check_frame_mask("valid", valid, video, need_one=True)
        posterior: Posterior = self.encoder(video, valid)
        return posterior

    def decode(self, latents: Tensor, valid: Tensor | None = None) -> Tensor:
        """Decode latents (B, T, N, C) of all frames, with fill tokens for dropped frames.

        Returns:
            (B, T, H, W, C), not clamped.

        Raises:
            UsageError: the network does not support the shape, or a clip has no valid frame.
        """
        c = self.config
        _check_shape("latents", latents, "(B, T, N, C)", (c.tokens, c.latent_channels), c.max_temporal_len)
        check_frame_mask("valid", valid, latents, need_one=True)
        video: Tensor = self.decoder(latents, valid)
        return video

    def fill(self, latents: Tensor, kept: Tensor) -> Tensor:
        """Replace latents (B, T, N, C) of dropped frames, where `kept` (B, T) is False, by the learned fill token.

        The decoder attends to these slots as to any other; they mark the frames that it must generate.
        """
        check_frame_mask("kept", kept, latents)
        return torch.where(kept[:, :, None, None], latents, self.fill_token)


def pack(latents: Tensor, kept: Tensor) -> Packed:
    """Move kept frames to the front of each clip, and compute the gaps between them.

    Args:
        latents: (B, T, N, C).
        kept: (B, T) bool, for example `importance > 0.5` (the threshold of the published code).
    """
    check_frame_mask("kept", kept, latents)
    order = torch.argsort(kept.logical_not().to(torch.uint8), dim=1, stable=True)
    valid = torch.gather(kept, 1, order)
    packed = torch.take_along_dim(latents, order[:, :, None, None], dim=1)
    gaps = torch.diff(order, dim=1, prepend=torch.zeros_like(order[:, :1]))
    return Packed(packed * valid[:, :, None, None], torch.where(valid, gaps, 0), valid)


def unpack(packed: Packed, total_frames: int) -> tuple[Tensor, Tensor]:
    """Undo `pack`: move kept frames back to their positions.

    The published code ends a clip at its last kept frame and so loses the dropped frames after it. Here the length is
    an argument.

    Returns:
        Latents (B, total, N, C) and kept (B, total) bool.

    Raises:
        UsageError: gaps lead outside the clip, or repeat a frame.
    """
    positions = torch.cumsum(packed.gaps, dim=1)
    used, gaps = packed.valid, packed.gaps
    backwards = (gaps < 0).any() or (used[:, 1:] & (gaps[:, 1:] < 1)).any()
    if backwards or (used & (positions >= total_frames)).any():
        raise UsageError(f"gaps lead outside a clip of {total_frames} frames or repeat one; kept frames must ascend")
    batch = packed.latents.shape[0]
    latents = packed.latents.new_zeros(batch, total_frames, *packed.latents.shape[2:])
    kept = torch.zeros(batch, total_frames, dtype=torch.bool, device=latents.device)
    row, slot = torch.nonzero(used, as_tuple=True)
    latents[row, positions[row, slot]] = packed.latents[row, slot]
    kept[row, positions[row, slot]] = True
    return latents, kept


def check_frame_mask(name: str, mask: Tensor | None, clip: Tensor, *, need_one: bool = False) -> None:
    """Check a frame mask.

    Raises:
        UsageError: the mask is not (B, T) bool for `clip` (B, T, …), or `need_one` is set and a row is all False.
    """
    if mask is None:
        return
    if mask.dtype != torch.bool or mask.shape != clip.shape[:2]:
        expected = tuple(clip.shape[:2])
        raise UsageError(f"{name} is {mask.dtype} {tuple(mask.shape)}; expected torch.bool (B, T) = {expected}")
    if need_one and not mask.any(dim=1).all():
        raise UsageError(f"{name} is False for all frames of a clip; remove clips without frames from the batch")


def _check_shape(name: str, x: Tensor, letters: str, tail: tuple[int, ...], max_frames: int) -> None:
    ranks = 2 + len(tail)
    if x.ndim != ranks or tuple(x.shape[2:]) != tail or not 1 <= x.shape[1] <= max_frames or x.shape[0] < 1:
        raise UsageError(
            f"{name} is {tuple(x.shape)}; this model takes {letters} = (B, 1…{max_frames}, {', '.join(map(str, tail))})"
        )
