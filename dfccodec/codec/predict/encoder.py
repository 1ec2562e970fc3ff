"""Encoder of predicted kept frames: each frame is predicted from decoded pictures and its residual is coded, or it is
coded as an intra frame, by D + λR."""

from __future__ import annotations

from dataclasses import dataclass

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
from dfccodec.codec.predict.order import bisecting_order, order_importance, references
from dfccodec.codec.predict.pictures import ReferencePictures, add_residual, decode_intra, transform
from dfccodec.container.records import Clip, Coding, Header
from dfccodec.entropy.bit_costs import bit_costs
from dfccodec.entropy.inter.motion_compensation import BASIS_SCALE, CHANNELS, PATCH, basis
from dfccodec.entropy.predicted import FrameTypes, join
from dfccodec.entropy.rans import encode_range
from dfccodec.limits import MAX_QP
from dfccodec.models.importance import clip_importance
from dfccodec.runtime.resources import available_cpus

Floats = npt.NDArray[np.float32]
Shorts = npt.NDArray[np.int16]

QP_OFFSETS = -5, -3, 0, 2
"""QP of kept frames minus that of the clip: of the first, the second, the third and fourth, all others in coding order.
Errors of early frames are inherited by those predicted from them. As a whole, a clip then looks as in inter coding."""

INTRA_OFFSET = -3
"""QP of later intra frames minus that of the clip."""

MOTION_LAMBDA = 0.4
"""Factor on the λ of the motion search for predicted frames: a better prediction saves bits of the residual too."""

DEAD_ZONE = 0.1
"""Residuals are rounded down from 0.5 + DEAD_ZONE quantizer steps, before the decisions by D + λR."""

COEFF_LAMBDA = 3.5
"""λ of the decisions on residuals in units of ln 2 / 6 · step², the λ of the high-rate approximation. At usual rates a
bit saves several times as much squared error."""

CELL_LAMBDA = 3.5
"""The same for the decision to code no residual in a cell."""

RDO_PASSES = 1
"""Times that integers may move towards 0; with two passes files are as large."""

DROPPED_OFFSET = 1
"""QP of the motion of dropped frames minus that of the clip."""

INTRA_LAMBDA = 0.5
"""Factor on λ in the decision between a predicted and an intra frame."""

MIN_INTER_RATIO, MAX_INTER_RATIO = 0.96, 1.04
"""Estimated D + λR of inter coding, in which the network sees all kept frames together, relative to that of predicted
frames: below the first, inter coding is taken; up to the second, both are tried."""

INTER_ERROR = 1.23
"""Estimated squared error of a kept frame in inter coding, relative to that of the first predicted frame."""

