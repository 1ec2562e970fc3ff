"""Recipes `segments` and `dit`: losses fall, marks are found, runs resume to the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import moving_square

import dfccodec as dfc
from dfccodec.codec.loaded_model import LoadedModel
from dfccodec.errors import InputError
from dfccodec.models import registry
from dfccodec.models.latent_dit import LatentDiT
from dfccodec.training.data.latent_videos import LatentVideo, load_latent_videos
from dfccodec.training.recipe import load_recipe
from dfccodec.training.run import TrainRequest, train
from dfccodec.training.tasks.latent_dit import (
    LatentDiTTask,
    channel_statistics,
    draw_given,
    known_positions,
)
from dfccodec.training.trainer import CPU

SMALL = "\n[options.config]\nwidth = 32\ndepth = 2\nheads = 4\nhidden = 64\n[[stage]]"


@pytest.fixture(scope="module")
def latents(mini: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("latents")
    rng = np.random.default_rng(0)
    for number in range(3):
        frames = np.roll(moving_square(64, 64, 96), int(rng.integers(90)), axis=2)
        dfc.encode(frames, out / f"v{number}_0.dfc", budget="50%", qp=12, fill="token", refine=0, model=mini)
    return out


def recipe(folder: Path, name: str, **changes: str) -> str:
    """Write a small version of a recipe and return its path."""
    text = load_recipe(name).text.replace("[[stage]]", SMALL).replace("crop = 128", "crop = 64")
    for old, new in changes.items():
        key = old.replace("__", " = ")
        assert key in text
        text = text.replace(key, new)
    path = folder / f"{name}.toml"
    path.write_text(text)
    return str(path)


def request(spec: str, data: Path, out: Path, **options: Any) -> TrainRequest:
    return TrainRequest(spec, data, out, threads=1, device="cpu", dtype="float32", **options)


def test_marks_are_found_on_latents_alone(latents: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    assert train(request(recipe(tmp_path, "segments"), latents, tmp_path / "run", steps=150), rows.append)
    first, last = (row for row in rows if "score" in row)
    assert first["accuracy"] < 0.99
    assert last["accuracy"] == last["exact"] == 1.0
    model, info = registry.load_generator(str(tmp_path / "run/model.safetensors"))
    assert isinstance(model, LatentDiT)
    assert info.family == "mini-dit"
    assert float(model.segments.embedding.norm()) > 0.1


def test_without_the_embedding_segments_are_not_found(latents: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    spec = recipe(tmp_path, "segments", **{'place__"first"': 'place = "none"'})
    assert train(request(spec, latents, tmp_path / "run", steps=150), rows.append)
    assert [row for row in rows if "score" in row][-1]["accuracy"] < 0.99


def test_loss_falls_and_frozen_marks_stay(latents: Path, tmp_path: Path) -> None:
    assert train(request(recipe(tmp_path, "segments"), latents, tmp_path / "marks", steps=20))
    start = str(tmp_path / "marks/model.safetensors")
    rows: list[dict[str, Any]] = []
    spec = recipe(tmp_path, "dit", whole_share__0="whole_share = 0.0 #", learning_rate__8e="learning_rate = 5e-3 # 8e")
    assert train(request(spec, latents, tmp_path / "run", steps=160, start=start), rows.append)
    first, last = (row for row in rows if "score" in row)
    assert last["noise"] < first["noise"] - 0.5
    assert last["gap"] < first["gap"]
    before, after = (registry.load_generator(path)[0] for path in (start, str(tmp_path / "run/model.safetensors")))
    for name in ("segments.embedding", "segments.predictor.weight", "mean", "deviation"):
        assert torch.equal(before.state_dict()[name], after.state_dict()[name]), name


def test_a_resumed_run_gives_the_same_weights(latents: Path, tmp_path: Path) -> None:
    spec = recipe(tmp_path, "dit", whole_share__0="whole_share = 0.0 #")
    assert train(request(spec, latents, tmp_path / "whole", steps=4))
    assert not train(request(spec, latents, tmp_path / "parts", steps=4, stop_after=2))
    assert train(request(spec, latents, tmp_path / "parts", steps=4, resume=tmp_path / "parts/last.pt"))
    one, other = (torch.load(tmp_path / run / "last.pt", weights_only=True)["system"] for run in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_statistics_are_those_of_the_latents(latents: Path) -> None:
    videos = list(load_latent_videos(latents))
    found = channel_statistics(videos)
    mean, deviation = found.mean, found.deviation
    every = np.concatenate([v.latents.transpose(0, 2, 3, 1).reshape(-1, 96) for v in videos]).astype(np.float64)
    np.testing.assert_allclose(mean, every.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(deviation, every.std(axis=0), rtol=1e-3, atol=1e-3)


def test_at_least_one_frame_is_generated() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_given(rng, frames) for frames in (1, 2, 4, 16) for _ in range(200)]
    assert not any(given.all() for given, _ in drawn)
    assert {bool(given.any()) for given, _ in drawn} == {True, False}


def test_positions_after_unknown_frames_are_unknown() -> None:
    starts = torch.tensor([[True, False, False, False, True]])
    given = torch.tensor([[True, True, False, True, True]])
    known = known_positions(starts, given, torch.tensor([False]))
    assert known.tolist() == [[True, True, False, False, True]]
    assert known_positions(starts, given, torch.tensor([True])).all()


def test_wrong_options_are_named(latents: Path) -> None:
    videos: list[LatentVideo] = list(load_latent_videos(latents))
    with pytest.raises(InputError, match="'sharpness' is unknown"):
        LatentDiTTask({"sharpness": 1.0}, videos, videos, CPU, torch.float32)
    with pytest.raises(InputError, match="gap_weight is 'much'"):
        LatentDiTTask({"gap_weight": "much"}, videos, videos, CPU, torch.float32)
