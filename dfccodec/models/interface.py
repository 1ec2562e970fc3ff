"""Interface between the codec and its networks.

`codec/` uses networks only through `LatentModel`. The published VAE (through `video_vae_adapter.VideoVAEAdapter`) and
`mini` implement it. Shapes use B clips, T frames, H × W pixels, N tokens per frame in raster order, C latent channels.
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
    """An encoded batch of clips.

    Args:
        latents: (B, T, N, C) float32, before quantization.
        importance: (B, T) float32 in 0…1, the probability that a frame is worth keeping; 0 for padding frames.
    """

    latents: Tensor
    importance: Tensor


FrameCallback: TypeAlias = "Callable[[int, Tensor], None]"
"""Called with the number of a frame and the frame, (height, width, 3), not clamped."""

DistortionFn: TypeAlias = "Callable[[int, Tensor], Tensor]"
"""Called like `FrameCallback`. Returns the distortion of the frame, a differentiable scalar."""


def to_float01(pixels: Tensor) -> Tensor:
    """Return pixels as floats in [0, 1]. uint8 pixels, which save memory, are divided by 255; floats are unchanged."""
    return pixels if pixels.is_floating_point() else pixels.float().div_(255)


def emit_in_decode_order(video: Tensor, kept: Tensor, on_frame: FrameCallback) -> None:
    """Call `on_frame` for the frames of (T, height, width, 3): kept frames first, then dropped frames."""
    for wanted in (True, False):
        for number, frame in enumerate(video):
            if kept[number].item() is wanted:
                on_frame(number, frame)


def gradient_whole_clip(
    model: LatentModel, latents: Tensor, kept: Tensor, height: int, width: int, qp: int, distortion: DistortionFn
) -> Tensor:
    """Implement `LatentModel.gradient` for a network that decodes all frames of a clip at once."""
    slots = latents.detach().requires_grad_()
    made = model.decode(slots[None], kept[None], height, width, qp)[0]
    error = made.new_zeros(())
    for number in kept.nonzero().flatten().tolist():
        error = error + distortion(number, made[number])
    if not error.requires_grad:
        raise UsageError("the decoder of the model is not differentiable")
    error.backward()  # type: ignore[no-untyped-call]
    assert slots.grad is not None
    return slots.grad


@runtime_checkable
class LatentModel(Protocol):
    """A network that encodes clips to latents and importance, and decodes latents of kept frames to clips.

    `isinstance(x, LatentModel)` checks only the names of attributes and methods.
    """

    @property
    def config_json(self) -> str:
        """Configuration in the form of `config.JsonConfig.to_json`; it is stored in each file."""
        ...

    @property
    def channels(self) -> int:
        """C, the width of a latent."""
        ...

    @property
    def patch(self) -> int:
        """Side of a token in pixels; N = (H / patch) · (W / patch)."""
        ...

    @property
    def tile(self) -> int:
        """Side in pixels of the square input that the network needs; 0 if it accepts all multiples of `patch`."""
        ...

    @property
    def max_frames(self) -> int:
        """Maximum number of frames in a clip."""
        ...

    @property
    def steps(self) -> np.ndarray | None:
        """(C,) float32 base quantizer step of each channel; None if the network does not define it."""
        ...

    @property
    def synthesis_gain(self) -> float | None:
        """Approximate squared error of pixels in [0, 1] per squared error of latents; None if unknown."""
        ...

    @property
    def linear_transform(self) -> np.ndarray | None:
        """(C, patch · patch · 3) the orthonormal code of patches, samples in order row, column, colour, that latents
        are near to; None where they are near none. That of SPEC.md 7.7.2 gives smaller files.
        """
        ...

    @property
    def fill_token(self) -> Tensor:
        """(C,) the decoder input in place of latents of a dropped frame."""
        ...

    def encode(self, video: Tensor, qp: int, valid: Tensor | None = None, keep: int | None = None) -> Encoded:
        """Encode clips. The result is deterministic.

        Args:
            video: (B, T, H, W, 3), float in [0, 1] or uint8 in 0…255.
            qp: quantizer index that the latents will be coded with; a network may ignore it.
            valid: (B, T) bool, False for padding frames of a short clip; None if there is no padding.
            keep: number of most important frames that the caller will keep; None if unknown. A network may optimize
                the importance for this number, and compute only approximate latents of all other frames.

        Raises:
            UsageError: the network does not support the shape.

        Returns:
            the latents and importance of every frame; see `Encoded`.
        """
        ...

    def decode(self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int) -> Tensor:
        """Decode all frames of clips, kept and dropped. The result is differentiable.

        Args:
            latents: (B, T, N, C); latents of dropped frames are ignored.
            kept: (B, T) bool; for dropped frames, the network uses its fill token.
            height, width: pixels, multiples of `patch`.
            qp: quantizer index that the latents were coded with.

        Returns:
            (B, T, height, width, 3) float32, not clamped.

        Raises:
            UsageError: the network does not support the shape.
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
        """Decode one clip frame by frame, in decode order (kept frames, then dropped frames).

        A network that decodes single frames need not store all of them. Other arguments and errors are as for
        :meth:`decode`.

        Args:
            latents: (T, N, C).
            kept: (T,) bool.
            on_frame: called with the number of a frame and the frame, (height, width, 3) float32, not clamped.
            wanted: (T,) bool, frames that the caller needs; a network may skip all others. None for all frames.
        """
        ...

    def gradient(
        self, latents: Tensor, kept: Tensor, height: int, width: int, qp: int, distortion: DistortionFn
    ) -> Tensor:
        """Return the gradient of the total distortion of the kept frames with respect to the latents of one clip, for
        refinement: small terms may be left out.

        Other arguments are as for :meth:`decode`.

        Args:
            latents: (T, N, C).
            kept: (T,) bool.
            distortion: called with the number of a kept frame and the frame, (height, width, 3) float32, not clamped.

        Returns:
            (T, N, C) float32; 0 for dropped frames.

        Raises:
            UsageError: the network is not differentiable.
        """
        ...
