"""The choice between predicted kept frames and inter coding, by D + λR of the kept frames of a clip.

Fast motion and flicker leave little to predict from pictures. Inter coding then needs fewer bits, and its errors are
not inherited by frames predicted later.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfccodec.codec.clip import tiles
from dfccodec.codec.clip.quantizer import dequantize, quantize_inter
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.predict.encoder import PredictedClip, inter_qp, rd_lambda
from dfccodec.codec.predict.pictures import transform
from dfccodec.container.records import Coding, Header
from dfccodec.entropy.latent_coding import encode_latents

Floats = npt.NDArray[np.float32]
Pictures = npt.NDArray[np.uint8]

LINEAR_MARGIN = 1.12
"""Ratio between D + λR in inter coding, estimated with the linear transform, and that of a predicted clip, from which
on inter coding is not considered. On 60 training clips at QP 20 to 32 the linear transform needs 9 % more bits than the
network."""

MIN_INTER_ERROR = 1.05
"""Squared error of a kept frame in inter coding, relative to that of the first predicted frame, at least: 1.12 to 2.2
times on 55 training clips, less what refinement saves."""

REFINED_ERROR = 0.95
"""Squared error of a clip after refinement, relative to that before."""


def inter_latents(
    frames: Pictures, done: PredictedClip, header: Header, loaded: LoadedModel, steps: np.ndarray, deadzone: float
) -> Floats | None:
    """Latents (K, tiles, rows, columns, C) of the kept frames if they are to be in inter coding; else None.

    Estimates come first: with the linear transform, then with the bits of the network. Few clips are decoded.

    Args:
        frames: the kept frames (K, H, W, 3).
        done: the same, predicted.
        header: header of the file.
        loaded: the model.
        steps: base quantizer steps (C,).
        deadzone: of the quantizer.
    """
    most, qp, padded = done.rd_cost, inter_qp(done.qp), tiles.pad(list(frames), header)
    least = MIN_INTER_ERROR * done.undetailed_error * len(frames)
    grid = -1, *header.grid, header.channels

    def coded(latents: Floats) -> tuple[np.ndarray, float]:
        """The integers, and their bits times λ."""
        now = quantize_inter(latents, steps, qp, deadzone, True)
        data = encode_latents(now.values, Coding.INTER, now.vectors)[0]
        return now.values, rd_lambda(done.qp) * 8 * len(data)

    linear = np.stack([transform(picture.astype(np.float32) / 255 - np.float32(0.5)) for picture in padded])
    if least + coded(linear.reshape(grid))[1] >= LINEAR_MARGIN * most:
        return None
    latents = loaded.encode(padded, qp)[0].reshape(grid)
    values, rate = coded(latents)
    if least + rate >= most:
        return None
    return latents if REFINED_ERROR * _decoded_error(values, frames, qp, header, loaded, steps) + rate < most else None


def _decoded_error(
    values: np.ndarray, frames: Pictures, qp: int, header: Header, loaded: LoadedModel, steps: np.ndarray
) -> float:
    """Squared error of frames (K, H, W, 3), in 0…1, decoded from integers (K, tiles, rows, columns, C)."""
    kept = np.ones(len(values), np.bool_)
    errors = []

    def add(number: int, picture: Floats) -> None:
        shown = np.clip(picture[: frames.shape[1], : frames.shape[2]], 0, 1)
        difference = (shown - frames[number].astype(np.float32) / 255).ravel()
        errors.append(float(difference @ difference))

    slots = dequantize(values, steps, qp).reshape(len(values), -1, values.shape[-1])
    height, width = tiles.padded_size(header)
    loaded.decode_frames(slots, kept, height, width, qp, add, kept)
    return sum(errors)
