"""The recipe `regen`: the loss falls on clips that the data script made, and the weights load as a generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dfccodec.codec.api import load_model
from dfccodec.errors import DfcError, InputError
from dfccodec.metrics.lpips import load_lpips
from dfccodec.models import registry
from dfccodec.training.data.dataset import load_scenes
from dfccodec.training.data.motion_clips import SUFFIX, draw_kept, load_motion_clips, make_clip
from dfccodec.training.recipe import load_recipe
from dfccodec.training.run import TrainRequest, train


@pytest.fixture(scope="module")
def motion(video_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("motion")
    codec, scene = load_model("mini", dtype="float32"), next(iter(load_scenes(video_folder, 64)))
    for number in range(2):
        make_clip(scene, np.random.default_rng(number), codec, out / f"{number}{SUFFIX}", side=64)
    return out


def test_clips_are_complete(motion: Path) -> None:
    for clip in load_motion_clips(motion):
        count, height, width = len(clip.kept), *clip.frames.shape[1:3]
        assert clip.pictures.shape == (count, height, width, 3)
        assert clip.content.shape == (count, 96, height // 16, width // 16)
        assert clip.motion.shape == (count, 16, height // 32, width // 32)
        error = clip.pictures.astype(float) - clip.frames[clip.kept]
        assert np.mean(error**2) < 30**2


def test_a_folder_without_clips_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no motion clips in"):
        list(load_motion_clips(tmp_path))


def test_kept_frames_are_in_order_and_inside() -> None:
    for seed in range(200):
        kept = draw_kept(32, np.random.default_rng(seed))
        assert (np.diff(kept) > 0).all()
        assert 0 <= kept[0] <= kept[-1] < 32


def test_the_loss_falls(motion: Path, tmp_path: Path) -> None:
    try:
        load_lpips(net="vgg")
    except DfcError as error:
        pytest.skip(str(error))
    small = tmp_path / "small.toml"
    small.write_text(load_recipe("regen").text.replace("crop = 128", "crop = 64").replace("ema = 0.998", "ema = 0.9"))
    request = TrainRequest(str(small), motion, tmp_path / "run", steps=60, threads=1, device="cpu", dtype="float32")
    rows: list[dict[str, Any]] = []
    assert train(request, rows.append)
    first, last = (row for row in rows if "score" in row)
    assert last["alex"] < first["alex"]
    model, info = registry.load_regen(str(tmp_path / "run/model.safetensors"))
    assert info.family == "mini-regen"
    assert model.config.waves == 4


def test_discriminator_is_trained_but_not_exported(
    motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        load_lpips(net="vgg")
    except DfcError as error:
        pytest.skip(str(error))
    monkeypatch.setattr("dfccodec.training.tasks.regen.DISCRIMINATOR_SIDE", 32)
    small = tmp_path / "small.toml"
    text = load_recipe("regen").text.replace("crop = 128", "crop = 64").replace("perceptual = 1.0", "perceptual = 0")
    small.write_text(text.replace("adversarial = 0.0", "adversarial = 0.1"))
    request = TrainRequest(str(small), motion, tmp_path / "run", steps=2, threads=1, device="cpu", dtype="float32")
    assert train(request)
    system = torch.load(tmp_path / "run/last.pt", weights_only=True)["system"]
    assert int(system["discriminator.count"]) == 12  # two steps of six frames
    names = registry.load_regen(str(tmp_path / "run/model.safetensors"))[0].state_dict()
    assert not any(name.startswith("discriminator") for name in names)
