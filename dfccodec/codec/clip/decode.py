"""Decodes one clip: its record and the integers in it in, pictures out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from dfccodec.codec import fill
from dfccodec.codec.clip import tiles
from dfccodec.codec.clip.frame_buffer import MADE_BYTES, SHOWN_BYTES, ClipFrameBuffer, decode_order
from dfccodec.codec.clip.quantizer import dequantize
from dfccodec.container.reader import Preamble
from dfccodec.container.records import Clip, Header
from dfccodec.entropy.latent_coding import decode_clip_integers
from dfccodec.errors import LimitError
from dfccodec.runtime.resources import available_cpus, available_memory

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel


def decode_clip(clip: Clip, preamble: Preamble, loaded: LoadedModel) -> np.ndarray:
    """All frames of a clip, kept and dropped: (T, H, W, 3) uint8, rounded half up."""
    header = preamble.header
    fill.policy(clip.fill)  # an unknown one is refused before the work
    check_memory(clip, header, available_memory())
    return reconstruct_clip(clip, decode_clip_integers(clip, header), header, preamble.steps, loaded)


def check_memory(clip: Clip, header: Header, free: int | None) -> None:
    """Refuse a clip whose pictures alone do not fit: a dropped frame costs a byte in the file (SPEC.md 12.2).

    All its frames are held as they are shown; as the model makes them, those that others are made from.

    Raises:
        LimitError: they take more than `free` bytes; None is unknown, and nothing is refused.
    """
    tiles_, rows, columns = header.grid
    seen, made = header.width * header.height, tiles_ * rows * columns * header.patch**2
    held = clip.frames if header.tile else clip.kept.sum() if clip.fill_payload else 1
    needed = clip.frames * seen * SHOWN_BYTES + int(held) * max(seen, made) * MADE_BYTES
    if free is not None and needed > free:
        raise LimitError(
            f"clip of {clip.frames} frames of {header.width}×{header.height} takes {needed / 2**30:.1f} GiB to decode, "
            f"{free / 2**30:.1f} GiB are free: decode it where there is more memory"
        )


def reconstruct_clip(
    clip: Clip, values: np.ndarray, header: Header, steps: np.ndarray, loaded: LoadedModel
) -> np.ndarray:
    """The frames of a clip from its integers: (T, H, W, 3) uint8."""
    with ClipFrameBuffer(clip, header, available_cpus()) as canvas:
        run_decoder_network(clip, values, header, steps, loaded, canvas.add_frame)
    return canvas.frames


def run_decoder_network(
    clip: Clip, values: np.ndarray, header: Header, steps: np.ndarray, loaded: LoadedModel,
    on_frame: Callable[[int, np.ndarray], None],
) -> None:  # fmt: skip
    """What the model makes of a clip's integers: each frame, (H, W, 3) float32, not clamped, kept ones first."""
    latents = dequantize(values, steps, clip.qp)
    policy = fill.policy(clip.fill)
    _, rows, columns = header.grid

    def slots(tile: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = latents[:, tile].reshape(len(latents), rows * columns, header.channels)  # no -1: there may be none
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

        loaded.decode_frames(*slots(0), *tiles.padded_size(header), clip.qp, cropped)
