from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import DATA

from dfccodec.errors import InputError
from dfccodec.models.mini import Mini
from dfccodec.training import mini as training
from dfccodec.training.export import export
from dfccodec.training.footage import Scene, is_held_out, load_scenes, source_of
from dfccodec.training.linear import fit_pca
from dfccodec.training.rate import LaplaceRate


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    folder = tmp_path / "footage"
    folder.mkdir()
    (folder / "flower_00.mp4").write_bytes((DATA / "flower_96x64.mp4").read_bytes())
    return folder


def arguments(footage: Path, out: Path, **more: object) -> argparse.Namespace:
    base = {"data": str(footage), "out": str(out), "stage": "frames", "minutes": 0.05, "rate": 1e-3, "batch": 4}
    rest = {"crop": 32, "every": 8, "most": None, "report": 10.0, "threads": 1, "seed": 1}
    return argparse.Namespace(**{**base, **rest, **more})


def test_pca_is_orthonormal_and_beats_any_other_projection() -> None:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(4)]
    basis, mean, scale = fit_pca(frames)
    assert np.allclose(basis @ basis.T, np.eye(96), atol=1e-4)
    assert (np.diff(scale) <= 1e-6).all()
    assert mean.shape == (768,)


def test_rate_is_the_entropy_of_a_laplace_source() -> None:
    rate = LaplaceRate(1, torch.ones(1), base_step=1.0)
    rate.log_width.data.fill_(np.log(2.0))
    y = torch.round(torch.distributions.Laplace(0.0, 2.0).sample((200_000,)))
    with torch.no_grad():
        bits = rate(y.reshape(1, 1, 1, -1), torch.tensor([8])).mean()
    _, counts = torch.unique(y, return_counts=True)
    p = counts / counts.sum()
    assert float(bits) == pytest.approx(float(-(p * p.log2()).sum()), rel=0.02)


def test_sources_stay_on_their_side() -> None:
    assert source_of("ae023_01.mp4") == "ae023"
    shares = [is_held_out(f"source{i}") for i in range(2000)]
    assert 0.05 < np.mean(shares) < 0.11


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no video"):
        list(load_scenes(tmp_path))


def test_the_loss_falls_and_a_run_goes_on(footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = list(load_scenes(footage, 64, every=8))
    monkeypatch.setattr(training, "load_scenes", lambda *_, **__: small)
    monkeypatch.setattr(training, "_held_out_frames", lambda scenes: _frames(scenes))
    out = tmp_path / "run"
    training.start(arguments(footage, out, minutes=0.12))
    first = torch.load(out / "last.pt", weights_only=True)
    training.start(arguments(footage, out))
    last = torch.load(out / "last.pt", weights_only=True)
    assert last["step"] > first["step"] > 0
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == [
        first["step"],
        last["step"],
    ]
    ratio = _loss(last, small, True) / _loss(last, small, False)
    assert float(ratio.log().mean().exp()) < 0.98  # against the linear code it started from
    export(out / "best.pt", tmp_path / "m.safetensors")
    from dfccodec.codec.api import load_model

    assert isinstance(load_model(str(tmp_path / "m.safetensors")).model, Mini)


def _loss(state: dict[str, Any], scenes: list[Scene], branches: bool) -> torch.Tensor:
    """The training objective on fixed crops and QPs, (16,); without `branches`, of the linear code alone."""
    model = Mini()
    learned = state["average"] if branches else {k: v for k, v in state["average"].items() if k.startswith("linear.")}
    model.load_state_dict({**model.state_dict(), **learned})
    rate = LaplaceRate(96, model.linear.scale.detach(), 0.02)
    if branches:
        rate.load_state_dict(state["rate"])
    crops = training.Crops([f for s in scenes for f in s.frames], 32).batch(np.random.default_rng(5), 16)
    qp = torch.arange(16) * 2 + 12
    with torch.inference_mode():
        error, bits = training.frame_loss(model, rate, crops, qp, torch.Generator().manual_seed(0))
    return error + training.slope_of(qp) * bits


def _frames(scenes: list[Scene]) -> torch.Tensor:
    frame = scenes[0].frames[0]
    return torch.from_numpy(frame[:64, :96]).permute(2, 0, 1)[None].float() / 255


def test_filling_learns_on_latents(footage: Path) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = Mini()
    clip = torch.randn(1, 96, 4, 4) * (torch.arange(16.0).reshape(-1, 1, 1, 1) / 8) ** 2  # interpolation is off
    past, future, where, qp, truth = training._fill_batch([(clip.half(), 24)], rng, 8)
    optimizer = torch.optim.Adam(model.fill.parameters(), 4e-3)
    losses = []
    for _ in range(60):
        loss = (model.fill_latents(past, future, where, qp) - truth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]
