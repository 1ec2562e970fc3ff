"""Encoder of fill policy `generate`: which frames are kept, and the payload of a clip."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dfccodec.codec.fill.generate import payload
from dfccodec.codec.fill.generate.fit import fit_motion
from dfccodec.codec.fill.generate.pictures import load_generator, supports
from dfccodec.codec.fill.generate.reliability import without_harmful
from dfccodec.container.records import Header
from dfccodec.errors import UsageError

STEP = 24
"""Quantizer step of the motion latents: half a pixel. Coarser ones lose more in still scenes than they save."""


def check_model(header: Header) -> None:
    """Check that the generator knows the latents of the codec model.

    Raises:
        UsageError: it does not.
        ModelError: the generator is missing.
    """
    if not supports(header):
        raise UsageError("fill generate needs latents of mini: give --model mini, or --fill token")


def spread_evenly(frames: int, count: int) -> npt.NDArray[np.bool_]:
    """Keep frames (T,) in the middle of equal parts of the clip, so that no dropped frame is far from one."""
    kept = np.zeros(frames, np.bool_)
    kept[((np.arange(count) + 0.5) * frames / count).astype(int)] = True
    return kept


def spans(kept: npt.NDArray[np.int64], frames: int) -> list[tuple[int, int]]:
    """First frame, and end, of the frames that each kept frame is a reference of: up to its neighbours."""
    edges = [-1, *kept.tolist(), frames]
    return [(edges[i - 1] + 1, edges[i + 1]) for i in range(1, len(edges) - 1)]


def motion_payload(frames: npt.NDArray[np.uint8], kept: npt.NDArray[np.bool_]) -> bytes:
    """Fit the motion latents of a clip to its source frames (T, H, W, 3); `kept` is (T,) bool."""
    numbers = np.flatnonzero(kept)
    fitted = [
        _fitted(frames, number, span)[0]
        for number, span in zip(numbers.tolist(), spans(numbers, len(frames)), strict=True)
    ]
    return payload.write(payload.MotionLatents.quantize(np.stack(fitted), STEP))


def choose_kept(
    frames: npt.NDArray[np.uint8], count: int, importance: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Choose kept frames (T,) bool: at equal distances, or the middle or the most important one if there is only one.

    Of these two, the one with which the other frames look more like the source.
    """
    if count != 1:
        return spread_evenly(len(frames), count)
    candidates = {len(frames) // 2, int(importance.argmax())}
    if len(candidates) == 1:
        return spread_evenly(len(frames), count)
    loss = {number: _fitted(frames, number, (0, len(frames)))[1] for number in sorted(candidates)}
    kept = np.zeros(len(frames), np.bool_)
    kept[min(loss, key=lambda number: loss[number])] = True
    return kept


def _fitted(frames: npt.NDArray[np.uint8], number: int, span: tuple[int, int]) -> tuple[npt.NDArray[np.float32], float]:
    """Motion latent of one kept frame, and how unlike the source its other frames are with it."""
    latent = fit_motion(frames, number, span, load_generator().config.waves)
    return without_harmful(frames, number, span, latent)
