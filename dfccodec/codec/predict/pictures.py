"""Pictures of predicted kept frames (SPEC.md 7.10.2): motion-compensated prediction plus a residual."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfccodec.codec.clip.quantizer import dequantize, step_sizes
from dfccodec.codec.clip.tiles import padded_size
from dfccodec.codec.motion.blend import Blend, clamp
from dfccodec.codec.motion.blocks import References
from dfccodec.codec.motion.direct import DirectMotion
from dfccodec.codec.motion.obmc import PADDING, blend_weight, compensate_frame, pad_edges
from dfccodec.codec.predict.detail import inverse
from dfccodec.codec.predict.order import read_motion
from dfccodec.container.records import Clip, Header, MotionFilter
from dfccodec.entropy.inter.motion_compensation import BASIS_SCALE, CHANNELS, PATCH, basis
from dfccodec.entropy.predicted import decode_detail, divide

if TYPE_CHECKING:
    from dfccodec.codec.loaded_model import LoadedModel

Floats = npt.NDArray[np.float32]


class ReferencePictures:
    """Decoded pictures of kept frames, padded as the motion compensation needs them, its filter and direct motion.

    Attributes:
        direct: direct motion of the frames so far; None for clips without.
    """

    def __init__(self, motion_filter: MotionFilter, direct: bool) -> None:
        self._filter = motion_filter
        self.direct = DirectMotion() if direct else None
        self._padded: dict[int, Floats] = {}

    def add(
        self, frame: int, picture: Floats, past: int = -1, future: int = -1, blocks: npt.NDArray[np.int16] | None = None
    ) -> Floats:  # fmt: skip
        """Add the picture (H, W, 3), in 0…1, of a frame. Returns it as a view of the padded one.

        A predicted frame comes with its references and its decisions (rows, columns, 5).
        """
        if self.direct is not None and blocks is not None:
            self.direct.add(frame, past, future, blocks)
        padded = self._padded[frame] = pad_edges(picture)
        return padded[PADDING:-PADDING, PADDING:-PADDING]

    def keep(self, frames: set[int]) -> None:
        """Forget all pictures but these."""
        self._padded = {frame: picture for frame, picture in self._padded.items() if frame in frames}

    def predict(self, frame: int, past: int, future: int, blocks: npt.NDArray[np.int16]) -> Floats:
        """The prediction (H, W, 3) of a frame from its references (−1: none) by its decisions (rows, columns, 5)."""
        if self.direct is not None:
            blocks = self.direct.fill(frame, past, future, blocks)
        a, b = self._padded.get(past), self._padded.get(future)
        if not blocks.any():
            return self.estimate(frame, past, future)()
        view = self[past if past >= 0 else future]
        blocks = np.ascontiguousarray(blocks)
        return compensate_frame(view, a, b, blocks, self._filter, blend_weight(frame, past, future))

    def estimate(self, frame: int, past: int, future: int) -> Blend:
        """The blend of the references, the prediction where nothing moves."""
        a, b = (self[side if side >= 0 else max(past, future)] for side in (past, future))
        return Blend(a, b if past >= 0 and future >= 0 else a, blend_weight(frame, past, future))

    def __getitem__(self, frame: int) -> Floats:
        """The picture (H, W, 3) of a frame."""
        return self._padded[frame][PADDING:-PADDING, PADDING:-PADDING]


def add_residual(prediction: Floats, values: npt.NDArray[np.int16], sizes: npt.NDArray[np.float64]) -> Floats:
    """Add a residual to a prediction (H, W, 3), and clamp the picture to 0…1.

    Args:
        prediction: in 0…1.
        values: integers (rows, columns, 96) of the residual.
        sizes: quantizer steps (96,).
    """
    height, width = prediction.shape[:2]
    rows, columns = values.shape[:2]
    coded = values.any(axis=-1)
    if not coded.any():
        return clamp(prediction)
    cells = np.zeros((rows, columns, PATCH * PATCH * 3), np.float32)
    levels = (values[coded].astype(np.float64) * sizes).astype(np.float32)
    cells[coded] = levels @ orthonormal_basis()
    pixels = cells.reshape(rows, columns, PATCH, PATCH, 3).swapaxes(1, 2).reshape(rows * PATCH, columns * PATCH, 3)
    return clamp(prediction + pixels[:height, :width])


def detail_step(steps: np.ndarray, qp: int) -> float:
    """Quantizer step of details: that of channel 0 of the model, in samples of 0…1."""
    return float(step_sizes(steps, qp)[0])


def add_details(picture: Floats, values: npt.NDArray[np.int16], step: float) -> Floats:
    """Add details, integers (rows, columns, 192), to a picture (H, W, 3), and clamp it to 0…1."""
    height, width = picture.shape[:2]
    return clamp(picture + inverse(values, step)[:height, :width])


@lru_cache(maxsize=1)
def orthonormal_basis() -> Floats:
    """The linear transform of the format (96, 768), its rows of length 1."""
    out: Floats = (basis() / BASIS_SCALE).astype(np.float32)
    return out


def transform(picture: Floats) -> Floats:
    """Forward transform of a picture (H, W, 3) of whole cells: (rows, columns, 96)."""
    height, width, _ = picture.shape
    cells = picture.reshape(height // PATCH, PATCH, width // PATCH, PATCH, 3).swapaxes(1, 2)
    out: Floats = cells.reshape(height // PATCH, width // PATCH, -1) @ orthonormal_basis().T
    return out


def transform_residual(residual: Floats, header: Header) -> Floats:
    """Forward transform of a residual (H, W, 3): (rows, columns, 96). Outside of the picture it is 0."""
    padded = np.zeros((*padded_size(header), 3), np.float32)
    padded[: residual.shape[0], : residual.shape[1]] = residual
    return transform(padded)


def decode_intra(
    values: npt.NDArray[np.int16], qp: int, header: Header, steps: np.ndarray, loaded: LoadedModel
) -> Floats:
    """Decode an intra frame from its integers (rows, columns, C) by the network: (H, W, 3), clamped to 0…1."""
    latents = dequantize(values, steps, qp).reshape(1, -1, CHANNELS)
    made = loaded.decode(latents, np.ones(1, bool), *padded_size(header), qp)[0]
    return clamp(made[: header.height, : header.width])


def decode_kept(
    clip: Clip, values: np.ndarray, header: Header, steps: np.ndarray, loaded: LoadedModel,
    on_frame: Callable[[int, np.ndarray], None],
) -> None:  # fmt: skip
    """Decode the kept frames of a clip.

    Args:
        values: integers (K, 1, rows, columns, C), in order of frames.
        on_frame: gets number and picture (H, W, 3) float32, in 0…1, of each kept frame in coding order.

    Raises:
        DamagedError, LimitError: the motion or the details are invalid.
    """
    order, parts, field = clip.coding_order, divide(clip), read_motion(clip, header)
    types = parts.types
    rank, pictures = np.argsort(np.argsort(order)), ReferencePictures(parts.motion_filter, parts.direct)
    needed = _last_uses(order.tolist(), field.references)
    at = {frame: number for number, frame in enumerate(field.references.dropped.tolist())}
    for position, frame in enumerate(order.tolist()):
        now, qp = values[rank[position], 0], int(types.qp[position])
        moved: tuple[int, int, npt.NDArray[np.int16]] | None = None
        if types.intra[position]:
            picture = decode_intra(now, qp, header, steps, loaded)
        else:
            number = at[frame]
            moved = int(field.references.past[number]), int(field.references.future[number]), field.blocks[number]
            picture = add_residual(pictures.predict(frame, *moved), now, step_sizes(steps, qp))
        detail = parts.details[position]
        if detail is not None:
            picture = add_details(picture, decode_detail(detail, header), detail_step(steps, detail.qp))
        on_frame(frame, picture)
        pictures.add(frame, picture, *moved or ())
        pictures.keep({other for other, last in needed.items() if last > position})


def _last_uses(order: list[int], references: References) -> dict[int, int]:
    """Position in the coding order of the last frame that refers to each frame."""
    out: dict[int, int] = {}
    for frame, past, future in zip(references.dropped.tolist(), references.past, references.future, strict=True):
        for side in (int(past), int(future)):
            out[side] = max(out.get(side, -1), order.index(frame))
    return out
