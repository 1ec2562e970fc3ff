"""SSIM compared with scikit-image, MS-SSIM with its published weights and pytorch-msssim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dfccodec.errors import UsageError
from dfccodec.metrics import ssim as module
from dfccodec.metrics.ssim import ms_ssim, ms_ssim_planes, ssim


def make_noisy_pair(side: int = 192, frames: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return waves, and the same waves with noise and less contrast."""
    t, y, x = np.mgrid[:frames, :side, :side]
    plane = 127 + 80 * np.sin((x + 5 * t) / 9) * np.cos(y / (7 + x / 40))
    clean = np.stack([plane, 255 - plane, plane * 0.5 + 30], -1).astype(np.uint8)
    rough = clean * 0.9 + np.random.default_rng(1).normal(0, 9, clean.shape)
    return clean, np.clip(rough, 0, 255).astype(np.uint8)


def test_ssim_matches_scikit_image():
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed (extra: bench)")
    clean, rough = make_noisy_pair()
    expected = [
        metrics.structural_similarity(
            a, b, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        for a, b in zip(clean, rough, strict=True)
    ]
    assert ssim(clean, rough) == pytest.approx(np.mean(expected), abs=2e-5)


def test_weights_are_the_published_ones():
    assert module.WEIGHTS == (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    assert sum(module.WEIGHTS) == pytest.approx(1, abs=2e-4)


def test_ms_ssim_is_the_product_over_scales():
    """Computes equation 7 from scikit-image's maps at every scale."""
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed (extra: bench)")
    clean, rough = make_noisy_pair(frames=1)
    values = []
    for channel in range(3):
        a, b = clean[0, ..., channel] / 255, rough[0, ..., channel] / 255
        value = 1.0
        for scale, weight in enumerate(module.WEIGHTS):
            options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
            if scale == 4:
                value *= metrics.structural_similarity(a, b, **options) ** weight
            else:
                value *= mean_contrast(a, b) ** weight
                a, b = (p.reshape(p.shape[0] // 2, 2, -1, 2).mean((1, 3)) for p in (a, b))
        values.append(value)
    assert ms_ssim(clean, rough) == pytest.approx(np.mean(values), abs=2e-5)


def mean_contrast(a: np.ndarray, b: np.ndarray) -> float:
    """Compute the mean contrast-structure term with NumPy only."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    window = np.outer(window, window) / window.sum() ** 2

    def blur(p: np.ndarray) -> np.ndarray:
        return np.einsum("yxij,ij->yx", np.lib.stride_tricks.sliding_window_view(p, (11, 11)), window)

    ma, mb = blur(a), blur(b)
    covariance, variances = blur(a * b) - ma * mb, blur(a * a) - ma**2 + blur(b * b) - mb**2
    return float(np.mean((2 * covariance + 0.03**2) / (variances + 0.03**2)))


def test_ms_ssim_matches_pytorch_msssim():
    """The value of pytorch-msssim 1.0.0 for these pictures; the package is not a dependency."""
    clean, rough = make_noisy_pair()
    assert ms_ssim(clean, rough) == pytest.approx(PYTORCH_MSSSIM, abs=2e-5)


PYTORCH_MSSSIM = 0.9583874306382311


@pytest.mark.parametrize("metric", [ssim, ms_ssim])
def test_identical_videos_give_one_and_order_is_irrelevant(metric):
    clean, rough = make_noisy_pair()
    assert metric(clean, clean) == pytest.approx(1, abs=1e-6)
    assert metric(clean, rough) == pytest.approx(metric(rough, clean), abs=1e-6)
    assert 0 < metric(clean, rough) < 1


def test_odd_sizes_and_negative_structure():
    clean, _ = make_noisy_pair(side=179)
    assert ms_ssim(clean, 255 - clean) == 0  # negative contrast terms count as 0, not NaN


def test_small_pictures_are_rejected_by_size():
    small = np.zeros((1, 175, 200, 3), np.uint8)
    with pytest.raises(UsageError, match=r"200×175.*176"):
        ms_ssim(small, small)
    with pytest.raises(UsageError, match="11"):
        ssim(small[:, :10], small[:, :10])


def test_gradients_flow():
    a = torch.rand(1, 3, 176, 176)
    b = F.avg_pool2d(a, 3, 1, 1).requires_grad_()
    (1 - ms_ssim_planes(a, b).mean()).backward()
    assert b.grad is not None
    assert torch.isfinite(b.grad).all()
    assert b.grad.abs().sum() > 0
