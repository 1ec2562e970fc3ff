"""Interpolation between two weight files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dfccodec.errors import InputError
from dfccodec.models.weights import read_weights, save_safetensors
from dfccodec.training.interpolate_weights import interpolate


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "before.safetensors", tmp_path / "after.safetensors"
    for path, value in zip(paths, (1.0, 3.0), strict=True):
        tensors = {"linear.mean": torch.full((3,), value), "trunk.bias": torch.full((2, 2), value).half()}
        save_safetensors(path, tensors, "{}", "small")
    return paths


def test_interpolation_endpoints_and_middle(files: tuple[Path, Path], tmp_path: Path) -> None:
    between = tmp_path / "between.safetensors"
    for share, source in zip((0.0, 1.0), files, strict=True):
        interpolate(*files, share, between)
        assert between.read_bytes() == source.read_bytes()
    interpolate(*files, 0.75, between)
    found = read_weights(between)
    assert (found.config_json, found.name) == ("{}", "small")
    assert torch.equal(found.tensors["linear.mean"], torch.full((3,), 2.5))
    assert torch.equal(found.tensors["trunk.bias"], torch.full((2, 2), 2.5, dtype=torch.float16))


def test_invalid_interpolations_are_rejected(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    with pytest.raises(InputError, match=r"share 1\.5 .* give 0 to 1"):
        interpolate(*files, 1.5, other)
    save_safetensors(other, {"linear.mean": torch.zeros(4)}, "{}", "other")
    with pytest.raises(InputError, match="differ in network or configuration"):
        interpolate(files[0], other, 0.5, tmp_path / "between.safetensors")
    assert not (tmp_path / "between.safetensors").exists()


def test_script_interpolates_and_reports_errors(files: tuple[Path, Path], tmp_path: Path) -> None:
    script, between = (
        [sys.executable, "-m", "dfccodec.training.interpolate_weights"],
        str(tmp_path / "between.safetensors"),
    )
    subprocess.run([*script, *map(str, files), "0.5", between], check=True)
    assert torch.equal(read_weights(Path(between)).tensors["linear.mean"], torch.full((3,), 2.0))
    wrong = subprocess.run(
        [*script, str(files[0]), "missing.safetensors", "0.5", between], capture_output=True, text=True
    )
    assert wrong.returncode == 5
    assert wrong.stderr.startswith("error: ")
    assert wrong.stderr.count("\n") == 1
