"""Runs `dfc train`: loads the recipe and the data, trains, and exports the weights."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from dfccodec.errors import InputError, UsageError
from dfccodec.limits import MAX_TEXT
from dfccodec.models import registry
from dfccodec.models.entries import find_entry
from dfccodec.models.latent_dit import LatentDiT
from dfccodec.models.look import Look
from dfccodec.models.mini import Mini
from dfccodec.models.regen import Regen
from dfccodec.models.vae import VideoVAE
from dfccodec.runtime.device import pick_device, pick_dtype
from dfccodec.runtime.resources import available_cpus
from dfccodec.training.data.dataset import is_held_out, load_scenes, split_scenes
from dfccodec.training.data.decoded import load_decoded_clips
from dfccodec.training.data.latent_videos import load_latent_videos
from dfccodec.training.data.motion_clips import load_motion_clips
from dfccodec.training.export import export
from dfccodec.training.recipe import Recipe, load_recipe
from dfccodec.training.tasks.latent_dit import LatentDiTTask
from dfccodec.training.tasks.mini import MiniTask
from dfccodec.training.tasks.regen import RegenTask
from dfccodec.training.tasks.segments import SegmentTask
from dfccodec.training.tasks.sharp import SharpTask
from dfccodec.training.tasks.video_vae import VideoVAETask
from dfccodec.training.trainer import ProgressCallback, RunOptions, Task, Trainer, load_checkpoint

TASKS: dict[str, tuple[Callable[..., Any], type[nn.Module]]] = {
    "mini": (MiniTask, Mini),
    "published": (VideoVAETask, VideoVAE),
    "sharp": (SharpTask, Look),
    "segments": (SegmentTask, LatentDiT),
    "dit": (LatentDiTTask, LatentDiT),
    "regen": (RegenTask, Regen),
}

LOADERS: dict[str, tuple[Callable[[Path], Iterator[Any]], str]] = {
    "sharp": (load_decoded_clips, "decoded clips"),
    "segments": (load_latent_videos, "files of latents"),
    "dit": (load_latent_videos, "files of latents"),
    "regen": (load_motion_clips, "motion clips"),
}
"""Tasks that are not trained on videos: how their data is loaded, and what it is called."""

FULL_EVALUATION_MINUTES = 20
"""Length of a run from which evaluations are on all clips."""


@dataclass(frozen=True)
class TrainRequest:
    """Arguments of `dfc train`.

    Args:
        recipe: name, or path of a .toml file.
        data: folder of videos; for the task `sharp`, of decoded clips; for `segments` and `dit`, of `.dfc` files.
        out: folder for `last.pt`, `best.pt`, `log.jsonl`, the curves and `model.safetensors`.
        minutes, steps: length of the run; give exactly one.
        resume: checkpoint to resume from.
        start: initial weights, a model's name or file; None uses the initialization of the recipe's task.
        stage: run only this stage.
        stop_after: number of steps after which to stop as if interrupted.
        report_minutes: minutes between evaluations.
        frames: maximum number of frames per video to keep in memory.
        device, dtype, threads: where and how to run; 0 threads uses all available cores.
        seed: random seed.
        name: name of the weights, which files encoded with them carry; empty takes that of the folder `out`.
    """

    recipe: str
    data: Path
    out: Path
    minutes: float | None = None
    steps: int | None = None
    resume: Path | None = None
    start: str | None = None
    stage: str | None = None
    stop_after: int | None = None
    report_minutes: float = 5.0
    frames: int = 64
    device: str = "auto"
    dtype: str = "auto"
    threads: int = 0
    seed: int = 256
    name: str = ""


def train(request: TrainRequest, on_progress: ProgressCallback = lambda _: None) -> bool:
    """Train; return True if the run is complete, False if `stop_after` ended it.

    With `torchrun`, call this in every process. Each process uses one GPU, or a share of the cores (gloo).

    Raises:
        UsageError: not exactly one of minutes and steps is set; the recipe, stage or device is unknown; or the output
            folder is not writable.
        InputError: there is no video or no checkpoint, or it is not valid.
    """
    if (request.minutes is None) == (request.steps is None):
        raise UsageError("the length of the run is not clear: give either --minutes or --steps")
    if request.minutes is not None and not 0 < request.minutes < math.inf:
        raise UsageError(f"--minutes {request.minutes:g} is not a valid length: give more than 0")
    if request.name and (find_entry(request.name) is not None or len(request.name.encode()) > MAX_TEXT):
        raise UsageError(f"--name {request.name[:80]} is the name of a model of dfc, or too long: give another one")
    recipe = load_recipe(request.recipe)
    if request.stage:
        recipe = recipe.with_stage(request.stage)
    try:
        request.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {request.out} is not a writable folder: {error.strerror}; give another one") from None
    device = _join_process_group(request)
    try:
        return _train(request, recipe, device, on_progress)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _train(request: TrainRequest, recipe: Recipe, device: torch.device, on_progress: ProgressCallback) -> bool:
    torch.manual_seed(request.seed)
    autocast = pick_dtype(request.dtype, device)
    # Videos take minutes to decode, so everything else is checked first.
    state = load_checkpoint(request.resume, recipe) if request.resume else None
    start = load_initial_model(request.start, recipe) if request.start else None
    scenes = list(_load_data(request, recipe, on_progress))
    what = LOADERS[recipe.task][1] if recipe.task in LOADERS else "scenes"
    frames = sum(len(scene.frames if hasattr(scene, "frames") else scene.latents) for scene in scenes)
    on_progress({"note": f"{len(scenes)} {what}, {frames} frames in memory"})
    if len({is_held_out(scene.source) for scene in scenes}) == 1:
        on_progress({"note": "no source is held out: the best weights are chosen by clips that are also trained on"})
    task = make_task(recipe, scenes, device, autocast, start)
    if request.minutes is not None:
        _shorten_evaluations(task, request.minutes, on_progress)
    options = RunOptions(
        request.out,
        request.minutes,
        request.steps,
        request.stop_after,
        request.report_minutes,
        request.seed,
        device,
        autocast,
    )
    trainer = Trainer(task, recipe, options, on_progress)
    if request.resume and state:
        trainer.resume(request.resume, state)
    try:
        return trainer.run()
    finally:  # an interrupted run has weights too
        if trainer.rank == 0:
            _write_results(request, task, on_progress)


def _shorten_evaluations(task: Task, minutes: float, on_progress: ProgressCallback) -> None:
    """Evaluate a short run on fewer clips.

    An evaluation on all clips takes about a minute of two cores, and each stage has two, whatever `--minutes` says.
    """
    clips: Sequence[Any] = getattr(task, "held_out", ())
    count = max(2, math.ceil(len(clips) * minutes / FULL_EVALUATION_MINUTES))
    if count < len(clips):
        task.held_out = clips[:count]  # type: ignore[attr-defined]
        on_progress({"note": f"a short run: evaluations on {count} of {len(clips)} clips"})


def _write_results(request: TrainRequest, task: Task, on_progress: ProgressCallback) -> None:
    best = request.out / "best.pt"
    if best.exists():
        name = request.name or default_name(request.out)
        row = export(best, request.out / "model.safetensors", task, name)
        if row.get("cost") is None:
            on_progress({
                "note": "no evaluation was better than the weights at the start of the stage, so model.safetensors has "
                "those weights: train longer, or start from others"
            })  # fmt: skip
    draw_curves(request.out / "log.jsonl", request.out / "curves.png")


def default_name(out: Path) -> str:
    """Name of the weights of a run: that of its folder, but never a name of the package's models."""
    name = out.resolve().name
    return f"{name}-tuned" if find_entry(name) is not None else name


