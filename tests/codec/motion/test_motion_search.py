"""The encoder of fill policy motion: vectors found, and modes chosen."""

from __future__ import annotations

import numpy as np
import pytest
from motion_clips import compensate_clip, header_for, sliding_texture, texture

from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import SUBPEL, MotionField, References
from dfccodec.codec.motion.motion_encoder import Effort, MotionSearch, lambda_for_qp
from dfccodec.codec.motion.search import Pyramid, estimate_motion


@pytest.mark.parametrize("effort", list(Effort))
@pytest.mark.parametrize("move", [(0, 0), (5, -9), (-31, 32)])
def test_the_search_finds_a_translation(move: tuple[int, int], effort: Effort) -> None:
    whole = texture(260, 280)
    y, x = 70, 80
    now, then = whole[y : y + 128, x : x + 128], whole[y - move[0] : y - move[0] + 128, x - move[1] : x - move[1] + 128]
    found = estimate_motion(Pyramid(now), Pyramid(then, SUBPEL), lambda_for_qp(0), effort=effort)
    inner = found[6:-6, 6:-6]
    assert (inner == np.array(move) * SUBPEL).mean() > 0.9


@pytest.mark.parametrize("effort", list(Effort))
def test_a_translating_picture_is_recovered(effort: Effort) -> None:
    frames = sliding_texture(9)
    kept = np.isin(np.arange(9), [2, 6])
    sides, decoded = References.of(kept), np.full((9, 64, 80, 3), 0.5, np.float32)
    decoded[kept] = frames[kept] / np.float32(255)
    made = decided(MotionSearch(frames, sides, lambda_for_qp(8), threads=2, effort=effort), decoded)
    decisions = payload.read(payload.write(made), kept, header_for(frames))
    np.testing.assert_array_equal(decisions.blocks, made.blocks)
    error = ((compensate_clip(decoded, decisions) - frames / 255.0) ** 2).mean(axis=(1, 2, 3))
    assert error[3:6].max() < 2e-4
    assert error.max() < 4e-3  # what comes in at the edge is in one kept frame only, or in none


def test_what_the_model_knows_is_not_searched() -> None:
    frames = sliding_texture(5)
    decoded = (frames / np.float32(255)).astype(np.float32)
    search = MotionSearch(frames, References.of(np.isin(np.arange(5), [2])), lambda_for_qp(8))
    assert payload.write(decided(search, decoded)) == b""


def decided(search: MotionSearch, decoded: np.ndarray) -> MotionField:
    """What is found for a clip of which the model makes `decoded` (T, H, W, 3)."""
    with search:
        for number, frame in enumerate(decoded):
            search.add_frame(number, frame)
        return search.decisions()
