"""MSE and PSNR, and the argument checks of all metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support import moving_square

from dfccodec.errors import UsageError
from dfccodec.metrics.psnr import mse, psnr


def test_psnr_of_a_known_error():
    video = np.full((2, 4, 6, 3), 100, np.uint8)
    assert mse(video, video + 51) == pytest.approx(0.04)
    assert psnr(video, video + 51) == pytest.approx(-10 * math.log10(0.04))


def test_identical_videos_have_infinite_psnr():
    assert psnr(moving_square(2), moving_square(2)) == math.inf


def test_psnr_uses_mse_of_complete_video():
    video = np.zeros((2, 4, 4, 3), np.uint8)
    other = video.copy()
    other[1] = 255
    assert psnr(video, other) == pytest.approx(-10 * math.log10(0.5))


def test_uint8_and_float_agree():
    a, b = moving_square(2), moving_square(3)[1:]
    assert psnr(a / 255, (b / 255).astype(np.float32)) == pytest.approx(psnr(a, b), abs=1e-5)


@pytest.mark.parametrize(
    ("reference", "distorted", "says"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), "(T, H, W, 3)"),
        (np.zeros((0, 4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8), "(T, H, W, 3)"),
        (np.zeros((1, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3), np.uint8), "equal shapes"),
        (np.zeros((1, 4, 4, 3), np.int16), np.zeros((1, 4, 4, 3), np.uint8), "int16"),
        (np.zeros((1, 4, 4, 3)), np.full((1, 4, 4, 3), 255.0), "must lie in [0, 1]"),
        (np.zeros((1, 4, 4, 3)), np.full((1, 4, 4, 3), np.nan), "must lie in [0, 1]"),
    ],
)
def test_errors_name_the_problem(reference, distorted, says):
    with pytest.raises(UsageError) as caught:
        psnr(reference, distorted)
    assert says in str(caught.value)