def _load_data(request: TrainRequest, recipe: Recipe, on_progress: ProgressCallback) -> Iterator[Any]:
    """Load the training data of the recipe's task: scenes, decoded clips or latents."""
    if recipe.task in LOADERS:
        return LOADERS[recipe.task][0](request.data)
    return load_scenes(request.data, max_frames=request.frames, on_skip=lambda text: on_progress({"note": text}))


def make_task(
    recipe: Recipe, scenes: Sequence[Any], device: torch.device, autocast: torch.dtype,
    start: nn.Module | None = None,
) -> Task:  # fmt: skip
    """Create the task of a recipe.

    Args:
        recipe: the recipe.
        scenes: training data; sources are split into training and validation set.
        device: device to train on.
        autocast: precision of the networks.
        start: network with initial weights, from :func:`load_initial_model`; None uses the task's own initialization.

    Raises:
        InputError: the task is unknown.
    """
    training, held_out = split_scenes(scenes)
    kind, _ = _task_classes(recipe)
    task: Task = kind(recipe.options, training, held_out, device, autocast, start)
    return task


def _task_classes(recipe: Recipe) -> tuple[Callable[..., Any], type[nn.Module]]:
    if recipe.task not in TASKS:
        raise InputError(f"recipe {recipe.name}: task {recipe.task!r} is unknown; give one of {', '.join(TASKS)}")
    return TASKS[recipe.task]


def load_initial_model(start: str, recipe: Recipe) -> nn.Module:
    """Load a model by name or file as initial weights for a recipe.

    Raises:
        InputError: the recipe trains a different network.
        ModelError: the model is missing or cannot be loaded.
    """
    network = _task_classes(recipe)[1]
    loaders: dict[type, Callable[[str], Any]] = {
        LatentDiT: registry.load_generator, Regen: registry.load_regen, Look: registry.load_look
    }  # fmt: skip
    module = loaders.get(network, registry.load)(start)[0]
    module = getattr(module, "vae", module)  # unwrap the published network
    if not isinstance(module, network):
        raise InputError(
            f"--start {start} is a {type(module).__name__}, but recipe {recipe.name} trains a {network.__name__}: "
            "give a model of that kind"
        )
    loaded: nn.Module = module.requires_grad_(True).train()
    return loaded


def _join_process_group(request: TrainRequest) -> torch.device:
    """Join the process group if `torchrun` started several processes; return the device of this process."""
    device = pick_device(request.device)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    torch.set_num_threads(request.threads or max(1, available_cpus() // ranks))
    if ranks > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if device.type == "cuda":
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    return device


def draw_curves(log: Path, picture: Path) -> bool:
    """Draw the loss and the score of a run's log; return False if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    rows: list[dict[str, Any]] = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    figure = Figure(figsize=(8, 6), layout="constrained")
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    for axis, key in zip(figure.subplots(2, 1, sharex=True), ("cost", "score"), strict=True):
        for stage in stages:
            points = [(row["step"], row[key]) for row in rows if row["stage"] == stage and row[key] is not None]
            axis.plot([x for x, _ in points], [y for _, y in points], marker=".", label=stage)
        axis.set_ylabel(key)
        axis.grid(alpha=0.3)
    if stages:
        figure.legend(*axis.get_legend_handles_labels())
    figure.supxlabel("step")
    figure.savefig(picture, dpi=100)
    return True
