"""What the codec asks of a network, and nothing more.

`codec/` sees only `LatentModel`; the published VAE (through `published.PublishedCodec`) and the embedded
default satisfy it. Shapes use B clips, T frames, H × W pixels, N tokens per frame in raster order, C latent
channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from dfccodec.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """One batch of clips, encoded.

    Args:
        latents: (B, T, N, C) float32, before quantization.
        importance: (B, T) float32 in 0…1, the probability that a frame is worth keeping; 0 where not valid.
    """

    latents: Tensor
    importance: Tensor


FrameCallback: TypeAlias = "Callable[[int, Tensor], None]"
"""Takes a frame of a clip, its number and (height, width, 3), not clamped."""

DistortionFn: TypeAlias = "Callable[[int, Tensor], Tensor]"
"""As `Show`, and says how bad it is: a scalar, through which a gradient passes."""


def to_float01(pixels: Tensor) -> Tensor:
    """Pixels as floats in [0, 1]: bytes are divided by 255, floats pass. Bytes take a quarter of the memory."""
    return pixels if pixels.is_floating_point() else pixels.float() / 255


def emit_in_decode_order(video: Tensor, kept: Tensor, on_frame: FrameCallback) -> None:
    """Show the frames of (T, height, width, 3), those that are `kept` (T,) first."""
    for wanted in (True, False):
        for number, frame in enumerate(video):
            if kept[number].item() is wanted:
                on_frame(number, frame)


def gradient_whole_clip(
    model: LatentModel, latents: Tensor, kept: Tensor, height: int, width: int, qp: int, distortion: DistortionFn
) -> Tensor:
    """`LatentModel.gradient` of a network that makes all frames of a clip at once."""
    slots = latents.detach().requires_grad_()
    made = model.decode(slots[None], kept[None], height, width, qp)[0]
    error = made.new_zeros(())
    for number in kept.nonzero().flatten().tolist():
        error = error + distortion(number, made[number])
    if not error.requires_grad:
        raise UsageError("no gradient comes through its decoder")
    error.backward()  # type: ignore[no-untyped-call]
    assert slots.grad is not None
    return slots.grad


@runtime_checkable
class LatentModel(Protocol):
    """A network that turns clips into latents and importance, and kept latents into clips.

    `isinstance(x, LatentModel)` checks that the names are there, not their types.
    """

    @property
    def config_json(self) -> str:
        """The configuration, as `config.JsonConfig.to_json` writes it; it goes into every file."""
        ...

    @property
    def channels(self) -> int:
        """C: numbers per latent."""
        ...

    @property
    def patch(self) -> int:
        """Side of a token in pixels; N = (H / patch) · (W / patch)."""
        ...

    @property
    def tile(self) -> int:
        """Side in pixels of the only square the network takes, or 0 when it takes any multiple of `patch`."""
        ...

    @property
    def max_frames(self) -> int:
        """Most frames in a clip."""
        ...

    @property
    def steps(self) -> np.ndarray | None:
        """(C,) float32 quantizer base step of each channel, or None where the network has no opinion."""
        ...

    @property
    def synthesis_gain(self) -> float | None:
        """About what a squared unit of latent makes in squared error of pixels in [0, 1]; None where nobody knows."""
        ...

    @property
    def linear_transform(self) -> np.ndarray | None:
        """(C, patch · patch · 3) the orthonormal code of patches, samples in order row, column, colour, that latents
        are near to; None where they are near none. That of SPEC.md 7.7.2 gives smaller files.
        """
        ...

    @property
    def fill_token(self) -> Tensor:
        """(C,) what the decoder sees in place of a dropped frame's latents."""
        ...

    def encode(self, video: Tensor, qp: int, valid: Tensor | None = None, keep: int | None = None) -> Encoded:
        """Encode clips; the same input gives the same output.

        Args:
            video: (B, T, H, W, 3), float in [0, 1] or uint8 in 0…255.
            qp: quantizer index the latents will be coded with; a network may ignore it.
            valid: (B, T) bool, False for frames that only pad a short clip; None when all are real.
            keep: how many frames of the clip the caller will keep, the most important ones, where it knows; a network
                may order its importance for that number, and leave the latents of other frames unfinished.

        Raises:
            UsageError: a shape the network cannot take.
        """
        ...

    def decode(self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int) -> Tensor:
        """Decode clips: every frame comes back, kept or dropped, the last one too. Gradients pass.

        Args:
            latents: (B, T, N, C); what stands in dropped slots is ignored.
            kept: (B, T) bool; the network puts its fill token where it is False.
            height, width: pixels, multiples of `patch`.
            qp: quantizer index the latents were coded with.

        Returns:
            (B, T, height, width, 3) float32, not clamped.

        Raises:
            UsageError: a shape the network cannot take.
        """
        ...

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
        """As :meth:`decode`, of one clip: latents (T, N, C), kept (T,). Its frames are shown one by one, kept ones
        first, so that a network that makes one at a time need not hold them all.

        Args:
            on_frame: told the number of a frame and the frame, (height, width, 3) float32, not clamped.
            wanted: (T,) bool, frames the caller will look at; a network may leave out the others. None for all.
        """
        ...

    def gradient(
        self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int, distortion: DistortionFn
    ) -> Tensor:
        """How the latents of one clip would have to change for its kept frames to be worse; what `decode` takes.

        Args:
            latents: (T, N, C).
            kept: (T,) bool.
            distortion: told the number of a kept frame and the frame, (height, width, 3) float32, not clamped.

        Returns:
            (T, N, C) float32, the gradient of the sum of what `distortion` says; 0 in dropped slots.

        Raises:
            UsageError: no gradient comes through the network.
        """
        ...
