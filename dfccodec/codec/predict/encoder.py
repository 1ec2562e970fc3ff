"""Encoder of predicted kept frames: each frame is predicted from decoded pictures and its residual is coded, or it is
coded as an intra frame, by D + λR."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dfccodec.codec.clip import tiles
from dfccodec.codec.clip.quantizer import Quantized, quantize, step_sizes
from dfccodec.codec.clip.refine import RefinementTarget, refine
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import MotionField, References
from dfccodec.codec.motion.motion_encoder import LAMBDA_SCALE, Effort, MotionSearch, lambda_for_qp
from dfccodec.codec.motion.pyramid import Pyramid
from dfccodec.codec.predict.detail import forward
from dfccodec.codec.predict.order import bisecting_order, order_importance, references
from dfccodec.codec.predict.pictures import (
    ReferencePictures,
    add_details,
    add_residual,
    decode_intra,
    detail_step,
    transform,
    transform_residual,
)
from dfccodec.codec.predict.residual_quantizer import (
    COEFF_LAMBDA,
    is_coded,
    quantize_cells,
    quantize_residual,
    saved_error,
)
from dfccodec.container.records import Header
from dfccodec.entropy.inter.motion_compensation import CHANNELS, PATCH
from dfccodec.entropy.mixing.tables import Content
from dfccodec.entropy.motion_tools import encoder_filter
from dfccodec.entropy.predicted import DETAIL_CHANNELS, Detail, FrameTypes, encode_detail, join
from dfccodec.entropy.rans import encode_range
from dfccodec.limits import MAX_QP
from dfccodec.models.importance import clip_importance, part_height
from dfccodec.runtime.resources import available_cpus

Floats = npt.NDArray[np.float32]
Shorts = npt.NDArray[np.int16]

QP_OFFSETS = -3, -1, 0, 1
"""QP of kept frames minus that of the clip: of the first, the second, the third and fourth, all others in coding order.
Errors of early frames are inherited by those predicted from them. As a whole, a clip then looks as in inter coding."""

INTRA_OFFSET = -3
"""QP of later intra frames minus that of the clip."""

MOTION_LAMBDA = 0.4
"""Factor on the λ of the motion search for predicted frames: a better prediction saves bits of the residual too."""

DIRECT_MOTION = True
"""Whether clips have direct motion. Nearly all gain; those that do not move lose 0.1 %."""

INTRA_LAMBDA = 0.5
"""Factor on λ in the decision between a predicted and an intra frame."""

CLIP_LAMBDA = 3.5
"""λ of the decision between predicted and inter coding, in units of ln 2 / 6 · step². At usual rates a bit saves
several times as much squared error as at high ones."""

INTER_ERROR = 1.23
"""Estimated squared error of a kept frame in inter coding, relative to that of the first predicted frame."""

INTER_OFFSET = -2
"""QP in inter coding minus that of a predicted clip with the same λ."""

MIN_INTRA_QP = 14
"""Minimum QP of the latents of intra frames. The pictures of the network hardly get better below it; details do."""

MAX_DETAIL_QP, MAX_PREDICTED_DETAIL_QP = 29, 25
"""Maximum QP of intra and of predicted frames for which details are tried. Above it, no frame of 11 clips had any."""

MIN_DETAIL_BITS = 4
"""Bits that the details of a block cost at least. Blocks in which rounding saves less error have none."""

DETAIL_LAMBDA = 0.7
"""λ of single integers of details relative to that of residuals: the prices are of a coder that has learned nothing."""

IMPORTANCE_CELLS = 2048
"""Cells that tell the importance of frames: of larger pictures, only one in so many rows of cells is used."""

INTRA_TRIAL_SHARE = 0.45
"""Share of the first frame's bits from which a predicted frame is tried as an intra frame as well."""


