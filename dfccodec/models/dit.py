"""VideoDiT, the published generator of *Dynamic Frame Compression*: noise to latents and positions of kept frames.

Names and sizes are those of the published checkpoint `dit_pytorch.pt`, which loads strictly. The network is trained by
flow matching (Lipman et al. 2022): it predicts the velocity of a straight path from noise at t = 0 to latents at t = 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dfccodec.errors import UsageError
from dfccodec.models.config import DiTConfig
from dfccodec.models.transformer_layers import FactoredBlock
from dfccodec.models.vae import check_frame_mask


@dataclass(frozen=True)
class Flow:
    """Result of one evaluation of the network, or of sampling.

    Args:
        latents: (B, K, N, C), the velocity (evaluation) or the latents (sampling).
        gaps: (B, K) float, distance in frames from the previous kept frame; the first is counted from frame 0.
    """

    latents: Tensor
    gaps: Tensor


class VideoDiT(nn.Module):
    """Diffusion transformer over the kept frames of a clip.

    Args:
        config: widths and depth; `config.PUBLISHED_DIT` for the published checkpoint.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.residual_dim
        self.timestep_proj = nn.Linear(1, dim)
        self.up_proj = nn.Linear(config.compressed_channel_dim, dim)
        self.layers = nn.ModuleList(
            FactoredBlock(dim, config.mlp_dim, config.num_heads, config.qkv_features) for _ in range(config.depth)
        )
        self.down_proj = nn.Linear(dim, config.compressed_channel_dim)
        self.spacing_pred1 = nn.Linear(dim, 1)
        self.spacing_pred2 = nn.Linear(config.hw, 1)

    def forward(self, latents: Tensor, time: Tensor, valid: Tensor | None = None) -> Flow:
        """Return velocity and gaps at one time.

        Args:
            latents: (B, K, N, C), a point on the path.
            time: (B,) in 0…1, 0 for noise.
            valid: (B, K) bool, False for unused slots, which are masked out; None if all are used.

        Raises:
            UsageError: the network does not support the shape, or a clip has no valid slot.
        """
        self._check(latents, valid)
        if time.shape != latents.shape[:1]:
            raise UsageError(f"time is {tuple(time.shape)}; expected (B,) = ({latents.shape[0]},)")
        moment = self.timestep_proj(time.to(latents.dtype)[:, None])
        x = self.up_proj(latents) + moment[:, None, None, :]
        for layer in self.layers:
            x = layer(x, valid)
        per_token = self.spacing_pred1(x).squeeze(-1)
        return Flow(self.down_proj(x), self.spacing_pred2(per_token).squeeze(-1))

    def sample(self, noise: Tensor, steps: int, valid: Tensor | None = None) -> Flow:
        """Integrate the velocity from noise to latents with equal Euler steps.

        As in the published code, the gaps are those of the last evaluation, at t = 1 − 1/steps.

        Args:
            noise: (B, K, N, C), standard normal.
            steps: number of evaluations of the network, at least 1.
            valid: (B, K) bool, as in `forward`.

        Raises:
            UsageError: as for `forward`, or steps is below 1.
        """
        if steps < 1:
            raise UsageError(f"steps is {steps}; use at least 1")
        with torch.inference_mode():
            point, gaps = noise, noise.new_zeros(noise.shape[:2])
            for step in range(steps):
                time = torch.full(noise.shape[:1], step / steps, dtype=noise.dtype, device=noise.device)
                flow: Flow = self(point, time, valid)
                point, gaps = point + flow.latents / steps, flow.gaps
            return Flow(point, gaps)

    def _check(self, latents: Tensor, valid: Tensor | None) -> None:
        c = self.config
        tail = (c.hw, c.compressed_channel_dim)
        if latents.ndim != 4 or tuple(latents.shape[2:]) != tail or not 1 <= latents.shape[1] <= c.max_temporal_len:
            raise UsageError(
                f"latents are {tuple(latents.shape)}; this model takes (B, K, N, C) = "
                f"(B, 1…{c.max_temporal_len}, {tail[0]}, {tail[1]})"
            )
        check_frame_mask("valid", valid, latents, need_one=True)


def positions_from_gaps(gaps: Tensor, valid: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return frame indices of the kept frames, and the number of frames of each clip.

    Gaps are rounded to the nearest integer and added up. A predicted gap can be too small or negative, but kept frames
    must ascend. So the first gap is at least 0 and all others are at least 1. A clip ends with its last kept frame,
    because the network does not predict the number of dropped frames after it.

    Args:
        gaps: (B, K) float, as in the result of `VideoDiT.sample`.
        valid: (B, K) bool, used slots first; unused slots repeat the last position.

    Returns:
        Positions (B, K) int64, and numbers of frames (B,) int64.
    """
    check_frame_mask("valid", valid, gaps)
    minimum = torch.ones(gaps.shape[1], device=gaps.device, dtype=torch.int64)
    minimum[:1] = 0
    distance = torch.maximum(gaps.float().round().to(torch.int64), minimum)
    if valid is not None:
        distance = distance * valid
    positions = torch.cumsum(distance, dim=1)
    return positions, positions[:, -1] + 1
