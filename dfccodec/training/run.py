"""From a recipe's name and a folder of footage to trained weights: what `dfc train` does."""

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
from dfccodec.models import registry
from dfccodec.models.mini import Mini
from dfccodec.models.vae import VideoVAE
from dfccodec.runtime.device import pick_device, pick_dtype
from dfccodec.runtime.resources import available_cpus
from dfccodec.training.data.coded import load_coded
from dfccodec.training.data.dataset import is_held_out, load_scenes, split_scenes
from dfccodec.training.export import export
from dfccodec.training.recipe import Recipe, load_recipe
from dfccodec.training.tasks.mini import MiniTask
from dfccodec.training.tasks.sharp import SharpTask
from dfccodec.training.tasks.video_vae import PublishedTask
from dfccodec.training.trainer import Loop, Notice, RunOptions, Task, load_checkpoint

TASKS: dict[str, tuple[Callable[..., Any], type[nn.Module]]] = {
    "mini": (MiniTask, Mini),
    "published": (PublishedTask, VideoVAE),
    "sharp": (SharpTask, Mini),
}


@dataclass(frozen=True)
class Request:
    """What a run is asked for.

    Args:
        recipe: name, or path of a .toml file.
        data: folder of footage; of coded footage for the task `sharp`.
        out: folder for `last.pt`, `best.pt`, `log.jsonl`, the curves and `model.safetensors`.
        minutes, steps: length of the run; exactly one of them.
        resume: checkpoint to go on from.
        start: weights to start from instead of the recipe's own start: a model's name or file.
        stage: only this stage of the recipe.
        stop_after: stop as if interrupted once so many steps are done.
        report: minutes between evaluations.
        frames: frames kept in memory per file of footage, at the most.
        device, dtype, threads: where to run; threads 0 takes the cores that are free.
        seed: of everything random.
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
    report: float = 5.0
    frames: int = 64
    device: str = "auto"
    dtype: str = "auto"
    threads: int = 0
    seed: int = 256


def train(request: Request, notice: Notice = lambda _: None) -> bool:
    """Train; True if the run came to its end, False if `stop_after` ended it.

    Under `torchrun` every process calls this: one GPU each, or one share of the cores (gloo).

    Raises:
        UsageError: the length is not said, or said twice; unknown recipe, stage, device; no folder to write to.
        InputError: no footage, or no checkpoint to go on from.
    """
    if (request.minutes is None) == (request.steps is None):
        raise UsageError("how long to train is not clear: give one of --minutes and --steps")
    if request.minutes is not None and not 0 < request.minutes < math.inf:
        raise UsageError(f"--minutes {request.minutes:g} is no length of a run: give more than 0")
    recipe = load_recipe(request.recipe)
    if request.stage:
        recipe = recipe.only(request.stage)
    try:
        request.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {request.out} is no folder to write to: {error.strerror}") from None
    device = _join(request)
    try:
        return _train(request, recipe, device, notice)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _train(request: Request, recipe: Recipe, device: torch.device, notice: Notice) -> bool:
    torch.manual_seed(request.seed)
    autocast = pick_dtype(request.dtype, device)
    # Footage takes minutes to decode: what can be wrong with anything else is found first.
    state = load_checkpoint(request.resume, recipe) if request.resume else None
    start = load_start(request.start, recipe) if request.start else None
    scenes = list(_footage(request, recipe, notice))
    notice({"note": f"{len(scenes)} scenes, {sum(len(s.frames) for s in scenes)} frames in memory"})
    if len({is_held_out(scene.source) for scene in scenes}) == 1:
        notice({"note": "no source is held out: the best weights will be chosen by clips that are trained on"})
    task = make_task(recipe, scenes, device, autocast, start)
    plan = RunOptions(
        request.out, request.minutes, request.steps, request.stop_after, request.report, request.seed, device, autocast
    )
    loop = Loop(task, recipe, plan, notice)
    if request.resume and state:
        loop.resume(request.resume, state)
    ended = loop.run()
    if loop.rank == 0:
        best = request.out / "best.pt"
        if best.exists():
            export(best, request.out / "model.safetensors", task, recipe.name)
        draw_curves(request.out / "log.jsonl", request.out / "curves.png")
    return ended


def _footage(request: Request, recipe: Recipe, notice: Notice) -> Iterator[Any]:
    """What the recipe's task learns from: scenes, or clips of coded footage."""
    if recipe.task == "sharp":
        return load_coded(request.data)
    return load_scenes(request.data, most=request.frames, on_skip=lambda text: notice({"note": text}))


def make_task(
    recipe: Recipe, scenes: Sequence[Any], device: torch.device, autocast: torch.dtype,
    start: nn.Module | None = None,
) -> Task:  # fmt: skip
    """The task a recipe names, from weights of :func:`load_start` or from its own beginning.

    Raises:
        InputError: the recipe names none.
    """
    training, held_out = split_scenes(scenes)
    kind, _ = _named_task(recipe)
    task: Task = kind(recipe.options, training, held_out, device, autocast, start)
    return task


def _named_task(recipe: Recipe) -> tuple[Callable[..., Any], type[nn.Module]]:
    if recipe.task not in TASKS:
        raise InputError(f"recipe {recipe.name}: task {recipe.task!r} is unknown; give one of {', '.join(TASKS)}")
    return TASKS[recipe.task]


def load_start(start: str, recipe: Recipe) -> nn.Module:
    """The network that a recipe trains, with weights of a model's name or file.

    Raises:
        InputError: it is another network.
        ModelError: it is missing or does not load.
    """
    network = _named_task(recipe)[1]
    module: Any = registry.load(start)[0]
    module = getattr(module, "vae", module)  # the published network stands behind a wrapper
    if not isinstance(module, network):
        raise InputError(
            f"--start {start} is a {type(module).__name__}; recipe {recipe.name} trains a {network.__name__}"
        )
    loaded: nn.Module = module.requires_grad_(True).train()
    return loaded


def _join(request: Request) -> torch.device:
    """Join the other processes where `torchrun` started several; the device of this one."""
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
    """Draw the loss and the score of a run's log; False where matplotlib is not installed."""
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
