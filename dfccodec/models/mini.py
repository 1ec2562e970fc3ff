"""`mini`, the embedded default model: a PCA transform with residual convolutional branches, for any picture size.

A 16×16 patch (768 numbers) is projected on its 96 principal components; the transpose is the inverse transform. Two
convolutional branches are added, both zero-initialized. One corrects the latents of each frame before quantization,
the other corrects the decoded picture. Both get the quantizer index (QP) as input, so one set of weights serves all
rates.

In the first stage of the decoder, each frame of a patch attends to the kept frames of that patch. This averages
quantization noise in static areas, and reconstructs dropped frames. The input of a dropped frame is the interpolation
of the adjacent kept frames plus the learned fill token. Frames are encoded independently, so any of them can be dropped
later (`dfc trim`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from dfccodec.models.config import JsonConfig
from dfccodec.models.importance import clip_importance, part_height
from dfccodec.models.interface import DistortionFn, Encoded, FrameCallback, to_float01
from dfccodec.models.mini_layers import (
    CHANNELS,
    MAX_FRAMES,
    PATCH,
    CallStrategy,
    Conv2d,
    PCATransform,
    ResidualStack,
    TimeAttention,
    backward_from,
    call_checkpointed,
    call_directly,
    call_straight_through,
    channels_last,
    qp_features,
    unshuffle_pixels,
    zero_init,
)
from dfccodec.models.mini_slots import Slots

_CHUNK_FRAMES = 8
"""Number of frames that a block of the trunk processes at once."""

_BATCH_PIXELS = 1 << 18
"""Pixels of the frames that are encoded at once. In batches, convolutions of small pictures are faster: at 256×256 the
network takes a fifth less time. Those of large pictures are slower."""

BASE_STEP = 0.02
"""Quantizer step at QP 0, in units of an orthonormal projection of pixels in [0, 1]."""


@dataclass(frozen=True)
class MiniConfig(JsonConfig):
    """Widths and depths of `mini`. All other properties are fixed in this module.

    Args:
        width: channels at 1/16 scale.
        width8: channels at 1/8 scale.
        width4: channels at 1/4 scale (decoder only).
        encoder_blocks: residual blocks at (1/8, 1/16).
        decoder_blocks: residual blocks at (1/16, 1/8, 1/4).
        heads: number of attention heads over time, a divisor of `width`.
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
    """Correction of the latents: (B, 3, H, W) -> (B, 96, H/16, W/16), in units of `PCATransform.scale`."""

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.stem = Conv2d(3 * 64, config.width8, 1)
        self.stage8 = ResidualStack(config.width8, config.encoder_blocks[0])
        self.down = Conv2d(config.width8 * 4, config.width, 1)
        self.stage16 = ResidualStack(config.width, config.encoder_blocks[1])
        self.head = Conv2d(config.width, CHANNELS, 1)
        zero_init(self.head)

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        """Frames (B, 3, H, W) in [0, 1] and `qp_features` (B, 4) -> correction (B, 96, H/16, W/16)."""
        h = self.stem(unshuffle_pixels((x - 0.5).mul_(2), 8))
        h = self.down(channels_last(F.pixel_unshuffle(self.stage8(h, q), 2)))
        out: Tensor = self.head(F.relu(self.stage16(h, q)))
        return out


class Trunk(nn.Module):
    """The decoder at 1/16 scale: convolutions within each frame, attention over time for each patch.

    Slots contain the kept frames, then the wanted dropped frames. Attention reads only kept frames, so the result for a
    dropped frame does not depend on the other wanted frames.
    """

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.stem = Conv2d(CHANNELS, config.width, 1)
        self.place = nn.Linear(4, config.width, bias=False)
        self.blocks = ResidualStack(config.width, config.decoder_blocks[0]).blocks
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
        """Normalized latents (B, S, 96, h, w) and `qp_features` (B, 4) -> features (B, S, width, h, w).

        `frame_index` (S,), `position_features` (S, 4) and `num_kept` are those of `Slots`. `call` calls the
        convolutions and the parts of the attention.
        """
        b, s = z.shape[:2]
        q = q.repeat_interleave(s, dim=0)
        h = self.stem(channels_last(z.flatten(0, 1)))
        h = h + self.place(position_features).to(h.dtype).repeat(b, 1)[:, :, None, None]
        for block, time in zip(self.blocks, self.time, strict=True):
            x = h.reshape(b, s, *h.shape[1:])
            if call is call_straight_through:
                h = call(time, x, frame_index, num_kept).flatten(0, 1)
            else:
                h = time(x, frame_index, num_kept, call).flatten(0, 1)
            # To save memory, process a few frames at a time: intermediate activations are wider than the features.
            chunk = len(h) if torch.is_grad_enabled() and call is call_directly else _CHUNK_FRAMES
            parts = zip(torch.split(h, chunk), torch.split(q, chunk), strict=True)
            h = torch.cat([call(block, channels_last(part), rate) for part, rate in parts])
        out: Tensor = h.reshape(b, s, *h.shape[1:])
        return out


