"""The transform of details."""

from __future__ import annotations

import numpy as np

from dfccodec.codec.predict.detail import basis, forward, inverse


def test_the_basis_is_orthonormal_and_in_order_of_frequency() -> None:
    rows = basis()
    assert np.abs(rows @ rows.T - np.eye(192)).max() < 1e-5
    blocks = rows.reshape(3, 64, 8, 8, 3)
    assert np.ptp(blocks[:, 0], axis=(1, 2)).max() < 1e-6  # the first of each component is flat
    changes = [np.abs(np.diff(blocks[0, k, :, :, 0], axis=axis)).sum() for k in (1, 63) for axis in (0, 1)]
    assert changes[0] < 1e-5 < changes[1] < changes[2]  # from left to right, before the highest frequency


def test_forward_and_inverse_are_inverse_up_to_rounding() -> None:
    picture = np.random.default_rng(1).random((16, 24, 3), np.float32) - 0.5
    step = 1 / 256
    values = np.rint(forward(picture) / step).astype(np.int16)
    assert values.shape == (2, 3, 192)
    assert np.abs(inverse(values, step) - picture).max() < step * 4


def test_grey_has_no_chroma() -> None:
    grey = np.random.default_rng(2).random((8, 8, 1), np.float32).repeat(3, 2)
    assert np.abs(forward(grey)[..., 64:]).max() < 1e-6
