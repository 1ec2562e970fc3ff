"""VMAF with imageio-ffmpeg's binary."""

from __future__ import annotations

import numpy as np
import pytest
from support import moving_square

from dfccodec.errors import DfcError
from dfccodec.metrics import vmaf as module
from dfccodec.metrics.vmaf import find_ffmpeg, vmaf


@pytest.fixture
def ffmpeg() -> str:
    try:
        return find_ffmpeg()
    except DfcError as error:
        pytest.skip(str(error))


def test_more_noise_lowers_vmaf(ffmpeg):
    video = moving_square(6, 128, 160)
    noise = np.random.default_rng(0).normal(0, 1, video.shape)
    little, much = (np.clip(video + noise * by, 0, 255).astype(np.uint8) for by in (6, 40))
    same = vmaf(video, video)
    assert 95 < same <= 100
    assert same > vmaf(video, little) > vmaf(video, much) >= 0


def test_floats_are_accepted(ffmpeg):
    video = moving_square(3, 128, 160)
    assert vmaf(video / 255, video / 255) == pytest.approx(vmaf(video, video))


def test_vmaf_error_contains_ffmpeg_reason(ffmpeg):
    tiny = moving_square(2, 16, 16)[:, :2, :2]
    with pytest.raises(DfcError, match="cannot compute VMAF"):
        vmaf(tiny, tiny)


def test_missing_package_error_names_fix(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DfcError, match=r"pip install 'imageio-ffmpeg>=0\.8'"):
        vmaf(moving_square(1), moving_square(1))
