"""The training loop: stages, learning-rate schedule, weight averaging, checkpoints, one or several processes.

A step depends only on the checkpoint, the seed and the step number, because batches and noise come from generators
seeded with (seed, step, rank). Therefore ten steps, a resume, and ten more steps give the same weights as twenty
steps, bit for bit, on a CPU with the same number of threads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from dfccodec.errors import InputError
from dfccodec.runtime.signals import defer_signals
from dfccodec.training.recipe import Recipe, Stage

CPU = torch.device("cpu")

WARM_UP_STEPS = 100
"""Number of steps at the start of every stage in which the learning rate rises from 0 to its maximum."""


class LossModule(nn.Module):
    """A module that computes the loss of a training step.

    `cost` is the objective of the last step in dB, for the log. The loss itself may be scaled for optimization.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cost = torch.zeros(())


class Task(Protocol):
    """A network to train, its training batches and its evaluation."""

    loss_module: LossModule
    model: nn.Module
    """The part of `system` whose weights are averaged and exported."""
    config_json: str
    """Configuration of the model, stored in weight files."""
    max_frames: int
    """Maximum number of frames in a clip."""

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Draw the arguments of `system` for one step."""

    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """Evaluate the model on the validation set. A higher "score" is better."""


@dataclass
class RunState:
    """Progress of a run. `done` is the progress within the stage, in the run's unit: minutes or steps."""

    stage: int = 0
    step: int = 0
    stage_step: int = 0
    done: float = 0.0
    best: float = -math.inf


@dataclass(frozen=True)
class RunOptions:
    """Length, output folder and environment of a run.

    Args:
        folder: folder for checkpoints and the log.
        minutes, steps: length of the run; exactly one is set. Minutes include evaluations, but at least one step is
            taken per stage.
        stop_after: number of steps after which to stop as if interrupted; a checkpoint is written.
        report_minutes: minutes between evaluations; each writes a checkpoint.
        seed: random seed of batches, masks and noise.
        device: device to train on.
        autocast: precision of convolutions.
    """

    folder: Path
    minutes: float | None = None
    steps: int | None = None
    stop_after: int | None = None
    report_minutes: float = 5.0
    seed: int = 256
    device: torch.device = CPU
    autocast: torch.dtype = torch.float32


ProgressCallback = Callable[[dict[str, Any]], None]