INTER_OFFSET = -2
"""QP in inter coding minus that of a predicted clip with the same λ."""

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
        qp: quantizer index of the clip.
    """

    importance: npt.NDArray[np.uint8]
    values: Shorts
    latents: bytes
    pictures: dict[int, Floats]
    errors: list[float]
    qp: int

    @property
    def rd_cost(self) -> float:
        """D + λR of the kept frames."""
        return sum(self.errors) + rd_lambda(self.qp) * 8 * len(self.latents)


def frame_importance(frames: npt.NDArray[np.uint8], step: float, keep: int | None) -> npt.NDArray[np.uint8]:
    """Importance (T,) of the padded frames (T, H, W, 3) of a clip by the linear transform of the format."""
    rows = []
    for picture in frames:
        cells = picture.reshape(picture.shape[0] // PATCH, PATCH, -1, PATCH, 3).swapaxes(1, 2)
        flat = cells.reshape(-1, PATCH * PATCH * 3).astype(np.float32) / 255 - 0.5
        rows.append((flat @ (basis().T / BASIS_SCALE).astype(np.float32)).ravel())
    score = clip_importance(np.stack(rows), step, keep)
    out: npt.NDArray[np.uint8] = np.rint(np.clip(score, 0, 1) * 255).astype(np.uint8)
    return out


def shifted(qp: int, offset: int) -> int:
    """A QP plus an offset, within the range of the format."""
    return min(max(qp + offset, 0), MAX_QP)


def motion_qp(clip: Clip) -> int:
    """QP that the motion of the dropped frames of a clip is worth."""
    return shifted(clip.qp, DROPPED_OFFSET) if clip.coding == Coding.PREDICTED else clip.qp


def inter_qp(qp: int) -> int:
    """QP of a clip in inter coding that takes the place of a predicted one at `qp`."""
    return shifted(qp, INTER_OFFSET)


def rd_lambda(qp: int) -> float:
    """λ, squared error per bit, of a predicted clip at `qp`."""
    return COEFF_LAMBDA * lambda_for_qp(inter_qp(qp)) / LAMBDA_SCALE


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
    """

    def __init__(
        self, frames: npt.NDArray[np.uint8], header: Header, loaded: LoadedModel, steps: np.ndarray, effort: Effort,
        refining: int, deadzone: float,
    ) -> None:  # fmt: skip
        self._frames, self._header, self._loaded, self._steps = frames, header, loaded, steps
        self._effort, self._refining, self._deadzone = effort, refining, deadzone
        self._references = ReferencePictures()
        self._before = np.zeros((*header.grid[1:], CHANNELS), np.int16)
        self.pyramids: dict[int, Pyramid] = {}

    def encode(self, kept: npt.NDArray[np.bool_], importance: npt.NDArray[np.uint8], qp: int) -> PredictedClip:
        """Encode the kept frames `kept` (T,) of a clip with `importance` (T,) at `qp`."""
        order = bisecting_order(kept)
        intra, qps = np.zeros(len(order), bool), np.empty(len(order), np.uint8)
        values, pictures, motion, first_bits = [], {}, {}, 0
        every = references(order, np.arange(len(order)) == 0)
        at = {frame: number for number, frame in enumerate(every.dropped.tolist())}
        for position, frame in enumerate(order.tolist()):
            if position == 0:
                qps[0], intra[0] = shifted(qp, QP_OFFSETS[0]), True
                now, picture = self._intra(frame, int(qps[0]))
                first_bits = _bits(now)
            else:
                number = at[frame]
                alone = References(*(part[number : number + 1] for part in (every.dropped, every.past, every.future)))
                qps[position] = shifted(qp, QP_OFFSETS[min(position.bit_length(), len(QP_OFFSETS) - 1)])
                now, picture, motion[frame] = self._predicted(alone, int(qps[position]))
                bits = _bits(now) + 8 * len(payload.write(MotionField(alone, motion[frame][None])))
                if bits > INTRA_TRIAL_SHARE * first_bits:
                    level = shifted(qp, INTRA_OFFSET)
                    other, made = self._intra(frame, level)
                    rd_lambda = INTRA_LAMBDA * lambda_for_qp(int(qps[position])) / LAMBDA_SCALE
                    if self._sse(frame, made) + rd_lambda * _bits(other) < self._sse(frame, picture) + rd_lambda * bits:
                        now, picture, qps[position], intra[position] = other, made, level, True
            values.append(now)
            pictures[frame] = self._references.add(frame, picture)
        found = references(order, intra)
        blocks = [motion[frame] for frame in found.dropped.tolist()]
        moving = payload.write(MotionField(found, np.stack(blocks))) if blocks else b""
        stacked = np.stack(values)[:, None] if values else np.zeros((0, *self._header.grid, CHANNELS), np.int16)
        latents = join(FrameTypes(qps, intra), moving, stacked)
        errors = [self._sse(frame, pictures[frame]) for frame in order.tolist()]
        falling = order_importance(importance, order)
        return PredictedClip(falling, stacked[np.argsort(order)], latents, pictures, errors, qp)

    def _intra(self, frame: int, qp: int) -> tuple[Shorts, Floats]:
        """Integers (rows, columns, C) and picture of an intra frame."""
        source = tiles.pad([self._frames[frame]], self._header)
        latents, _ = self._loaded.encode(source, qp)
        latents = latents.reshape(1, *self._header.grid, CHANNELS)
        now = quantize(latents, self._steps, qp, self._deadzone)
        if self._refining:
            alone = np.arange(len(self._frames)) == frame
            target = RefinementTarget(self._frames, alone, qp, False)
            now = refine(
                latents, Quantized(now), target, self._header, self._steps, self._loaded, self._refining, self._deadzone
            ).now.values
        return now[0, 0], decode_intra(now[0, 0], qp, self._header, self._steps, self._loaded)

    def _predicted(self, alone: References, qp: int) -> tuple[Shorts, Floats, Shorts]:
        """Integers (rows, columns, C), picture and decisions (rows, columns, 5) of a predicted frame."""
        frame, past, future = (int(part[0]) for part in (alone.dropped, alone.past, alone.future))
        rd_lambda = lambda_for_qp(qp)
        with MotionSearch(
            self._frames, alone, MOTION_LAMBDA * rd_lambda, available_cpus(), self._effort, self.pyramids
        ) as search:
            estimate = self._references.estimate(frame, past, future)
            for side, picture in ((past, estimate.past), (future, estimate.future)):
                if side >= 0:
                    search.add_frame(side, picture)
            search.add_estimate(frame, estimate)
            blocks = search.decisions().blocks[0]
        prediction = self._references.predict(frame, past, future, blocks)
        sizes = step_sizes(self._steps, qp)
        residual = transform(self._frames[frame].astype(np.float32) / 255 - prediction, self._header)
        values = quantize_residual(residual / sizes, rd_lambda / LAMBDA_SCALE, sizes, self._before)
        self._before = values
        return values, add_residual(prediction, values, sizes), blocks

    def _sse(self, frame: int, picture: Floats) -> float:
        difference = (self._frames[frame].astype(np.float32) / 255 - picture).ravel()
        return float(difference @ difference)


