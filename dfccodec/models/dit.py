"""VideoDiT, the published generator of *Dynamic Frame Compression*: noise to kept latents and their places.

Names and numbers are those of the published checkpoint `dit_pytorch.pt`, which loads strictly. It is trained
by flow matching (Lipman et al. 2022): the network gives the velocity of a straight path from noise at t = 0
to latents at t = 1.
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
    """One evaluation of the network, or the end of a sampled path.

    Args:
        latents: (B, K, N, C), the velocity for one evaluation, the latents themselves at the end of a path.
        gaps: (B, K) float, frames from the previous kept frame; the first counts from the clip's frame 0.
    """

    latents: Tensor
    gaps: Tensor


class VideoDiT(nn.Module):
    """Diffusion transformer over the kept frames of a clip.

    Args:
        config: what to build; `config.PUBLISHED_DIT` for the published checkpoint.
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
        """Velocity and gaps at one time.

        Args:
            latents: (B, K, N, C), a point on the path.
            time: (B,) in 0…1, 0 for noise.
            valid: (B, K) bool, False for slots not in use, which no other slot then sees; None when all are.

        Raises:
            UsageError: a shape the network cannot take, or a clip without a valid slot.
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
        """Follow the velocity from noise to latents in equal Euler steps.

        The gaps are those of the last evaluation, at t = 1 - 1/steps, as in the published code.

        Args:
            noise: (B, K, N, C), standard normal.
            steps: at least 1; evaluations of the network.
            valid: (B, K) bool, as in `forward`.

        Raises:
            UsageError: as `forward`, or steps below 1.
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
    """Frame indices of the kept frames, and how many frames each clip has.

    Gaps are rounded to the nearest integer and added up. A network can predict less than half a frame, or a
    negative one; kept frames must still ascend, so every gap but the first counts as at least 1, the first as
    at least 0. A clip ends with its last kept frame: nothing in the generator says how many dropped frames
    follow.

    Args:
        gaps: (B, K) float, as `VideoDiT.sample` gives them.
        valid: (B, K) bool, with the slots in use first; the others repeat the last position.

    Returns:
        positions (B, K) int64 and total frames (B,) int64.
    """
    check_frame_mask("valid", valid, gaps)
    least = torch.ones(gaps.shape[1], device=gaps.device, dtype=torch.int64)
    least[:1] = 0
    whole = torch.maximum(gaps.float().round().to(torch.int64), least)
    if valid is not None:
        whole = whole * valid
    positions = torch.cumsum(whole, dim=1)
    return positions, positions[:, -1] + 1
