"""Metrics of generate.py: the Fréchet distance in closed form, motion statistics, baselines, nearest clips."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("PIL")
bench = pytest.importorskip("benchmarks.quality.generate", reason="benchmarks need more packages")


def test_frechet_distance_of_known_normals() -> None:
    one = bench.Normal(np.zeros(3), np.diag([1.0, 4.0, 9.0]))
    other = bench.Normal(np.array([1.0, 2.0, 2.0]), np.diag([4.0, 4.0, 1.0]))
    assert bench.frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert bench.frechet(one, other) == pytest.approx(9 + (1 - 2) ** 2 + (3 - 1) ** 2)
    assert bench.frechet(one, other) == pytest.approx(bench.frechet(other, one))


def test_motion_is_that_of_a_moving_texture() -> None:
    texture = np.random.default_rng(0).integers(0, 256, (64, 64, 1)).repeat(4, 0).repeat(4, 1).repeat(3, 2)
    clips = np.stack([np.stack([np.roll(texture, 4 * step * t, axis=1) for t in range(4)]) for step in (0, 1, 3)])
    still, slow, fast = np.exp(bench.motion(clips.astype(np.uint8)))
    assert still[2] == pytest.approx(0.5)
    assert slow[2] - 0.5 == pytest.approx(1, rel=0.1)  # in steps of four pixels
    assert fast[2] - 0.5 == pytest.approx(3, rel=0.1)
    assert slow[0] > 5 * still[0]


def test_baselines_have_the_statistics_of_the_clips() -> None:
    rng = np.random.default_rng(0)
    clips = rng.normal(3, 2, (40, bench.KEPT, 4, bench.SIDE, bench.SIDE)).astype(np.float32)
    clips[:, :, 1] = 2 * clips[:, :, 0]
    for function in (bench.token_normal, bench.clip_normal):
        made = function(clips, 60, rng)
        assert made.shape == (60, *clips.shape[1:])
        assert made.mean() == pytest.approx(clips.mean(), rel=0.05)
        assert made.std() == pytest.approx(clips.std(), rel=0.05)
        np.testing.assert_allclose(made[:, :, 1], 2 * made[:, :, 0], atol=0.05)


def test_nearest_finds_copies() -> None:
    training = np.random.default_rng(0).normal(size=(9, bench.KEPT, 2, bench.SIDE, bench.SIDE)).astype(np.float32)
    at, distance = bench.nearest(training[[4, 7]] + np.float32(0.01), training)
    assert at == [4, 7]
    assert (distance < 1e-3).all()