class FrameDecoder(nn.Module):
    """Correction of the picture: features at 1/16 scale and the PCA reconstruction -> (B, 3, H, W)."""

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.up8 = Conv2d(config.width, config.width8 * 4, 1)
        self.stage8 = ResidualStack(config.width8, config.decoder_blocks[1])
        self.up4 = Conv2d(config.width8, config.width4 * 4, 1)
        self.merge = Conv2d(config.width4 + 48, config.width4, 3, padding=1)
        self.stage4 = ResidualStack(config.width4, config.decoder_blocks[2])
        self.head = Conv2d(config.width4, 48, 3, padding=1)
        zero_init(self.head)

    def forward(self, h: Tensor, linear: Tensor, q: Tensor) -> Tensor:
        """Features (B, width, h, w), PCA reconstruction (B, 3, 16 h, 16 w), `qp_features` (B, 4) -> its correction."""
        h = channels_last(F.pixel_shuffle(self.up8(h), 2))
        h = F.pixel_shuffle(self.up4(self.stage8(h, q)), 2)
        h = torch.cat([h, F.pixel_unshuffle((linear - 0.5).mul_(2).to(h.dtype), 4)], dim=1)
        h = self.stage4(self.merge(channels_last(h)), q)
        return F.pixel_shuffle(self.head(F.relu(h)), 4)


