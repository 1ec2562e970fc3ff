"""The PCA transform of 16×16 patches: the one defined by the format, or one fitted to frames."""

from __future__ import annotations

import numpy as np
from einops import rearrange

from dfccodec.entropy.inter.motion_compensation import linear_transform
from dfccodec.models.mini_layers import CHANNELS, PATCH, PIXELS


def format_pca(frames: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the PCA basis that inter prediction uses (SPEC.md 7.7.2), with mean and scale measured on `frames`.

    The basis is the result of :func:`fit_pca` on the first training set of `mini`. Arguments and result are those of
    :func:`fit_pca`.
    """
    total, square, count, basis = np.zeros(PIXELS), np.zeros(CHANNELS), 0, linear_transform()
    for frame in frames:
        x = _patches(frame)
        total += x.sum(axis=0, dtype=np.float64)
        square += np.square(x @ basis.T).sum(axis=0, dtype=np.float64)
        count += len(x)
    mean = total / count
    scale = np.sqrt(np.maximum(square / count - (basis @ mean) ** 2, 1e-12))
    return basis, mean.astype(np.float32), scale.astype(np.float32)


def fit_pca(frames: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the principal components of 16×16×3 patches.

    Args:
        frames: (H, W, 3) uint8 arrays. Incomplete patches at the right and bottom edges are ignored.

    Returns:
        basis (96, 768) float32 with orthonormal rows, mean (768,), and scale (96,), the standard deviation per
        component.
    """
    total = np.zeros(PIXELS)
    moment = np.zeros((PIXELS, PIXELS))
    count = 0
    for frame in frames:
        x = _patches(frame)
        total += x.sum(axis=0, dtype=np.float64)
        moment += (x.T @ x).astype(np.float64)
        count += len(x)
    mean = total / count
    values, vectors = np.linalg.eigh(moment / count - np.outer(mean, mean))
    order = np.argsort(values)[::-1][:CHANNELS]
    basis = vectors[:, order].T
    basis *= np.sign(basis.sum(axis=1, keepdims=True) + 1e-12)  # a fixed sign makes refitting reproducible
    scale = np.sqrt(np.maximum(values[order], 1e-12))
    return basis.astype(np.float32), mean.astype(np.float32), scale.astype(np.float32)


def _patches(frame: np.ndarray) -> np.ndarray:
    """Split a frame (H, W, 3) uint8 into patches (n, 768) float32 in [0, 1]."""
    h, w = frame.shape[0] // PATCH * PATCH, frame.shape[1] // PATCH * PATCH
    out: np.ndarray = rearrange(frame[:h, :w], "(h p) (w q) c -> (h w) (p q c)", p=PATCH, q=PATCH) / np.float32(255)
    return out
