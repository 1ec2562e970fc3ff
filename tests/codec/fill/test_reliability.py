"""Motion latents that would harm are not used, and the kept frame is the one that shows more."""

from __future__ import annotations

import numpy as np

from dfccodec.codec.fill.generate.encoder import choose_kept
from dfccodec.codec.fill.generate.fit import fit_motion
from dfccodec.codec.fill.generate.reliability import without_harmful
from dfccodec.models.regen import CELL

WAVES = 4


def panning(frames: int, step: int = 1) -> np.ndarray:
    """A texture that moves to the right."""
    rng = np.random.default_rng(1)
    wide = rng.integers(0, 256, (16, 40, 3)).repeat(4, 0).repeat(4, 1)
    return np.stack([wide[:, t * step : t * step + 96] for t in range(frames)]).astype(np.uint8)


def test_motion_that_fits_is_kept() -> None:
    frames = panning(7)
    latent = fit_motion(frames, 3, (0, 7), WAVES)
    found, loss = without_harmful(frames, 3, (0, 7), latent)
    assert np.array_equal(found, latent)
    assert loss < 0.5 * without_harmful(frames, 3, (0, 7), np.zeros_like(latent))[1]


def test_motion_that_harms_is_dropped_cell_by_cell() -> None:
    frames = np.repeat(panning(1), 5, 0)  # still
    latent = np.zeros((4 * WAVES, 2, 3), np.float32)
    latent[:, :, 0] = 5
    found, loss = without_harmful(frames, 2, (0, 5), latent)
    assert not found.any()
    assert loss < 1e-6


def test_a_span_of_one_frame_is_left_alone() -> None:
    latent = np.ones((4 * WAVES, 2, 3), np.float32)
    found, loss = without_harmful(panning(3), 1, (1, 2), latent)
    assert found is latent
    assert loss == 0


def test_sizes_that_are_no_multiple_of_a_cell() -> None:
    frames = panning(4)[:, :50, :70]
    shape = (4 * WAVES, -(-50 // CELL), -(-70 // CELL))
    assert without_harmful(frames, 1, (0, 4), np.zeros(shape, np.float32))[0].shape == shape


def test_the_only_kept_frame_is_one_that_is_like_the_others() -> None:
    frames = np.repeat(panning(1), 9, 0)
    frames[4] = np.random.default_rng(2).integers(0, 256, frames[4].shape)  # the middle frame is a flash
    importance = np.zeros(9, np.uint8)
    importance[7] = 255
    assert np.flatnonzero(choose_kept(frames, 1, importance)).tolist() == [7]
    importance = np.roll(importance, -3)  # now the flash is the important one too
    assert np.flatnonzero(choose_kept(frames, 1, importance)).tolist() == [4]
    assert np.flatnonzero(choose_kept(frames, 3, importance)).tolist() == [1, 4, 7]