class Mini(nn.Module):
    """The network of `--model mini`, a :class:`dfccodec.models.interface.LatentModel`."""

    channels = CHANNELS
    patch = PATCH
    tile = 0
    max_frames = MAX_FRAMES
    synthesis_gain = 1.0
    """The PCA transform is orthonormal, and the corrections are small."""

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
        """See `interface.LatentModel`."""
        return self.config.to_json()

    @property
    def steps(self) -> np.ndarray | None:
        """(96,) float32 quantizer steps at QP 0."""
        return np.full(CHANNELS, BASE_STEP, dtype=np.float32)

    @property
    def linear_transform(self) -> np.ndarray | None:
        """See `interface.LatentModel`."""
        basis: np.ndarray = self.linear.basis.detach().float().cpu().numpy()
        return basis

    @property
    def fill_token(self) -> Tensor:
        """(96,) the learned fill token, in latent units."""
        return self.token.detach() * self.linear.scale.detach()

    def analyse(self, x: Tensor, qp: Tensor) -> Tensor:
        """Frames (B, 3, H, W) in [0, 1] at QP (B,) -> latents (B, 96, H/16, W/16), not quantized."""
        return self.linear.analyse(x) + self._correction(x, qp)

    def _correction(self, x: Tensor, qp: Tensor) -> Tensor:
        out: Tensor = self.encoder(x, qp_features(qp)).float() * self.linear.scale[:, None, None]
        return out

    def fill(self, z: Tensor, slots: Slots) -> Tensor:
        """Latents of kept frames (B, K, 96, h, w) -> latents of all slots (B, S, 96, h, w).

        Latents of dropped frames are interpolated. If no frame is kept, all latents are zero, which is the mean patch.
        """
        if slots.num_kept == 0:
            return z.new_zeros(z.shape[0], len(slots.frame_index), *z.shape[2:])
        fraction = slots.position_features[:, 1, None, None, None]
        return torch.lerp(z[:, slots.past], z[:, slots.future], fraction)

    def features(self, filled: Tensor, slots: Slots, qp: Tensor, call: CallStrategy = call_directly) -> Tensor:
        """Latents of all slots (B, S, 96, h, w) at QP (B,) -> features (B, S, width, h, w)."""
        token = self.token[:, None, None] * slots.position_features[:, 0, None, None, None]
        normal = filled / self.linear.scale[:, None, None] + token
        out: Tensor = self.trunk(
            normal, slots.frame_index, slots.position_features, slots.num_kept, qp_features(qp), call
        )
        return out

    def picture(self, filled: Tensor, features: Tensor, qp: Tensor) -> Tensor:
        """Latents (B, 96, h, w) and features (B, width, h, w) at QP (B,) -> frames (B, 3, 16h, 16w), not clamped."""
        x = self.linear.synthesise(filled)
        correction: Tensor = self.decoder(features, x, qp_features(qp))
        return x + correction if torch.is_grad_enabled() else x.add_(correction)  # pictures take much memory

    @torch.inference_mode()
    def encode(self, video: Tensor, qp: int, valid: Tensor | None = None, keep: int | None = None) -> Encoded:
        """See `interface.LatentModel.encode`. H and W are multiples of 16; `valid` is ignored.

        The `keep` most important frames are the optimal selection of that size (see `models.importance`). Importance
        is computed from PCA latents, so the network runs only for these frames.
        """
        index = torch.full((1,), qp, device=video.device)
        step = BASE_STEP * 2.0 ** (qp / 8)
        latents, scores = [], []
        for clip in rearrange(video, "b t h w c -> b t c h w"):
            score = clip_importance(self._project_parts(clip), step, keep)
            best = torch.from_numpy(np.argsort(-score, kind="stable")[:keep])
            # Empty: latents that nobody asks for take no memory.
            z = torch.empty(len(clip), clip.shape[2] // PATCH, clip.shape[3] // PATCH, CHANNELS, device=clip.device)
            for frames in torch.split(best, max(1, _BATCH_PIXELS // clip[0, 0].numel())):
                for frame in frames:
                    z[frame] = self.linear.project(clip[frame][None])[0]
                z[frames] += self._correction(to_float01(clip[frames]), index).permute(0, 2, 3, 1)
            latents.append(z.flatten(1, 2))
            scores.append(torch.from_numpy(score))
        # A copy of a clip's latents takes as much memory as its frames.
        every = latents[0][None] if len(latents) == 1 else torch.stack(latents)
        return Encoded(every, torch.stack(scores).to(video.device))

    def _project_parts(self, clip: Tensor) -> Iterator[np.ndarray]:
        """Yield PCA latents (T, D) of one horizontal part of all frames of a clip (T, 3, H, W) after the other."""
        for part in torch.split(clip, part_height(clip.shape[3], PATCH, CHANNELS), dim=2):
            yield np.stack([self.linear.project(pixels[None])[0].flatten().cpu().numpy() for pixels in part])

    def decode(self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int) -> Tensor:
        """See `interface.LatentModel.decode`."""
        rows, columns = height // PATCH, width // PATCH
        z = rearrange(latents, "b t (h w) c -> b t c h w", h=rows, w=columns)
        index = torch.full((1,), qp, device=z.device)
        every = np.ones(z.shape[1], bool)
        clips = []
        for clip, mask in zip(z, kept.cpu().numpy(), strict=True):
            made = dict(self._decode_pictures(clip, mask, every, index))
            # Stack frames instead of writing into one tensor: its gradient would need a copy for each frame.
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
        """See `interface.LatentModel.decode_frames`."""
        rows, columns = height // PATCH, width // PATCH
        z = rearrange(latents, "t (h w) c -> t c h w", h=rows, w=columns)
        mask = kept.cpu().numpy()
        index = torch.full((1,), qp, device=z.device)
        selected = np.ones(len(mask), bool) if wanted is None else wanted.cpu().numpy()
        for frame, picture in self._decode_pictures(z, mask, selected, index):
            on_frame(frame, picture)

    def gradient(
        self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int, distortion: DistortionFn
    ) -> Tensor:
        """See `interface.LatentModel.gradient`. It stores the activations of only one frame at a time.

        The gradient of the trunk is that of the identity: the true one takes a tenth of the time of an encode and, with
        one iteration of a refinement, changes the bits at equal PSNR by less than 0.1 %.
        """
        z = rearrange(latents.detach(), "t (h w) c -> t c h w", h=height // PATCH, w=width // PATCH).requires_grad_()
        index = torch.full((1,), qp, device=z.device)
        slots = Slots.from_mask(kept.cpu().numpy(), np.zeros(0, np.int64)).to(z.device)
        with torch.enable_grad():
            filled = self.fill(z[None, slots.frame_index], slots)
            features = self.features(filled, slots, index, call_straight_through)
            ends = [slot for tensor in (filled, features) for slot in tensor.unbind(1)]
            leaves = [end.detach().requires_grad_() for end in ends]
            for slot, frame in enumerate(slots.frame_index.tolist()):
                picture = self.picture(leaves[slot], leaves[slots.num_kept + slot], index)
                torch.autograd.backward(distortion(frame, rearrange(picture, "1 c h w -> h w c")))
            backward_from(ends, [cast(Tensor, leaf.grad) for leaf in leaves])
        assert z.grad is not None
        return rearrange(z.grad, "t c h w -> t (h w) c")

    def _decode_pictures(
        self, clip: Tensor, kept: np.ndarray, wanted: np.ndarray, qp: Tensor
    ) -> Iterator[tuple[int, Tensor]]:  # fmt: skip
        """Yield number and picture (16h, 16w, 3) of the `wanted` (T,) frames of a clip (T, 96, h, w) at QP (1,)."""
        slots = Slots.from_mask(kept, np.flatnonzero(wanted & ~kept)).to(clip.device)
        filled = self.fill(clip[None, slots.frame_index[: slots.num_kept]], slots)
        features = self.features(filled, slots, qp, call_checkpointed)
        for slot, frame in enumerate(slots.frame_index.tolist()):
            if wanted[frame]:
                picture = call_checkpointed(self.picture, filled[:, slot], features[:, slot], qp)
                yield frame, rearrange(picture, "1 c h w -> h w c")
