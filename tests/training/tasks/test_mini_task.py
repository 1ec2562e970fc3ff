"""`dfc train` with a small `mini`: the loss falls, resumed runs are bit-exact, two processes agree."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dfccodec.errors import DfcError, InputError, UsageError
from dfccodec.training.data.dataset import load_scenes
from dfccodec.training.recipe import Stage, load_recipe
from dfccodec.training.run import TrainRequest, load_initial_model, make_task, train
from dfccodec.training.tasks.mini import REFINE_ITERATIONS, SCORE_SCALE, MiniTask
from dfccodec.training.trainer import CPU

RECIPE = """
task = "mini"
[options.config]
width = 32
width8 = 16
width4 = 16
encoder_blocks = [1, 1]
decoder_blocks = [1, 1, 1]
heads = 2
[[stage]]
name = "frames"
share = 0.5
frames = 1
crop = 32
batch = 4
learning_rate = 2e-3
frozen = ["linear", "trunk.time"]
[[stage]]
name = "time"
share = 0.5
frames = 6
crop = 32
batch = 2
learning_rate = 2e-3
frozen = ["linear"]
loss_kept_frames = 2
loss_dropped_frames = 2
refined_share = 0.4
"""


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(RECIPE)
    return str(path)


def make_request(recipe: str, video_folder: Path, out: Path, **more: object) -> TrainRequest:
    return TrainRequest(recipe, video_folder, out, threads=1, device="cpu", dtype="float32", **more)  # type: ignore[arg-type]


def test_resumed_run_equals_uninterrupted_run(recipe: str, video_folder: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(make_request(recipe, video_folder, whole, steps=20))
    assert not train(make_request(recipe, video_folder, parts, steps=20, stop_after=7))
    assert not train(make_request(recipe, video_folder, parts, steps=20, stop_after=13, resume=parts / "last.pt"))
    assert train(make_request(recipe, video_folder, parts, steps=20, resume=parts / "last.pt"))
    a, b = (torch.load(folder / "last.pt", weights_only=True) for folder in (whole, parts))
    assert a["progress"] == b["progress"]
    for kind in ("system", "average"):
        assert all(torch.equal(a[kind][name], b[kind][name]) for name in a[kind])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_run_after_current_step(
    number: signal.Signals, recipe: str, video_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(make_request(recipe, video_folder, whole, steps=8))
    batch, drawn = MiniTask.batch, []

    def interrupted(*args: Any) -> dict[str, Any]:
        drawn.append(None)
        if len(drawn) == 3:
            signal.raise_signal(number)  # during a step
        return batch(*args)

    monkeypatch.setattr(MiniTask, "batch", interrupted)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        train(make_request(recipe, video_folder, parts, steps=8))
    assert signal.getsignal(number) is before
    assert torch.load(parts / "last.pt", weights_only=True)["progress"]["step"] == 3
    assert train(make_request(recipe, video_folder, parts, steps=8, resume=parts / "last.pt"))
    a, b = (torch.load(folder / "last.pt", weights_only=True) for folder in (whole, parts))
    assert all(torch.equal(a["system"][name], b["system"][name]) for name in a["system"])


def measure_cost(folder: Path, video_folder: Path, stage: Stage) -> float:
    """Return the objective of a checkpoint on fixed batches, in dB."""
    task = make_task(
        load_recipe(str(folder.parent / "small.toml")), list(load_scenes(video_folder)), CPU, torch.float32
    )
    task.loss_module.load_state_dict(torch.load(folder / "last.pt", weights_only=True)["system"])
    costs = []
    with torch.no_grad():
        for seed in range(12):
            task.loss_module(**task.batch(stage, np.random.default_rng(seed)))
            costs.append(float(task.loss_module.cost))
    return float(np.mean(costs))


@pytest.mark.parametrize("name", ["frames", "time"])
def test_loss_falls_and_weights_load(name: str, recipe: str, video_folder: Path, tmp_path: Path) -> None:
    from dfccodec.codec.api import load_model
    from dfccodec.models.mini import Mini

    start, run = tmp_path / "start", tmp_path / "run"
    train(make_request(recipe, video_folder, start, steps=100, stage=name, stop_after=1))
    train(make_request(recipe, video_folder, run, steps=100, stage=name))
    (stage,) = load_recipe(recipe).with_stage(name).stages
    assert measure_cost(run, video_folder, stage) < measure_cost(start, video_folder, stage) - 0.2
    assert isinstance(load_model(str(run / "model.safetensors")).model, Mini)
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 100]
    assert (run / "curves.png").exists() == (importlib.util.find_spec("matplotlib") is not None)


def test_larger_configuration_starts_as_same_function(recipe: str, video_folder: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    train(make_request(recipe, video_folder, first, steps=4, stage="time"))
    weights = str(first / "model.safetensors")
    scenes = list(load_scenes(video_folder))
    larger = tmp_path / "larger.toml"
    larger.write_text(
        RECIPE.replace("encoder_blocks = [1, 1]", "encoder_blocks = [2, 3]").replace("[1, 1, 1]", "[2, 2, 2]")
    )
    recipes = [load_recipe(str(path)) for path in (recipe, larger)]
    small, grown = (make_task(r, scenes, CPU, torch.float32, load_initial_model(weights, r)) for r in recipes)
    count = [sum(p.numel() for p in task.model.parameters()) for task in (small, grown)]
    assert count[1] > 1.4 * count[0]
    stage = load_recipe(recipe).stages[1]
    batch = small.batch(stage, np.random.default_rng(1))
    with torch.no_grad():
        assert torch.equal(*(task.loss_module.measure(**batch)[0] for task in (small, grown)))  # type: ignore[operator]
    larger.write_text(RECIPE.replace("width8 = 16", "width8 = 24"))
    with pytest.raises(InputError, match=r"does not extend the initial model.*add blocks"):
        make_task(load_recipe(str(larger)), scenes, CPU, torch.float32, load_initial_model(weights, recipes[0]))


def test_perceptual_term_trains_decoder_and_is_not_in_checkpoints(
    video_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Judge(torch.nn.Module):
        """A replacement for LPIPS with the same shapes; its weights are rarely installed."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1), requires_grad=False)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.weight * (a - b).abs().mean(dim=(1, 2, 3))

    monkeypatch.setattr("dfccodec.training.losses.mini_loss.load_lpips", Judge)
    path, scenes, grads, rows = tmp_path / "with.toml", list(load_scenes(video_folder)), [], []
    for weight in (0.0, 0.5):
        path.write_text(RECIPE.replace("[options.config]", f"[options]\nperceptual = {weight}\n[options.config]"))
        torch.manual_seed(1)
        recipe = load_recipe(str(path))
        task = make_task(recipe, scenes, CPU, torch.float32)
        assert all(name.partition(".")[0] in ("model", "rate", "mean") for name in task.loss_module.state_dict())
        batch = task.batch(recipe.stages[0], np.random.default_rng(1))
        assert torch.isfinite(
            task.loss_module(**{**batch, "clips": torch.zeros_like(batch["clips"])})
        )  # black pictures have no texture
        loss = task.loss_module(**batch)
        loss.backward()
        grads.append([p.grad for p in task.model.decoder.parameters() if p.grad is not None])  # type: ignore[union-attr]
        rows.append(task.evaluate(recipe.stages[0]))
    plain, judged = rows
    assert not any(key.startswith("lpips") for key in plain)
    gains = [sum(value for key, value in judged.items() if key.startswith(start)) / 3 for start in ("gain", "lpips")]
    assert judged["score"] == pytest.approx(gains[0] + SCORE_SCALE * 0.5 * gains[1], abs=2e-3)
    assert gains[1] != 0
    assert any(not torch.allclose(a, b) for a, b in zip(*grads, strict=True))


