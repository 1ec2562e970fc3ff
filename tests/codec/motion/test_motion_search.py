"""The encoder of the fill policy `motion`: motion estimation and mode decision."""

from __future__ import annotations

import numpy as np
import pytest
from motion_clips import compensate_clip, header_for, sliding_texture, texture

from dfccodec.codec.motion import payload
from dfccodec.codec.motion.blocks import MotionField, References
from dfccodec.codec.motion.motion_encoder import Effort, MotionSearch, lambda_for_qp
from dfccodec.codec.motion.pyramid import Pyramid
from dfccodec.codec.motion.search import camera_motion, estimate_motion
from dfccodec.container.records import MotionFilter


@pytest.mark.parametrize("motion_filter", list(MotionFilter))
@pytest.mark.parametrize("effort", list(Effort))
@pytest.mark.parametrize("move", [(0, 0), (5, -9), (-31, 32)])
def test_motion_estimation_finds_a_translation(
    move: tuple[int, int], effort: Effort, motion_filter: MotionFilter
) -> None:
    canvas = texture(260, 280)
    y, x = 70, 80
    current, reference = (
        canvas[y : y + 128, x : x + 128],
        canvas[y - move[0] : y - move[0] + 128, x - move[1] : x - move[1] + 128],
    )
    vectors = estimate_motion(Pyramid(current), Pyramid(reference, motion_filter), lambda_for_qp(0), effort=effort)
    inner = vectors[6:-6, 6:-6]
    assert (inner == np.array(move) * motion_filter.subpel).mean() > 0.9


@pytest.mark.parametrize("effort", list(Effort))
@pytest.mark.parametrize("move", [(0, 120), (-88, 64)])
def test_a_fast_pan_is_found_beyond_the_range_of_the_search(move: tuple[int, int], effort: Effort) -> None:
    canvas = texture(420, 560)
    current, reference = (canvas[y : y + 192, x : x + 256] for y, x in ((110, 150), (110 - move[0], 150 - move[1])))
    now, then = Pyramid(current), Pyramid(reference, MotionFilter.SIX_TAP)
    assert np.abs(np.array(camera_motion(now, then)) * 4 - move).max() <= 4
    vectors = estimate_motion(now, then, lambda_for_qp(0), effort=effort)
    seen = (slice(13, -2), slice(2, -11)) if move[0] < 0 else (slice(2, -2), slice(2, -17))
    assert (vectors[seen] == np.array(move) * MotionFilter.SIX_TAP.subpel).all(axis=-1).mean() > 0.9


def test_the_search_stays_around_zero_where_the_camera_does() -> None:
    still, near = texture(192, 256), texture(200, 264)
    other = np.random.default_rng(9).integers(0, 256, still.shape, np.uint8)
    for now, then in ((still, still), (near[:192, :256], near[8:, 8:]), (still, other)):
        assert camera_motion(Pyramid(now), Pyramid(then, MotionFilter.SIX_TAP)) == (0, 0)


@pytest.mark.parametrize("effort", list(Effort))
def test_motion_fill_reconstructs_a_translating_texture(effort: Effort) -> None:
    frames = sliding_texture(9)
    kept = np.isin(np.arange(9), [2, 6])
    references, decoded = References.of(kept), np.full((9, 64, 80, 3), 0.5, np.float32)
    decoded[kept] = frames[kept] / np.float32(255)
    field = choose_motion(MotionSearch(frames, references, lambda_for_qp(8), threads=2, effort=effort), decoded)
    decoded_field = payload.read(payload.write(field), kept, header_for(frames))
    np.testing.assert_array_equal(decoded_field.blocks, field.blocks)
    error = ((compensate_clip(decoded, decoded_field) - frames / 255.0) ** 2).mean(axis=(1, 2, 3))
    assert error[3:6].max() < 2e-4
    assert error.max() < 4e-3  # new content at the edge is in one kept frame or in none


def test_exact_network_output_needs_no_motion() -> None:
    frames = sliding_texture(5)
    decoded = (frames / np.float32(255)).astype(np.float32)
    search = MotionSearch(frames, References.of(np.isin(np.arange(5), [2])), lambda_for_qp(8))
    assert payload.write(choose_motion(search, decoded)) == b""


def choose_motion(search: MotionSearch, decoded: np.ndarray) -> MotionField:
    """Run the search for a clip whose network output is `decoded` (T, H, W, 3)."""
    with search:
        for number, frame in enumerate(decoded):
            search.add_frame(number, frame)
        return search.decisions()