@dataclass(frozen=True)
class PredictedClip:
    """The coded kept frames of a clip.

    Attributes:
        importance: (T,) uint8, changed so that it falls in coding order.
        values: integers (K, 1, rows, columns, C) int16 in order of frames.
        latents: the coded bytes.
        pictures: decoded picture (H, W, 3) float32, in 0…1, of each kept frame.
        errors: squared error of each kept frame, in coding order.
        undetailed_error: squared error of the first of them without its details.
        qp: quantizer index of the clip.
    """

    importance: npt.NDArray[np.uint8]
    values: Shorts
    latents: bytes
    pictures: dict[int, Floats]
    errors: list[float]
    undetailed_error: float
    qp: int

    @property
    def rd_cost(self) -> float:
        """D + λR of the kept frames."""
        return sum(self.errors) + rd_lambda(self.qp) * 8 * len(self.latents)


def frame_importance(frames: npt.NDArray[np.uint8], step: float, keep: int | None) -> npt.NDArray[np.uint8]:
    """Importance (T,) of the frames of a clip by the linear transform of the format, without a network.

    Args:
        frames: (T, H, W, 3), padded to whole cells.
        step: quantizer step.
        keep: number of frames to be kept; None if it is not known.
    """
    rows, height = part_height(frames.shape[2], PATCH, CHANNELS), frames.shape[1]
    spacing = max(1, height * frames.shape[2] // PATCH**2 // IMPORTANCE_CELLS)
    if spacing > 1:
        rows = PATCH
    first = spacing // 2 * PATCH % height
    parts = (frames[:, start : start + rows] for start in range(first, height, rows * spacing))
    latents = (
        np.stack([transform(picture.astype(np.float32) / 255 - np.float32(0.5)).ravel() for picture in part])
        for part in parts
    )
    score = clip_importance(latents, step, keep)
    out: npt.NDArray[np.uint8] = np.rint(np.clip(score, 0, 1) * 255).astype(np.uint8)
    return out


def shifted(qp: int, offset: int) -> int:
    """A QP plus an offset, within the range of the format."""
    return min(max(qp + offset, 0), MAX_QP)


def inter_qp(qp: int) -> int:
    """QP of a clip in inter coding that takes the place of a predicted one at `qp`."""
    return shifted(qp, INTER_OFFSET)


def rd_lambda(qp: int) -> float:
    """λ, squared error per bit, of a predicted clip at `qp`."""
    return CLIP_LAMBDA * lambda_for_qp(inter_qp(qp)) / LAMBDA_SCALE


@dataclass(frozen=True)
class _Frame:
    """A coded kept frame.

    Attributes:
        values: integers (rows, columns, C).
        picture: (H, W, 3), in 0…1.
        qp: quantizer index.
        bits: of the frame, coded alone.
        error: squared error.
        blocks: decisions (rows, columns, 5); None for an intra frame.
        detail: coded details; None if they are not worth their bits.
    """

    values: Shorts
    picture: Floats
    qp: int
    bits: int
    error: float
    blocks: Shorts | None = None
    detail: Detail | None = None


class PredictedEncoder:
    """Encodes the kept frames of one clip.

    Args:
        frames: (T, H, W, 3) uint8.
        header: header of the file.
        loaded: the model.
        steps: base quantizer steps (C,).
        effort: effort of the motion search.
        refining: iterations of latent refinement of intra frames.
        deadzone: of the quantizer of intra frames.
        check: called before each frame; may raise an exception to end the encode.

    Attributes:
        pyramids: of the decoded pictures that served as references, by frame.
        direct: direct motion of the clip.
        refined: D + λR of intra frames before and after refinement, summed, as far as it was measured.
    """

    def __init__(
        self, frames: npt.NDArray[np.uint8], header: Header, loaded: LoadedModel, steps: np.ndarray, effort: Effort,
        refining: int, deadzone: float, check: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._check = check
        self._frames, self._header, self._loaded, self._steps = frames, header, loaded, steps
        self._effort, self._refining, self._deadzone = effort, refining, deadzone
        self.pyramids: dict[int, Pyramid] = {}
        self.refined = np.zeros(2)

    def encode(
        self, kept: npt.NDArray[np.bool_], importance: npt.NDArray[np.uint8], qp: int, intra_only: bool = False
    ) -> PredictedClip:  # fmt: skip
        """Encode the kept frames of a clip.

        Args:
            kept: (T,).
            importance: (T,).
            qp: quantizer index of the clip.
            intra_only: predict no frame.
        """
        self._before = np.zeros((*self._header.grid[1:], CHANNELS), np.int16)
        self.pyramids, self.refined = {}, np.zeros(2)
        self._filter = encoder_filter(qp)
        self._references = ReferencePictures(self._filter, DIRECT_MOTION)
        self.direct = self._references.direct
        order = bisecting_order(kept)
        every = references(order, np.arange(len(order)) == 0)
        at = {frame: number for number, frame in enumerate(every.dropped.tolist())}
        coded: list[_Frame] = []
        pictures: dict[int, Floats] = {}
        first = None  # the first frame without details
        for position, frame in enumerate(order.tolist()):
            self._check()
            offset = INTER_OFFSET if intra_only else QP_OFFSETS[min(position.bit_length(), len(QP_OFFSETS) - 1)]
            level = shifted(qp, offset)
            if first is None or intra_only:
                plain = self._intra(frame, max(level, MIN_INTRA_QP))
                now = self._detailed(frame, plain, level)
                first = first or plain
            else:
                number = slice(at[frame], at[frame] + 1)
                side = References(*(s[number] for s in (every.dropped, every.past, every.future)))
                plain = self._predicted(side, level)
                now = self._detailed(frame, plain, level)
                if plain.bits > INTRA_TRIAL_SHARE * first.bits:
                    price = INTRA_LAMBDA * lambda_for_qp(level) / LAMBDA_SCALE
                    intra = self._intra(frame, max(shifted(qp, INTRA_OFFSET), MIN_INTRA_QP))
                    tried = now, self._detailed(frame, intra, level)
                    now = min(tried, key=lambda made: made.error + price * made.bits)
            coded.append(now)
            past, future = (int(side[at[frame]]) if position else -1 for side in (every.past, every.future))
            pictures[frame] = self._references.add(frame, now.picture, past, future, now.blocks)
        return self._clip(order, coded, pictures, importance, qp, first.error if first else 0.0)

    def _clip(
        self, order: npt.NDArray[np.intp], coded: list[_Frame], pictures: dict[int, Floats],
        importance: npt.NDArray[np.uint8], qp: int, undetailed: float,
    ) -> PredictedClip:  # fmt: skip
        """Code the frames of a clip, in coding order."""
        types = FrameTypes(
            np.array([frame.qp for frame in coded], np.uint8), np.array([frame.blocks is None for frame in coded], bool)
        )
        found = references(order, types.intra)
        motion = {frame: made.blocks for frame, made in zip(order.tolist(), coded, strict=True)}
        blocks = [now for frame in found.dropped.tolist() if (now := motion[frame]) is not None]
        moving = payload.write(MotionField(found, np.stack(blocks)), Content.KEPT_MOTION) if blocks else b""
        empty = np.zeros((0, *self._header.grid, CHANNELS), np.int16)
        values = np.stack([frame.values for frame in coded])[:, None] if coded else empty
        return PredictedClip(
            order_importance(importance, order), values[np.argsort(order)],
            join(types, moving, values, [frame.detail for frame in coded], self._filter, DIRECT_MOTION),
            pictures,
            [frame.error for frame in coded], undetailed, qp,
        )  # fmt: skip

    def _intra(self, frame: int, qp: int) -> _Frame:
        """Code an intra frame."""
        source = tiles.pad([self._frames[frame]], self._header)
        latents, _ = self._loaded.encode(source, qp)
        latents = latents.reshape(1, *self._header.grid, CHANNELS)
        now = quantize(latents, self._steps, qp, self._deadzone)
        if self._refining:
            alone = np.arange(len(self._frames)) == frame
            target = RefinementTarget(self._frames, alone, qp, False)
            found = refine(
                latents, Quantized(now), target, self._header, self._steps, self._loaded, self._refining, self._deadzone
            )
            self.refined += found.before, found.after
            now = found.now.values
        values: Shorts = now[0, 0]
        picture = decode_intra(values, qp, self._header, self._steps, self._loaded)
        return _Frame(values, picture, qp, _bits(values), self._sse(frame, picture))

    def _predicted(self, alone: References, qp: int) -> _Frame:
        """Code a predicted frame; `alone` is the frame with its references."""
        frame, past, future = (int(part[0]) for part in (alone.dropped, alone.past, alone.future))
        rd_lambda = lambda_for_qp(qp)
        with MotionSearch(
            self._frames,
            alone,
            MOTION_LAMBDA * rd_lambda,
            available_cpus(),
            self._effort,
            self.pyramids,
            self._filter,
            self.direct,
        ) as search:
            for side in (past, future):
                if side >= 0:
                    search.add_frame(side, self._references[side])
            search.add_estimate(frame, self._references.estimate(frame, past, future))
            found = search.decisions()
        blocks = found.blocks[0]
        prediction = self._references.predict(frame, past, future, blocks)
        sizes = step_sizes(self._steps, qp)
        residual = transform_residual(self._frames[frame].astype(np.float32) / 255 - prediction, self._header)
        values = quantize_residual(residual / sizes, rd_lambda / LAMBDA_SCALE, sizes, self._before)
        self._before = values
        picture = add_residual(prediction, values, sizes)
        bits = _bits(values) + 8 * len(payload.write(found))
        return _Frame(values, picture, qp, bits, self._sse(frame, picture), blocks)

    def _detailed(self, frame: int, coded: _Frame, qp: int) -> _Frame:
        """The frame with details at `qp`, if that lowers D + λR."""
        if qp > (MAX_DETAIL_QP if coded.blocks is None else MAX_PREDICTED_DETAIL_QP):
            return coded
        step = detail_step(self._steps, qp)
        residual = np.zeros((*tiles.padded_size(self._header), 3), np.float32)
        height, width = coded.picture.shape[:2]
        np.multiply(self._frames[frame], np.float32(1 / 255), out=residual[:height, :width])
        residual[:height, :width] -= coded.picture
        blocks = forward(residual)
        rd_lambda = lambda_for_qp(qp) / LAMBDA_SCALE
        worth = is_coded(blocks, step)
        scaled = blocks[worth].astype(np.float64) / step
        enough = saved_error(scaled) * step**2 > MIN_DETAIL_BITS * COEFF_LAMBDA * rd_lambda
        if not enough.any():
            return coded
        worth[worth] = enough
        values = quantize_cells(scaled[enough], worth, DETAIL_LAMBDA * rd_lambda, np.full(DETAIL_CHANNELS, step))
        if not values.any():
            return coded
        detail = Detail(qp, encode_detail(values))
        picture, bits = add_details(coded.picture, values, step), 8 * len(detail.data)
        error = self._sse(frame, picture)
        if coded.error - error < COEFF_LAMBDA * rd_lambda * bits:
            return coded
        return replace(coded, picture=picture, error=error, detail=detail, bits=coded.bits + bits)

    def _sse(self, frame: int, picture: Floats) -> float:
        """Squared error of a picture (H, W, 3), in 0…1, of a frame."""
        difference = (self._frames[frame].astype(np.float32) / 255 - picture).ravel()
        return float(difference @ difference)


def _bits(values: Shorts) -> int:
    """Bits of the integers (rows, columns, C) of one frame, coded alone."""
    return 8 * len(encode_range(values[None, None]))
