from __future__ import annotations

import numpy as np

from dfccodec.training.linear import fit_pca


def test_pca_is_orthonormal_and_ordered() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(4)]
    basis, mean, scale = fit_pca(frames)
    assert np.allclose(basis @ basis.T, np.eye(96), atol=1e-4)
    assert (np.diff(scale) <= 1e-6).all()
    assert mean.shape == (768,)
