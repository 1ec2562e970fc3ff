"""Regen, the generative decoder `mini-regen`: every frame of a clip from few kept frames and a motion latent.

REGEN (arXiv 2503.08665) replaces the decoder by a generator that is conditioned on a content latent z_c, the latents of
the kept frames, and a motion latent z_m, a few numbers per cell of a coarse grid. Both are expanded to every point in
time, C_e(x, y, t) = M_s(z_c(x, y) ⊕ M_t(t | z_m(x, y))), by networks of sines (Sitzmann et al. 2020, "SIREN") that are
modulated by z_m. There is no positional encoding, so size, frame number and frame rate are free.

Here z_m also is a flow: its numbers are the amplitudes of sines in time. The expansion corrects the flow, the decoded
kept frames are warped by it at full resolution, and a refiner predicts the picture from the warped one and noise (flow
matching with prediction of the picture, x-prediction). One step is enough, more are possible.

Shapes: B frames to decode, each from one or two references; cells are 32×32 pixels, gh × gw of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfccodec.models.config import JsonConfig
from dfccodec.models.mini_layers import zero_init

CELL = 32
"""Side in pixels of a cell of the motion latent."""

PATCH = 16
"""Side in pixels of a token of the content latent."""

TIME_UNIT = 16.0
"""Frames from a kept frame to τ = 1."""

PIXEL_UNIT = 16.0
"""Motion in pixels is divided by this before it enters a network."""


@dataclass(frozen=True)
class RegenConfig(JsonConfig):
    """Widths of `Regen`.

    Args:
        channels: width of a latent of the codec.
        waves: number of sines in time; z_m has 4 numbers per wave: sine and cosine, down and right.
        width: width of the expansion.
        fine, middle, coarse: widths of the refiner at 1/4, 1/8 and 1/16 of the picture.
    """

    family: ClassVar[str] = "mini-regen"

    channels: int = 96
    waves: int = 4
    width: int = 48
    fine: int = 48
    middle: int = 96
    coarse: int = 160

    def __post_init__(self) -> None:
        self.require_sizes()
        self.require(self.waves <= 16, "waves", "use 1 to 16")

    @property
    def numbers(self) -> int:
        """Numbers of z_m per cell."""
        return 4 * self.waves


@dataclass(frozen=True)
class Reference:
    """What one reference says of each of B frames.

    Args:
        picture: (B or 1, 3, H, W) in 0…1, the decoded kept frame.
        content: (B or 1, C, H/16, W/16) its latents.
        motion: (B or 1, 4 · waves, gh, gw) its motion latent in pixels.
        time: (B,) τ of each frame, 0 at the kept frame, in units of 16 frames.
        valid: (B,) bool, whether the frame has this reference.
    """

    picture: Tensor
    content: Tensor
    motion: Tensor
    time: Tensor
    valid: Tensor


def wave_basis(time: Tensor, waves: int) -> Tensor:
    """Functions of time that z_m is the amplitude of: τ (B,) → (B, 2 · waves), 0 at the kept frame (SPEC.md 6.8).

    sin(ω τ) of every wave, then 1 − cos(ω τ), with ω = π/2, π, 3π/2, …, which are the shapes of the principal
    components of block trajectories (`benchmarks/quality/trajectories.py`).
    """
    angle = time.float()[:, None] * (math.pi / 2) * torch.arange(1, waves + 1, device=time.device)
    return torch.cat([angle.sin(), 1 - angle.cos()], dim=1)


class Expansion(nn.Module):
    """C_e(x, y, t): sines of time modulated by z_m, joined with the content latent."""

    def __init__(self, config: RegenConfig) -> None:
        super().__init__()
        width = config.width
        self.phase1 = nn.Conv2d(config.numbers, width, 1)
        self.phase2 = nn.Conv2d(config.numbers, width, 1)
        self.rate = nn.Parameter(torch.linspace(0.3, 3.0, width))
        self.mix = nn.Conv2d(width, width, 1)
        self.content = nn.Conv2d(config.channels, width, 1)
        self.join = nn.Conv2d(2 * width, width, 3, padding=1)
        self.register_buffer("deviation", torch.ones(config.channels))

    def forward(self, ref: Reference, tokens: tuple[int, int]) -> Tensor:
        """Return (B, width, H/16, W/16)."""
        motion = ref.motion / PIXEL_UNIT
        h = torch.sin(self.rate[:, None, None] * ref.time.float()[:, None, None, None] + self.phase1(motion))
        h = torch.sin(self.mix(h) + self.phase2(motion))
        # A cell is two tokens wide; the last one may be half outside of the picture.
        h = h.repeat_interleave(CELL // PATCH, -1).repeat_interleave(CELL // PATCH, -2)[..., : tokens[0], : tokens[1]]
        content = self.content(ref.content / self.get_buffer("deviation")[:, None, None])
        joined: Tensor = self.join(torch.cat([h, content.expand_as(h)], dim=1))
        return F.silu(joined)


class Residual(nn.Module):
    """Two convolutions, shifted and scaled by a condition."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.modulation = nn.Linear(condition, 2 * width)
        zero_init(self.modulation)
        with torch.no_grad():
            self.conv2.weight.mul_(0.2)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, width, h, w) and (B, condition)."""
        shift, scale = self.modulation(condition)[..., None, None].chunk(2, dim=1)
        h = F.silu(torch.addcmul(shift, self.conv1(F.silu(x)), 1 + scale))
        return torch.add(x, self.conv2(h))


class FlowHead(nn.Module):
    """Correction of the flow, and the weight of a reference, at 1/8 of the picture."""

    def __init__(self, config: RegenConfig) -> None:
        super().__init__()
        width = config.width
        self.expanded = nn.Conv2d(width, width, 1)
        self.stem = nn.Conv2d(48 + 3 + 1, width, 3, padding=1)
        self.body = nn.ModuleList(Residual(width, 1) for _ in range(2))
        self.out = nn.Conv2d(width, 3, 3, padding=1)
        zero_init(self.out)

    def forward(self, warped: Tensor, flow: Tensor, expanded: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        """Warped picture (B, 3, H, W), flow (B, 2, H/8, W/8) in pixels and C_e → flow (B, 2, …), logit (B, 1, …)."""
        small = F.pixel_unshuffle(F.avg_pool2d(warped, 2), 4) - 0.5
        size = small.shape[2:]
        late = time[:, None, None, None].expand(-1, 1, *size)
        motion = torch.cat([flow / PIXEL_UNIT, flow.square().sum(1, keepdim=True).sqrt() / PIXEL_UNIT, late], dim=1)
        x = self.stem(torch.cat([small, motion.to(small.dtype)], dim=1))
        x = x + self.expanded(F.interpolate(expanded, size, mode="nearest"))
        for block in self.body:
            x = block(x, time[:, None].to(x.dtype))
        out = self.out(F.silu(x)).float()
        return flow + out[:, :2] * PIXEL_UNIT / 4, out[:, 2:]


class Refiner(nn.Module):
    """The picture, as a residual to the warped one: a U-Net over 4×4 pixels as channels."""

    def __init__(self, config: RegenConfig) -> None:
        super().__init__()
        fine, middle, coarse, condition = config.fine, config.middle, config.coarse, 32
        self.noise1 = nn.Linear(8, condition)
        self.stem = nn.Conv2d(48 + 48 + 16, fine, 3, padding=1)
        self.down1 = nn.Conv2d(fine, middle, 2, stride=2)
        self.down2 = nn.Conv2d(middle, coarse, 2, stride=2)
        self.expanded = nn.Conv2d(config.width, coarse, 1)
        self.fine1, self.fine2 = Residual(fine, condition), Residual(fine, condition)
        self.middle1, self.middle2 = Residual(middle, condition), Residual(middle, condition)
        self.coarse1, self.coarse2 = Residual(coarse, condition), Residual(coarse, condition)
        self.up2 = nn.Conv2d(coarse, 4 * middle, 1)
        self.up1 = nn.Conv2d(middle, 4 * fine, 1)
        self.out = nn.Conv2d(fine, 48, 3, padding=1)
        zero_init(self.out)

    def forward(
        self, warped: Tensor, extra: Tensor, noisy: Tensor, level: Tensor, time: Tensor, expanded: Tensor
    ) -> Tensor:
        """Warped and noisy picture (B, 3, H, W), extra (B, 1, H, W), level (B,) 0 for noise … 1, τ (B,), C_e."""
        angle = torch.stack([level, time.abs()], dim=1).float()[:, :, None] * math.pi / 2 * torch.tensor([1.0, 2.0])
        condition = F.silu(self.noise1(torch.cat([angle.sin(), angle.cos()], dim=1).flatten(1)))
        parts = [F.pixel_unshuffle(part, 4) for part in (warped - 0.5, noisy, extra)]
        x1 = self.fine1(self.stem(torch.cat(parts, dim=1)), condition)
        x2 = self.middle1(self.down1(x1), condition)
        x3 = self.coarse1(self.down2(x2) + self.expanded(expanded), condition)
        x3 = self.coarse2(x3, condition)
        x2 = self.middle2(x2 + F.pixel_shuffle(self.up2(x3), 2), condition)
        x1 = self.fine2(x1 + F.pixel_shuffle(self.up1(x2), 2), condition)
        return warped + F.pixel_shuffle(self.out(F.silu(x1)).float(), 4)


@dataclass(frozen=True)
class Warped:
    """The first half of the generator.

    Args:
        picture: (B, 3, H, W), the references, warped and blended.
        stretch: (B, 1, H, W), differences between neighbours in the flow, and how unsure the blend is.
        expanded: (B, width, H/16, W/16), C_e, blended.
        time: (B,) τ from the nearest reference.
    """

    picture: Tensor
    stretch: Tensor
    expanded: Tensor
    time: Tensor


class Regen(nn.Module):
    """Generator of dropped frames. H and W are multiples of 16.

    Args:
        config: widths; None for those of `mini-regen`.
    """

    def __init__(self, config: RegenConfig | None = None) -> None:
        super().__init__()
        self.config = config or RegenConfig()
        self.expansion = Expansion(self.config)
        self.flow_head = FlowHead(self.config)
        self.refiner = Refiner(self.config)

    @property
    def config_json(self) -> str:
        """Configuration as in weight files."""
        return self.config.to_json()

    def warp(self, references: list[Reference]) -> Warped:
        """Warp and blend the references (one or two) of B frames."""
        height, width = references[0].picture.shape[2:]
        pictures, flows, logits, expanded = [], [], [], []
        for ref in references:
            coarse = resize_flow(cell_flow(ref.motion, ref.time), height, width)
            first = warp_picture(ref.picture, coarse)
            features = self.expansion(ref, (height // PATCH, width // PATCH))
            flow, logit = self.flow_head(first, coarse, features, ref.time)
            pictures.append(warp_picture(ref.picture, flow))
            near = -(ref.time.abs() + 1 / TIME_UNIT).log()
            logit = logit + torch.where(ref.valid, near, -1e4)[:, None, None, None]
            logits.append(F.interpolate(logit, (height, width), mode="bilinear"))
            flows.append(flow)
            expanded.append(features)
        share = torch.stack(logits).softmax(dim=0)
        picture = (torch.stack(pictures) * share).sum(dim=0)
        sizes = torch.stack([F.interpolate(_spread(flow), (height, width), mode="bilinear") for flow in flows])
        token = torch.stack([F.avg_pool2d(part, PATCH) for part in share])
        times = torch.stack([ref.time.abs() + 1e4 * ~ref.valid for ref in references]).amin(dim=0)
        return Warped(
            picture, (sizes * share).sum(dim=0) + share.square().sum(dim=0) - 1,
            (torch.stack(expanded) * token).sum(dim=0), times,
        )  # fmt: skip

    def refine(self, warped: Warped, noisy: Tensor, level: Tensor) -> Tensor:
        """Predict the picture (B, 3, H, W) from a noisy one at `level` (B,), 0 for pure noise."""
        picture: Tensor = self.refiner(warped.picture, warped.stretch, noisy, level, warped.time, warped.expanded)
        return picture

    def generate(self, references: list[Reference], noise: Tensor, steps: int = 1) -> Tensor:
        """Generate B frames (B, 3, H, W), not clamped.

        Args:
            references: one or two.
            noise: (B or 1, 3, H, W), standard deviation 1.
            steps: Euler steps from noise to the picture.
        """
        warped = self.warp(references)
        state = noise.expand_as(warped.picture)
        picture = warped.picture
        for number in range(steps):
            level = torch.full((len(picture),), number / steps, device=picture.device)
            picture = self.refine(warped, state, level)
            # The straight path from here to the predicted picture (centred, as noise is).
            state = state + (2 * picture - 1 - state) / (steps - number)
        return picture


def cell_flow(motion: Tensor, time: Tensor) -> Tensor:
    """Flow of each cell: motion (B or 1, 4 · waves, gh, gw) in pixels, τ (B,) → (B, 2, gh, gw), down and right."""
    functions = motion.shape[1] // 2
    amplitudes = motion.float().reshape(len(motion), functions, 2, *motion.shape[2:])
    basis = wave_basis(time, functions // 2)
    return torch.einsum("bf,bfcyx->bcyx", basis, amplitudes.expand(len(time), -1, -1, -1, -1))


def resize_flow(flow: Tensor, height: int, width: int) -> Tensor:
    """Flow of cells (B, 2, gh, gw) → (B, 2, H/8, W/8), bilinear between centres; both in pixels."""
    rows, columns = (-(-side // CELL) * CELL // 8 for side in (height, width))
    return F.interpolate(flow, (rows, columns), mode="bilinear")[..., : height // 8, : width // 8]


def warp_picture(picture: Tensor, flow: Tensor, mode: str = "bicubic") -> Tensor:
    """Sample a picture (B or 1, 3, H, W) at each pixel plus flow (B, 2, h, w), in pixels: (B, 3, H, W)."""
    height, width = picture.shape[2:]
    flow = F.interpolate(flow.float(), (height, width), mode="bilinear")
    y = torch.arange(height, device=flow.device)[:, None] + flow[:, 0] + 0.5
    x = torch.arange(width, device=flow.device) + flow[:, 1] + 0.5
    where = torch.stack([x * (2 / width) - 1, y * (2 / height) - 1], dim=-1)
    return F.grid_sample(
        picture.float().expand(len(flow), -1, -1, -1), where, mode=mode, padding_mode="border", align_corners=False
    )


def _spread(flow: Tensor) -> Tensor:
    """Divergence-like measure of a flow (B, 2, h, w), (B, 1, h, w): where it is large, parts appear or disappear."""
    down = F.pad(flow[:, :, 1:] - flow[:, :, :-1], (0, 0, 0, 1))
    right = F.pad(flow[:, :, :, 1:] - flow[:, :, :, :-1], (0, 1))
    return (down.abs() + right.abs()).sum(dim=1, keepdim=True) / PIXEL_UNIT
