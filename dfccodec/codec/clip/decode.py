"""Decode one clip: its record and integers to frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from dfccodec.codec import fill
from dfccodec.codec.clip import tiles
from dfccodec.codec.clip.frame_buffer import NETWORK_BYTES, OUTPUT_BYTES, ClipFrameBuffer, decode_order
from dfccodec.codec.clip.quantizer import dequantize
from dfccodec.codec.fill.generate.policy import GenerateFill
from dfccodec.codec.motion.blend import ReferenceBlender
from dfccodec.codec.predict.pictures import decode_kept
from dfccodec.container.reader import Preamble
from dfccodec.container.records import Clip, Coding, Header
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.errors import LimitError, UnsupportedError
from dfccodec.models.identity import exact_decoder_needed
from dfccodec.runtime.resources import available_cpus, available_memory

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel


def decode_clip(clip: Clip, preamble: Preamble, loaded: LoadedModel) -> np.ndarray:
    """Decode all frames of a clip, kept and dropped: (T, H, W, 3) uint8, rounded half up."""
    header = preamble.header
    if clip.fill not in fill.POLICIES:  # reject it before the work
        raise UnsupportedError(f"fill policy {clip.fill} is unknown: get a newer dfc, or decode with --fill hold")
    check_memory(clip, header, available_memory())
    return reconstruct_clip(clip, decode_latents(clip, header), header, preamble.steps, loaded)


def check_memory(clip: Clip, header: Header, free: int | None) -> None:
    """Reject a clip whose frames do not fit into memory: a dropped frame costs a byte in the file (SPEC.md 12.2).

    All frames are stored as uint8, and the reference frames as float32 too.

    Raises:
        LimitError: the frames need more than `free` bytes. If `free` is None (unknown), every clip is accepted.
    """
    tiles_, rows, columns = header.grid
    seen, made = header.width * header.height, tiles_ * rows * columns * header.patch**2
    held = clip.frames if header.tile else clip.kept.sum() if clip.fill_payload or fill.policy(clip.fill).blends else 1
    needed = clip.frames * seen * OUTPUT_BYTES + int(held) * max(seen, made) * NETWORK_BYTES
    if free is not None and needed > free:
        raise LimitError(
            f"clip of {clip.frames} frames of {header.width}×{header.height} takes {needed / 2**30:.1f} GiB to decode, "
            f"{free / 2**30:.1f} GiB are free: decode it where there is more memory"
        )


def reconstruct_clip(
    clip: Clip, values: np.ndarray, header: Header, steps: np.ndarray, loaded: LoadedModel
) -> np.ndarray:
    """Decode a clip from its integers: (T, H, W, 3) uint8."""
    latents = dequantize(values, steps, clip.qp) if isinstance(fill.policy(clip.fill), GenerateFill) else None
    with ClipFrameBuffer(clip, header, available_cpus(), latents) as buffer:
        run_decoder_network(clip, values, header, steps, loaded, buffer.add_frame, not buffer.fused)
    return buffer.frames


def run_decoder_network(
    clip: Clip, values: np.ndarray, header: Header, steps: np.ndarray, loaded: LoadedModel,
    on_frame: Callable[[int, np.ndarray], None], blend: bool = True,
) -> None:  # fmt: skip
    """Run the decoder network on the integers of a clip.

    If `blend` is False, fill policy `blend` gives only kept frames.

    `on_frame` gets the number and picture (H, W, 3) float32, not clamped, of each frame in decode order.
    """
    policy = fill.policy(clip.fill)
    if blend and policy.blends and clip.kept.any():
        on_frame = ReferenceBlender(clip.kept, on_frame)
    if clip.coding == Coding.PREDICTED and clip.kept.any():
        if loaded.file_model is not None:
            raise exact_decoder_needed(loaded.file_model)
        decode_kept(clip, values, header, steps, loaded, on_frame)
        return
    latents = dequantize(values, steps, clip.qp)
    _, rows, columns = header.grid

    def slots(tile: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = latents[:, tile].reshape(
            len(latents), rows * columns, header.channels
        )  # -1 fails if there is no kept frame
        return policy.fill(tokens, clip.kept, clip.fill_payload)

    if header.tile:
        side = header.tile
        made = [loaded.decode(*slots(tile), side, side, clip.qp) for tile in range(values.shape[1])]
        frames = tiles.join(made, header)
        for number in decode_order(clip.kept):
            on_frame(number, frames[number])
    else:

        def cropped(number: int, frame: np.ndarray) -> None:
            on_frame(number, frame[: header.height, : header.width])

        wanted = clip.kept if policy.blends and clip.kept.any() else None
        loaded.decode_frames(*slots(0), *tiles.padded_size(header), clip.qp, cropped, wanted)
