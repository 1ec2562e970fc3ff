from __future__ import annotations

import numpy as np
import pytest

from dfccodec.entropy.inter.motion_compensation import is_format_transform
from dfccodec.training.pca import fit_pca, format_pca


def test_pca_is_orthonormal_and_ordered() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(4)]
    basis, mean, scale = fit_pca(frames)
    assert np.allclose(basis @ basis.T, np.eye(96), atol=1e-4)
    assert (np.diff(scale) <= 1e-6).all()
    assert mean.shape == (768,)


def test_format_pca_uses_mean_and_scale_of_frames() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (64, 80, 3)).astype(np.uint8) for _ in range(40)]
    basis, mean, scale = format_pca(frames)
    assert np.allclose(basis @ basis.T, np.eye(96), atol=1e-5)
    assert is_format_transform(basis)
    assert not is_format_transform(fit_pca(frames)[0])
    assert mean == pytest.approx(127 / 255, abs=0.25)
    assert scale == pytest.approx(np.full(96, np.std(np.arange(255)) / 255), rel=0.15), (
        "noise is alike in all directions"
    )
