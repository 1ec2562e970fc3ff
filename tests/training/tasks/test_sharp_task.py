"""The recipe `sharp`: LPIPS of the look falls, flicker and smooth areas count, runs resume exactly."""

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
from dfccodec.training.data.decoded import DecodedClip, decode_footage, load_decoded_clips
from dfccodec.training.recipe import Stage, load_recipe
from dfccodec.training.run import TrainRequest, train
from dfccodec.training.tasks.sharp import DEFAULT_OPTIONS, SharpTask, random_view
from dfccodec.training.trainer import CPU

RECIPE = "sharp"


@pytest.fixture(scope="module")
def folder(video_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        load_lpips(net="vgg")
    except DfcError as error:
        pytest.skip(str(error))
    out = tmp_path_factory.mktemp("decoded")
    decode_footage(video_folder, out, 2, load_model("mini", dtype="float32"), side=64)
    return out


def make_task(clips: list[DecodedClip], **options: Any) -> SharpTask:
    return SharpTask(options, clips, clips, CPU, torch.float32)


def test_lpips_falls(folder: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.toml"
    small.write_text(load_recipe(RECIPE).text.replace("crop = 128", "crop = 48").replace("ema = 0.999", "ema = 0.9"))
    request = TrainRequest(str(small), folder, tmp_path / "run", steps=60, threads=1, device="cpu", dtype="float32")
    rows: list[dict[str, Any]] = []
    assert train(request, rows.append)
    first, last = (row for row in rows if "score" in row)
    assert first["alex"] == first["vgg"] == first["flicker"] == first["psnr"] == 0  # it begins as the identity
    assert last["alex"] < -3  # per cent
    network, info = registry.load_look(str(tmp_path / "run/model.safetensors"))
    assert info.family == "mini-look"
    assert network.head.weight.abs().sum() > 0


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


def test_smooth_error_costs_more_and_lpips_ignores_it(folder: Path) -> None:
    task = make_task(list(load_decoded_clips(folder)), noise=0.0)
    rough = torch.rand(1, 2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    lines = torch.zeros(2, 3, 64, 64)
    lines[..., ::4] = 0.01
    flat, qp = torch.full_like(rough, 0.5), torch.tensor([32])

    def cost(truth: torch.Tensor, **options: float) -> float:
        task.loss_module.options = {**dict.fromkeys(DEFAULT_OPTIONS, 0.0), **options}
        task.loss_module.show = lambda given, _: given + lines  # type: ignore[method-assign]
        return float(task.loss_module(truth, truth, qp, seed=3))

    assert cost(flat, absolute=1.0, smooth=8.0) > 5 * cost(rough, absolute=1.0, smooth=8.0)
    assert cost(flat, absolute=1.0) == pytest.approx(cost(rough, absolute=1.0))
    assert cost(flat, alex=1.0) < 1e-6
    seen = task.loss_module.perceptual_distance("alex", flat[0] + lines, flat[0])
    assert float(seen.mean()) > 1e-3  # plain LPIPS sees the lines
    assert cost(rough, alex=1.0) > 1e-5
    assert cost(flat, flicker=1.0) == pytest.approx(0, abs=1e-6)  # the lines stay where they are
    lines[1] = 0
    assert cost(flat, flicker=1.0) > 1e-3


def test_discriminator_is_saved_but_not_exported(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfccodec.training.tasks.sharp.DISCRIMINATOR_SIDE", 32)
    small = tmp_path / "small.toml"
    text = load_recipe(RECIPE).text.replace("crop = 128", "crop = 48")
    small.write_text(text.replace("adversarial = 0.0", "adversarial = 0.1"))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    request = TrainRequest(str(small), folder, whole, steps=6, threads=1, device="cpu", dtype="float32")
    request = dataclasses.replace(request, start="mini-sharp")
    assert train(request)
    assert not train(dataclasses.replace(request, out=parts, stop_after=3))
    assert train(dataclasses.replace(request, out=parts, start=None, resume=parts / "last.pt"))
    a, b = (torch.load(run / "last.pt", weights_only=True)["system"] for run in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(name.startswith("discriminator.past") for name in a)
    exported = registry.load_look(str(whole / "model.safetensors"))[0].state_dict()
    assert not any(name.startswith("discriminator") for name in exported)


def test_invalid_options_are_rejected(folder: Path) -> None:
    clips = list(load_decoded_clips(folder))
    with pytest.raises(InputError, match="option 'sharpness' is unknown; known are absolute"):
        make_task(clips, sharpness=1)
    with pytest.raises(InputError, match="alex is -1; give a number, 0 or more"):
        make_task(clips, alex=-1)
    stage = Stage("look", share=1, frames=2, crop=128, batch=1, learning_rate=1e-4)
    with pytest.raises(InputError, match="decoded clips of 64 pixels are too small for crops of 128"):
        make_task(clips).batch(stage, np.random.default_rng(1))