def quantize_residual(
    scaled: npt.NDArray[np.float64], rd_lambda: float, sizes: npt.NDArray[np.float64], before: Shorts
) -> Shorts:  # fmt: skip
    """Quantize residuals (rows, columns, C), in quantizer steps, by D + λR with the prices of the entropy coder.

    Integers are rounded to the nearest, then each may move one towards 0, then each cell may become 0.

    Args:
        scaled: the residuals.
        rd_lambda: λ, squared error per bit.
        sizes: (C,) quantizer steps.
        before: integers of the predicted frame coded before, (rows, columns, C); of any frame if there is none.
    """
    values = np.clip(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5 - DEAD_ZONE), -32767, 32767).astype(np.int16)
    weight = sizes**2
    for _ in range(RDO_PASSES):
        lower = np.where(values > 0, values - 1, values).astype(np.int16)
        bits = _prices(before, values, lower)
        near = values - np.sign(values)
        change = ((scaled - near) ** 2 - (scaled - values) ** 2) * weight
        saved = np.where(values > 0, bits[1] - bits[0], bits[0] - bits[1])
        values = np.where((values != 0) & (change < COEFF_LAMBDA * rd_lambda * saved), near, values).astype(np.int16)
    bits = _prices(before, values, np.where(values > 0, values - 1, values).astype(np.int16))
    own = np.where(values > 0, bits[1], bits[0])
    none = _prices(before, values, np.zeros_like(values))[0]
    change = (scaled**2 - (scaled - values) ** 2) * weight
    empty = change.sum(axis=-1) < CELL_LAMBDA * rd_lambda * (own - none).sum(axis=-1)
    values[empty] = 0
    out: Shorts = values
    return out


def _prices(before: Shorts, values: Shorts, lower: Shorts) -> Floats:
    """Bits (2, rows, columns, C) of `lower` and `lower + 1`, after a frame `before`."""
    pair = np.stack([before, values])[:, None]
    out: Floats = bit_costs(pair, np.stack([before, lower])[:, None])[:, 1, 0]
    return out


def _bits(values: Shorts) -> int:
    """Bits of the integers (rows, columns, C) of one frame, coded alone."""
    return 8 * len(encode_range(values[None, None]))
