"""Mode decision: vectors move where D + λR falls."""

from __future__ import annotations

import numpy as np
import pytest
from motion_clips import compensate_clip, texture

from dfccodec.codec.motion import mode_decision, payload
from dfccodec.codec.motion.blocks import MotionField, References
from dfccodec.codec.motion.motion_encoder import MotionSearch, lambda_for_qp

KEPT = np.isin(np.arange(9), [0, 8])
RD_LAMBDA = lambda_for_qp(24)


def zooming() -> np.ndarray:
    """A texture that zooms and turns, so that no two blocks move alike: (9, 96, 96, 3) uint8."""
    large = texture(300, 300)
    y, x = np.mgrid[-48:48, -48:48]
    frames = []
    for t in range(9):
        zoom, angle = 1 + t / 60, t / 80
        down, right = y * np.cos(angle) - x * np.sin(angle), y * np.sin(angle) + x * np.cos(angle)
        frames.append(large[np.rint(150 + zoom * down).astype(int), np.rint(150 + zoom * right).astype(int)])
    return np.rint(255 * np.stack(frames)).astype(np.uint8)


def decide(frames: np.ndarray) -> MotionField:
    decoded = frames[[0] * 9] / np.float32(255)  # dropped frames are estimated as the first one
    decoded[KEPT] = frames[KEPT] / np.float32(255)
    with MotionSearch(frames, References.of(KEPT), RD_LAMBDA) as search:
        for number, frame in enumerate(decoded):
            search.add_frame(number, frame)
        return search.decisions()


def rd_cost(frames: np.ndarray, field: MotionField) -> float:
    decoded = frames[[0] * 9] / np.float32(255)
    decoded[KEPT] = frames[KEPT] / np.float32(255)
    error = ((compensate_clip(decoded, field) - frames / 255.0) ** 2).sum()
    return float(error + RD_LAMBDA * 8 * len(payload.write(field)))


def test_moving_vectors_and_pairs_lowers_the_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = zooming()
    both = rd_cost(frames, decide(frames))
    monkeypatch.setattr(mode_decision, "PAIR_REFINEMENTS", 0)
    vectors = rd_cost(frames, decide(frames))
    monkeypatch.setattr(mode_decision, "REFINEMENTS", 0)
    none = rd_cost(frames, decide(frames))
    assert both < vectors < 0.98 * none