def test_consistency_term_reaches_the_trunk(video_folder: Path, tmp_path: Path) -> None:
    path, scenes, grads = tmp_path / "with.toml", list(load_scenes(video_folder)), []
    for weight in (0.0, 0.5):
        path.write_text(RECIPE.replace("[options.config]", f"[options]\nconsistency = {weight}\n[options.config]"))
        torch.manual_seed(1)
        recipe = load_recipe(str(path))
        task = make_task(recipe, scenes, CPU, torch.float32)
        stage = recipe.stages[1]
        batch = {**task.batch(stage, np.random.default_rng(1)), "kept": np.arange(6) % 3 == 0}
        batch["loss_mask"] = np.ones(6, bool)
        loss = task.loss_module(**batch)
        loss.backward()
        grads.append([p.grad for p in task.model.decoder.parameters() if p.grad is not None])  # type: ignore[union-attr]
    assert any(not torch.allclose(a, b) for a, b in zip(*grads, strict=True))
    row = task.evaluate(stage)  # the score counts it, too
    psnr, steady = (
        [value for key, value in row.items() if key.startswith(start)] for start in ("gain", "consistency_gain")
    )
    assert len(psnr) == len(steady) == 6
    assert row["score"] == pytest.approx(np.mean(psnr) + SCORE_SCALE * 0.5 * np.mean(steady), abs=2e-3)
    assert any(steady)