class Trainer:
    """A training run of a task by a recipe."""

    def __init__(
        self, task: Task, recipe: Recipe, options: RunOptions, on_progress: ProgressCallback = lambda _: None
    ) -> None:
        self.task, self.recipe, self.options, self.on_progress = task, recipe, options, on_progress
        self.rank, self.ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self.state = RunState()
        self.average_weights = {k: v.detach().clone().float() for k, v in task.model.state_dict().items()}
        self.optimizer: torch.optim.Adam | None = None
        self._optimizer_state: dict[str, Any] | None = None
        self._check_recipe()
        options.folder.mkdir(parents=True, exist_ok=True)

    def _check_recipe(self) -> None:
        """Check the recipe against the model.

        Raises:
            InputError: `frozen` matches no parameter, or clips are too long for the model.
        """
        names = [name for name, _ in self.task.model.named_parameters()]
        for stage in self.recipe.stages:
            where = f"recipe {self.recipe.name}, stage {stage.name}"
            for prefix in stage.frozen:
                if not any(name.startswith(prefix) for name in names):
                    known = ", ".join(sorted({name.split(".")[0] for name in names}))
                    raise InputError(f"{where}: frozen {prefix!r} matches no parameter; prefixes are {known}")
            if stage.frames > self.task.max_frames:
                raise InputError(f"{where}: frames is {stage.frames}; give at most {self.task.max_frames}")

    def run(self) -> bool:
        """Train; return True at the end of the recipe, False if `stop_after` ended the run.

        Raises:
            KeyboardInterrupt: on SIGINT or SIGTERM, after the checkpoint was written.
        """
        try:
            while self.state.stage < len(self.recipe.stages):
                if not self._run_stage(self.recipe.stages[self.state.stage]):
                    self.save()
                    return False
                with defer_signals():
                    self.state = dataclasses.replace(
                        self.state, stage=self.state.stage + 1, stage_step=0, done=0.0, best=-math.inf
                    )
                    self.optimizer = None
                self.save()
        except KeyboardInterrupt:
            self.save()
            raise
        return True

    def _run_stage(self, stage: Stage) -> bool:
        with defer_signals():
            loss_module = self._prepare_stage(stage)
        length = self._stage_length(stage)
        seen: list[float] = []
        spent = 0.0  # minutes that an evaluation takes: the one at the end must fit into the run
        last = tick = time.monotonic()
        if self.state.stage_step == 0 and length:  # the initial weights are the first candidate for the best
            self.on_progress({"note": f"stage {stage.name}: evaluating the weights at its start"})
            spent = self._timed_evaluation(stage, None)
            last = time.monotonic()
        while length and (self.state.stage_step == 0 or self._is_before(length, spent)):
            if self.options.stop_after is not None and self.state.step >= self.options.stop_after:
                return False
            with defer_signals():
                seen.append(self._step(loss_module, stage, self.state.done / length))
                now = time.monotonic()
                self.state.done += 1 if self.options.minutes is None else self._broadcast((now - tick) / 60)
            tick = now
            due = self._broadcast(float(now - last > self.options.report_minutes * 60)) > 0
            ended = not self._is_before(length, spent)
            if self.rank == 0 and self.state.step % 20 == 0:
                part = self.state.done / length
                self.on_progress({"stage": stage.name, "step": self.state.step, "part": part, "cost": seen[-1]})
            if due or ended:
                spent = self._timed_evaluation(stage, float(np.mean(seen)))
                seen, last = [], time.monotonic()
            if ended:
                break
        return True

    def _is_before(self, length: float, spent: float) -> bool:
        """Whether the stage goes on: in minutes, evaluations count, and the last one has to fit."""
        return self.state.done + (0 if self.options.minutes is None else spent) < length

    def _timed_evaluation(self, stage: Stage, cost: float | None) -> float:
        """Evaluate; return the minutes it took, the same in all processes."""
        begin = time.monotonic()
        self._evaluate(stage, cost)
        return self._broadcast((time.monotonic() - begin) / 60)

    def _stage_length(self, stage: Stage) -> float:
        """Return the length of a stage in minutes or steps; the steps of all stages sum to those of the run."""
        if self.options.minutes is not None:
            return self.options.minutes * stage.share
        steps = self.options.steps or 0
        before = sum(s.share for s in self.recipe.stages[: self.state.stage])
        return round(steps * (before + stage.share)) - round(steps * before)

    def _prepare_stage(self, stage: Stage) -> nn.Module:
        """Freeze parameters, create or restore the optimizer, and wrap the module for several processes."""
        model = self.task.model
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith(stage.frozen) if stage.frozen else True)
        parameters = [p for p in self.task.loss_module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(parameters, lr=stage.learning_rate, betas=(0.9, 0.98), fused=True)
        if self._optimizer_state is not None:
            self.optimizer.load_state_dict(self._optimizer_state)
            self._optimizer_state = None
        if self.ranks == 1:
            return self.task.loss_module
        devices = [self.options.device.index] if self.options.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(
            self.task.loss_module, device_ids=devices, find_unused_parameters=True, broadcast_buffers=True
        )

    def _step(self, loss_module: nn.Module, stage: Stage, progress: float) -> float:
        assert self.optimizer is not None
        warm = min(1.0, (self.state.stage_step + 1) / WARM_UP_STEPS)
        rate = stage.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rng = np.random.default_rng((self.options.seed, self.state.step, self.rank))
        loss = loss_module(**self.task.batch(stage, rng))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.recipe.clip_norm)
        if bool(torch.isfinite(norm)):  # skip a bad batch instead of ruining a long run
            self.optimizer.step()
        self.state.step += 1
        self.state.stage_step += 1
        self._update_average()
        return float(self.task.loss_module.cost)

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.state.step % 4:  # an update takes as long as an optimizer step
            return
        decay = min(self.recipe.ema, (1 + self.state.step) / (10 + self.state.step))
        for name, value in self.task.model.state_dict().items():
            self.average_weights[name].lerp_(value.float(), 1 - decay)

    def _broadcast(self, value: float) -> float:
        """Return the value of the first process, so that all processes stop at the same step."""
        if self.ranks == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.options.device)
        dist.broadcast(shared, 0)
        return float(shared)

    def _evaluate(self, stage: Stage, cost: float | None) -> None:
        if self.rank == 0:
            with self.use_average_weights():
                figures = self.task.evaluate(stage)
            row = {"stage": stage.name, "step": self.state.step, "cost": cost and round(cost, 4), **figures}
            with (self.options.folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
            better = figures["score"] > self.state.best
            self.state.best = max(self.state.best, figures["score"])
            self.save()
            if better:
                _save_atomically(
                    self.options.folder / "best.pt",
                    {"model": self.average_weights, "log": row, "recipe": self.recipe.text},
                )
            self.on_progress(row)
        if self.ranks > 1:
            dist.barrier()

    @contextlib.contextmanager
    def use_average_weights(self) -> Iterator[None]:
        """Load the averaged weights into the model while the context is open."""
        model = self.task.model
        own = {k: v.clone() for k, v in model.state_dict().items()}
        model.load_state_dict({k: v.to(own[k].dtype) for k, v in self.average_weights.items()})
        try:
            yield
        finally:
            model.load_state_dict(own)

    def save(self) -> None:
        """Write `last.pt` with everything that the next step depends on."""
        if self.rank:
            return
        state = {
            "system": self.task.loss_module.state_dict(),
            "average": self.average_weights,
            "optimizer": self.optimizer.state_dict() if self.optimizer else self._optimizer_state,
            "progress": dataclasses.asdict(self.state),
            "recipe": self.recipe.name,
            "stages": [stage.name for stage in self.recipe.stages],
            "unit": self._unit,
            "seed": self.options.seed,
        }
        _save_atomically(self.options.folder / "last.pt", state)

    @property
    def _unit(self) -> str:
        return "steps" if self.options.minutes is None else "minutes"

    def resume(self, path: Path, state: dict[str, Any]) -> None:
        """Resume an interrupted run, or start a new run from the final weights of a complete one.

        Args:
            path: path of the checkpoint, for messages.
            state: result of :func:`load_checkpoint` for this recipe.

        Raises:
            InputError: the model configuration differs; or the run was interrupted and its stages, seed or unit of
                length differ, or it has already passed the end of this run.
        """
        try:
            self.task.loss_module.load_state_dict(state["system"])
        except RuntimeError:  # names or shapes differ
            raise InputError(
                f"{path} has another model configuration than recipe {self.recipe.name}: give the recipe that the "
                "checkpoint was made with, or load its weights with --start"
            ) from None
        self.average_weights = {k: v.to(self.options.device) for k, v in state["average"].items()}
        self.state = RunState(**state["progress"])
        stages = [stage.name for stage in self.recipe.stages]
        if self.state.stage >= len(state["stages"]):
            self.state = RunState(step=self.state.step)
            return
        for what, option, was, now in (
            ("stages", "--stage", " and ".join(state["stages"]), " and ".join(stages)),
            ("a length", "--minutes or --steps", f"in {state['unit']}", f"in {self._unit}"),
            ("seed", "--seed", state["seed"], self.options.seed),
        ):
            if was != now:
                raise InputError(f"{path} is an interrupted run with {what} {was}, this run has {now}: change {option}")
        if self.state.done and self.state.done >= self._stage_length(self.recipe.stages[self.state.stage]):
            name, unit = stages[self.state.stage], self._unit
            raise InputError(f"{path} is already at {self.state.done:g} {unit} of stage {name}: give a longer run")
        self._optimizer_state = state["optimizer"]


def load_checkpoint(path: Path, recipe: Recipe) -> dict[str, Any]:
    """Load a checkpoint of a recipe; only tensors and plain values are unpickled.

    Raises:
        InputError: the file does not exist, is not a checkpoint, or belongs to another recipe.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise InputError(f"no checkpoint {path}: give --resume the last.pt of an earlier run") from None
    except Exception as error:  # torch raises many types for a damaged zip file
        raise InputError(f"{path} is not a checkpoint of dfc train ({type(error).__name__}): give a last.pt") from None
    keys = {"system", "average", "optimizer", "progress", "recipe", "stages", "unit", "seed"}
    if not isinstance(state, dict) or not keys <= set(state):
        raise InputError(f"{path} is not a checkpoint of this dfc train: give the last.pt of a run")
    if state["recipe"] != recipe.name:
        raise InputError(f"{path} was made by recipe {state['recipe']}, not {recipe.name}: give --recipe")
    return state


def _save_atomically(path: Path, state: dict[str, Any]) -> None:
    """Write atomically, so that a killed run leaves the previous checkpoint."""
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def uniform_noise_like(x: Tensor, seed: int) -> Tensor:
    """Return uniform noise in [-½, ½); the same seed gives the same noise on one type of device."""
    generator = torch.Generator(device=x.device).manual_seed(seed)
    return torch.rand(x.shape, generator=generator, device=x.device) - 0.5
