"""The recipe `mini-sharp`: LPIPS of the decoder falls, and the parameters of the bitstream do not change."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dfccodec.codec.api import load_model
from dfccodec.errors import DfcError, InputError
from dfccodec.metrics.lpips import load_lpips
from dfccodec.models import registry
from dfccodec.training.data.coded import CodedClip, encode_footage, load_coded_clips
from dfccodec.training.recipe import Stage, load_recipe
from dfccodec.training.run import TrainRequest, train
from dfccodec.training.tasks.sharp import DEFAULT_OPTIONS, SharpTask, TrainingCrop, random_view
from dfccodec.training.trainer import CPU

RECIPE = "mini-sharp"


@pytest.fixture(scope="module")
def coded(video_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        load_lpips(net="vgg")
    except DfcError as error:
        pytest.skip(str(error))
    out = tmp_path_factory.mktemp("coded")
    encode_footage(video_folder, out, 2, load_model("mini", dtype="float32"), side=64)
    return out


def make_task(clips: list[CodedClip], **options: Any) -> SharpTask:
    return SharpTask(options, clips, clips, CPU, torch.float32)


def test_lpips_falls_and_bitstream_parameters_stay_fixed(coded: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.toml"
    small.write_text(load_recipe(RECIPE).text.replace("crop = 128", "crop = 48").replace("3e-4", "1e-3"))
    request = TrainRequest(str(small), coded, tmp_path / "run", steps=60, threads=1, device="cpu", dtype="float32")
    rows: list[dict[str, Any]] = []
    assert train(request, rows.append)
    first, last = (row for row in rows if "score" in row)
    assert last["alex"] > first["alex"] + 0.3
    before, after = (registry.load(spec)[0].state_dict() for spec in ("mini", str(tmp_path / "run/model.safetensors")))
    frozen = tuple(load_recipe(RECIPE).stages[0].frozen)
    for name in before:
        assert torch.equal(before[name], after[name]) == name.startswith(frozen), name


def test_crop_matches_its_latents(coded: Path) -> None:
    clip, _ = load_coded_clips(coded)
    task = make_task([clip])
    part = TrainingCrop.from_clip(clip, np.array([2, 0]), slice(1, 4), slice(0, 3), CPU)
    assert part.truth.shape == (2, 3, 48, 48)
    with torch.inference_mode():
        made = task.loss_module.decode([part])
    error = [
        float((made - other).square().mean()) for other in (part.truth, part.truth.flip(0), part.truth.roll(16, 2))
    ]
    assert error[0] < min(error[1:])


def test_random_views_transform_both_pictures_alike() -> None:
    picture = torch.arange(3 * 48 * 64.0).reshape(1, 3, 48, 64)
    corners, plain = set(), 0
    for seed in range(400):
        a, b = random_view(np.random.default_rng(seed), picture, picture + 1)
        assert torch.allclose(a + 1, b)
        assert sorted(a.shape[2:]) == [32, 48]
        plain += bool((a == a.round()).all())
        corners.add(round(float(a[0, 0, 0, 0])))
    assert 150 < plain < 260  # half of the views are not magnified
    assert len(corners) > 250


def test_smooth_error_costs_more_and_lpips_ignores_it(coded: Path) -> None:
    clip, _ = load_coded_clips(coded)
    task = make_task([clip], noise=0.0)
    part = TrainingCrop.from_clip(clip, np.array([0]), slice(0, 4), slice(0, 4), CPU)
    rough = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    lines = torch.zeros(1, 3, 64, 64)
    lines[..., ::4] = 0.01

    def cost(truth: torch.Tensor, **options: float) -> float:
        task.loss_module.options = {**dict.fromkeys(DEFAULT_OPTIONS, 0.0), **options}
        task.loss_module.decode = lambda _: truth + lines  # type: ignore[method-assign]
        return float(task.loss_module([dataclasses.replace(part, truth=truth)], seed=3))

    flat = torch.full_like(rough, 0.5)
    assert cost(flat, absolute=1.0, smooth=8.0) > 5 * cost(rough, absolute=1.0, smooth=8.0)
    assert cost(flat, absolute=1.0) == pytest.approx(cost(rough, absolute=1.0))
    assert cost(flat, perceptual=1.0) < 1e-6
    assert float(task.loss_module.perceptual_distance(flat + lines, flat)) > 1e-3  # plain LPIPS sees the lines
    assert cost(rough, perceptual=1.0) > 1e-5


def test_discriminator_is_saved_but_not_exported(coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfccodec.training.tasks.sharp.DISCRIMINATOR_SIDE", 32)
    small = tmp_path / "small.toml"
    text = load_recipe(RECIPE).text.replace("crop = 128", "crop = 48")
    small.write_text(text.replace("adversarial = 0.0", "adversarial = 0.1"))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    request = TrainRequest(str(small), coded, whole, steps=6, threads=1, device="cpu", dtype="float32", start="mini")
    assert train(request)
    assert not train(dataclasses.replace(request, out=parts, stop_after=3))
    assert train(dataclasses.replace(request, out=parts, start=None, resume=parts / "last.pt"))
    a, b = (torch.load(folder / "last.pt", weights_only=True)["system"] for folder in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(name.startswith("discriminator.past") for name in a)
    assert not any(
        name.startswith("discriminator") for name in registry.load(str(whole / "model.safetensors"))[0].state_dict()
    )


def test_invalid_options_are_rejected(coded: Path) -> None:
    clips = list(load_coded_clips(coded))
    with pytest.raises(InputError, match="option 'sharpness' is unknown; known are absolute"):
        make_task(clips, sharpness=1)
    with pytest.raises(InputError, match="perceptual is -1; give a number, 0 or more"):
        make_task(clips, perceptual=-1)
    stage = Stage("decoder", share=1, frames=32, crop=128, batch=1, learning_rate=1e-4)
    with pytest.raises(InputError, match="coded clips of 64 pixels are too small for crops of 128"):
        make_task(clips).batch(stage, np.random.default_rng(1))