def test_pooled_mse_uses_error_of_all_clips(recipe: str, video_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "pooled.toml"
    path.write_text(RECIPE.replace("[options.config]", "[options]\npooled = true\n[options.config]"))
    scenes, found = list(load_scenes(video_folder)), []
    for which in (recipe, str(path)):
        task = make_task(load_recipe(which), scenes, CPU, torch.float32)
        assert isinstance(task, MiniTask)
        bright = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        clips = [bright, bright // 16]  # with very different errors
        with torch.inference_mode():
            each = [task._rd_point([clip], 32, 24)[1] for clip in clips]
            found.append((task._rd_point(clips, 32, 24)[1], each))
    (mean, each), (pooled, _) = found
    assert mean == pytest.approx(sum(each) / 2)
    assert pooled == pytest.approx(-10 * math.log10(sum(10 ** (-value / 10) for value in each) / 2))
    assert pooled < mean - 1


def test_new_run_can_start_from_finished_run(recipe: str, video_folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train(make_request(recipe, video_folder, first, steps=4))
    train(make_request(recipe, video_folder, second, steps=4, resume=first / "last.pt"))
    assert torch.load(second / "last.pt", weights_only=True)["progress"]["step"] == 8


def test_two_processes_train_as_one(recipe: str, video_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "two"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = (
        "import sys; from pathlib import Path; from dfccodec.training.run import TrainRequest, train; "
        f"train(TrainRequest({recipe!r}, Path({str(video_folder)!r}), Path({str(out)!r}), steps=4, threads=1, "
        "device='cpu', dtype='float32'))"
    )
    base = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", code], env={**base, "RANK": str(r), "LOCAL_RANK": str(r)})
        for r in range(2)
    ]
    assert [rank.wait(timeout=240) for rank in ranks] == [0, 0]
    state = torch.load(out / "last.pt", weights_only=True)
    assert state["progress"]["step"] == 4
    # The gradients of both processes are averaged, so the weights differ from those of a single process.
    alone = tmp_path / "alone"
    train(make_request(recipe, video_folder, alone, steps=4))
    other = torch.load(alone / "last.pt", weights_only=True)["system"]
    assert any(not torch.equal(state["system"][k], other[k]) for k in other)


def test_refined_steps_lower_cost_and_freeze_encoder(video_folder: Path) -> None:
    mini = load_recipe("mini")
    task = make_task(mini, list(load_scenes(video_folder)), CPU, torch.float32, load_initial_model("mini", mini))
    stage = Stage("time", share=1, frames=6, crop=64, batch=2, learning_rate=1e-4, refined_share=1)
    batch = task.batch(stage, np.random.default_rng(3))
    batch["qp"][:] = 20
    count = batch.pop("refine_steps")
    assert count in REFINE_ITERATIONS
    costs = []
    for steps in (0, count):
        task.loss_module.zero_grad()
        task.loss_module(**batch, refine_steps=steps).backward()
        costs.append(float(task.loss_module.cost))
        reached = {name.split(".")[0] for name, p in task.model.named_parameters() if p.grad is not None}
        assert ("encoder" in reached) == (steps == 0)
        assert "decoder" in reached
    assert costs[1] < costs[0] - 0.05


def test_invalid_requests_are_reported(recipe: str, video_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="either --minutes or --steps"):
        train(make_request(recipe, video_folder, tmp_path / "a"))
    with pytest.raises(InputError, match="no checkpoint"):
        train(make_request(recipe, video_folder, tmp_path / "a", steps=1, resume=tmp_path / "none.pt"))
    junk = tmp_path / "junk.pt"
    junk.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="is not a checkpoint"):
        train(make_request(recipe, video_folder, tmp_path / "a", steps=1, resume=junk))
    with pytest.raises(UsageError, match="--minutes 0 is not a valid length"):
        train(make_request(recipe, video_folder, tmp_path / "a", minutes=0))
    with pytest.raises(UsageError, match=r"--out .*junk\.pt is not a writable folder"):
        train(make_request(recipe, video_folder, junk, steps=1))
    with pytest.raises(InputError, match="no checkpoint"):  # reported before videos are decoded
        train(make_request(recipe, tmp_path / "nowhere", tmp_path / "a", steps=1, resume=tmp_path / "none.pt"))


def test_steps_of_all_stages_add_up(recipe: str, video_folder: Path, tmp_path: Path) -> None:
    text = RECIPE.replace("share = 0.5", "share = 0.55", 1).replace("share = 0.5\n", "share = 0.45\n")
    Path(recipe).write_text(text)
    train(make_request(recipe, video_folder, tmp_path / "run", steps=3))
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["progress"]["step"] == 3


def test_interrupted_run_resumes_only_with_same_settings(recipe: str, video_folder: Path, tmp_path: Path) -> None:
    train(make_request(recipe, video_folder, tmp_path / "run", steps=6, stop_after=1, stage="time"))
    last = tmp_path / "run" / "last.pt"
    for more, says in (
        ({"steps": 6}, "with stages time, this run has frames and time: change --stage"),
        ({"steps": 6, "stage": "time", "seed": 9}, "seed 256, this run has 9: change --seed"),
        ({"minutes": 1.0, "stage": "time"}, "in steps, this run has in minutes: change --minutes or --steps"),
        ({"steps": 1, "stage": "time"}, "is already at 1 steps of stage time: give a longer run"),
    ):
        with pytest.raises(InputError, match=says):
            train(make_request(recipe, video_folder, tmp_path / "more", resume=last, **more))
    Path(recipe).write_text(RECIPE.replace("width8 = 16", "width8 = 32"))
    with pytest.raises(InputError, match="has another model configuration"):
        train(make_request(recipe, video_folder, tmp_path / "more", resume=last, steps=6, stage="time"))


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("frames = 6", "frames = 40", "frames is 40; give at most 32"),
        ('frozen = ["linear"]', 'frozen = ["linaer"]', "matches no parameter; prefixes are decoder, encoder"),
        ('task = "mini"', 'task = "mini"\noptions.qps = [8]', r"qps is \[8\]; give the first and the last"),
        ('task = "mini"', 'task = "mini"\noptions.qps = [48, 8]', "give the first and the last"),
        ('task = "mini"', 'task = "mini"\noptions.qps = [0, 99]', "give the first and the last"),
        ('task = "mini"', 'task = "mini"\noptions.qps = 8', "qps is 8; give the first and the last"),
        ('task = "mini"', 'task = "mini"\noptions.all_kept = "a"', "all_kept is 'a'; give a number"),
        ("heads = 2", "heds = 2", "unknown key 'heds'"),
        ("width = 32", 'width = "32"', "width"),
        ("encoder_blocks = [1, 1]", "encoder_blocks = 1", "encoder_blocks"),
    ],
)
def test_recipe_incompatible_with_model_is_reported(
    before: str, after: str, says: str, recipe: str, video_folder: Path, tmp_path: Path
) -> None:
    Path(recipe).write_text(RECIPE.replace(before, after))
    with pytest.raises(DfcError, match=says):
        train(make_request(recipe, video_folder, tmp_path / "a", steps=2))


def test_unreadable_video_is_skipped(recipe: str, video_folder: Path, tmp_path: Path) -> None:
    folder, notes = tmp_path / "videos", []
    folder.mkdir()
    (folder / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"no video in .* can be read"):
        train(make_request(recipe, folder, tmp_path / "a", steps=1))
    for path in video_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    train(make_request(recipe, folder, tmp_path / "a", steps=2), lambda row: notes.append(row.get("note")))
    assert "skipped: " in notes[0]
    assert "bad.mp4" in notes[0]
    assert "no source is held out" in notes[2]
