"""Bits of each frame of a clip, read back from the entropy coder. Needs no model and no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import MotionField, uses
from dfccodec.codec.motion.context_model import BlockContexts
from dfccodec.codec.motion.tables import initial_counts as motion_counts
from dfccodec.codec.predict.order import read_motion
from dfccodec.container.records import Clip, Coding, Fill, Header
from dfccodec.entropy import context_tables
from dfccodec.entropy.bit_table import symbol_bits
from dfccodec.entropy.context_model import Ints, Shorts, code_latents
from dfccodec.entropy.context_tables import ESCAPE
from dfccodec.entropy.inter.coding import InterPredictor
from dfccodec.entropy.inter.coding import initial_counts as inter_counts
from dfccodec.entropy.latent_coding import decode_latents
from dfccodec.entropy.mixing.tables import Content
from dfccodec.entropy.motion_tools import decisions
from dfccodec.entropy.mv_coding import NEWMV
from dfccodec.entropy.predicted import divide
from dfccodec.entropy.rans import FrequencyModel, RansDecoder, check_declared_size

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClipBits:
    """Bits of the frames of a clip, without the head of its chunk.

    Attributes:
        latents: (T,) bits of latents or residuals; 0 for dropped frames.
        motion: (T,) bits of motion.
        estimated: whether the division of the latents among the frames is an estimate. Its sum is exact.
    """

    latents: Floats
    motion: Floats
    estimated: bool = False


def clip_bits(clip: Clip, header: Header) -> ClipBits:
    """Divide the bits of a clip among its frames.

    The codings `range`, `inter` and `predicted` code one kept frame after the other, so the position in the stream
    tells the bits of each. The zstd coding mixes the frames: its bits are divided by the size of the integers. Motion
    is coded for several frames at once: its bits are divided by the ideal code length of each symbol.

    Raises:
        DamagedError, LimitError: the coded bytes are invalid.
        UnsupportedError: the coding is not known to this reader.
    """
    latents, motion = np.zeros((2, clip.frames))
    kept = np.flatnonzero(clip.kept)
    if clip.coding == Coding.PREDICTED and kept.size:
        parts, order = divide(clip), clip.coding_order
        intra = parts.types.intra
        for content, data, which in (Content.INTRA, parts.latents, intra), (Content.RESIDUAL, parts.residuals, ~intra):
            if parts.mixed:
                left = np.zeros(int(which.sum()), np.int32)
                parts.decode(content, header.grid, left)
                latents[order[which]] = -32.0 * np.diff([len(data) // 4, *left]) if len(left) else 0
            else:
                latents[order[which]] = _stream_bits(data, int(which.sum()), header, inter=False)
        latents[order] += [8 * len(detail.data) if detail else 0 for detail in parts.details]
        _add_motion(motion, read_motion(clip, header), 8 * len(parts.motion))
    elif clip.coding in (Coding.RANGE, Coding.INTER):
        latents[kept] = _stream_bits(clip.latents, len(kept), header, clip.coding == Coding.INTER)
    else:
        latents[kept] = _share(8 * len(clip.latents), _magnitudes(decode_latents(clip, header)))
    if clip.fill in (Fill.MOTION, Fill.BLEND, Fill.DIRECT):
        _add_motion(motion, payload.read_clip(clip, header), 8 * len(decisions(clip)))
        motion[kept] += 8 * (len(clip.fill_payload) - len(decisions(clip))) / max(len(kept), 1)  # a byte for all frames
    elif kept.size:  # motion latents of kept frames, all of one size before coding
        motion[kept] += 8 * len(clip.fill_payload) / len(kept)
    return ClipBits(latents, motion, clip.coding == Coding.ZSTD)


class _Positions:
    """Predictor that notes the position in the stream before each kept frame after the first.

    Attributes:
        left: words that are not yet read.
    """

    def __init__(self, reader: RansDecoder, inner: InterPredictor | None) -> None:
        self._reader, self._inner = reader, inner
        self.left = [reader.coder.num_words()]

    def predict(self, k: int, previous: Shorts) -> Shorts:
        """Note the position; predict as the coding does."""
        self.left.append(self._reader.coder.num_words())
        return self._inner.predict(k, previous) if self._inner else previous


def _stream_bits(data: bytes, kept: int, header: Header, inter: bool) -> Floats:
    """Bits of each kept frame (K,) of a stream of the range or the inter coding, in multiples of 32."""
    check_declared_size(data, kept, header.grid, header.channels)
    if not kept:
        return np.zeros(0)
    reader = RansDecoder(data, inter_counts() if inter else context_tables.initial_counts(), "latents")
    positions = _Positions(reader, InterPredictor(header.grid, reader, None) if inter else None)
    code_latents((kept, *header.grid, header.channels), reader, predictor=positions)
    reader.finish()
    return -32.0 * np.diff([*positions.left, 0])


def _magnitudes(values: np.ndarray) -> Floats:
    """Rough code length of the integers of each kept frame: of each channel, the smaller of its values and changes."""
    change = np.diff(values.astype(np.int32), axis=0, prepend=0)
    costs = [np.log2(1 + 2 * np.abs(x.astype(np.float32))).sum(axis=(1, 2, 3)) for x in (values, change)]
    total: Floats = np.minimum(*costs).sum(axis=1).astype(np.float64)
    return total


def _share(bits: float, weights: Floats) -> Floats:
    """Divide bits by weights; evenly if all weights are 0."""
    total = float(weights.sum())
    return bits * weights / total if total else np.full(len(weights), bits / max(len(weights), 1))


class _CodeLengths:
    """Coder that writes nothing and keeps the code length of each symbol.

    Attributes:
        calls: for each call of `code`, the code lengths (n,) in bits and the residuals (n,).
    """

    def __init__(self, counts: npt.NDArray[np.int64]) -> None:
        self._statistics = FrequencyModel(counts)
        self.calls: list[tuple[Floats, Ints]] = []

    def code(self, contexts: npt.NDArray[np.uint8], shifts: Ints | None, residuals: Ints | None) -> Ints:
        """Note the code lengths of a pass; see `Coder.code`."""
        assert residuals is not None
        symbols = np.clip(residuals, -ESCAPE, ESCAPE) + ESCAPE
        bits = symbol_bits(self._statistics.frequencies(slice(None)))[contexts, symbols].astype(np.float64)
        excess = np.maximum(np.abs(residuals) - ESCAPE + 1, 0)
        bits += np.where(excess > 0, 4 + np.floor(np.log2(np.maximum(excess, 1))), 0)
        self._statistics.update(contexts, symbols)
        self.calls.append((bits, residuals))
        return residuals


def _add_motion(motion: Floats, field: MotionField, bits: int) -> None:
    """Add the bits of coded motion to its frames, (T,) in place."""
    frames = field.references.dropped
    if bits:
        motion[frames] += _share(bits, _motion_lengths(field))


def _motion_lengths(field: MotionField) -> Floats:
    """Ideal code length in bits of the motion of each frame, (D,)."""
    count, rows, columns, fields = field.blocks.shape
    flat = field.blocks.reshape(count, rows * columns, fields)
    contexts, coder, out = (
        BlockContexts(field.references, rows, columns),
        _CodeLengths(motion_counts()),
        np.zeros(count),
    )
    for step in contexts.passes():
        blocks = flat[step.frames, step.cells]
        modes, vectors = blocks[:, 0].astype(np.uint8), blocks[:, 1:].reshape(-1, 2, 2)
        payload.code(step, coder, modes, vectors)
        (of_modes, _), (of_choices, choices), (of_differences, _) = coder.calls
        coder.calls.clear()
        coded = np.nonzero(uses(modes).T)[1]  # blocks in the order of their vectors, see `payload.code`
        new = coded[choices == NEWMV]
        places = np.concatenate([np.arange(len(modes)), coded, new, new])
        lengths = np.concatenate([of_modes, of_choices, of_differences])
        out += np.bincount(step.frames[places], lengths, minlength=count)
        contexts.put(step, modes, vectors)
    return out
