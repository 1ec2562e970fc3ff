"""The loop: stages, schedule, averaged weights, checkpoints to go on from, one process or several.

A step is a pure function of the checkpoint, the seed and the step's number: batches and noise are drawn from
generators seeded by (seed, step, rank). So ten steps, a resume and ten more give the weights of twenty, to the bit,
on a CPU with the same number of threads.
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

WARM_UP = 100
"""Steps from a learning rate of nothing to the full one, at the start of every stage."""


class LossModule(nn.Module):
    """A module whose call is the loss of one step, and which says what that step cost in absolute terms.

    `cost` is that of the last step in dB, for the log: the loss itself may be scaled to whatever descends best.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cost = torch.zeros(())


class Task(Protocol):
    """What is trained, the batches for it, and a judge."""

    system: LossModule
    model: nn.Module
    """The part of `system` that is averaged and shipped."""
    config_json: str
    """Its configuration, for the file of weights."""
    max_frames: int
    """Of a clip."""

    def batch(self, stage: Stage, rng: np.random.Generator) -> dict[str, Any]:
        """Arguments of `system` for one step."""

    def evaluate(self, stage: Stage) -> dict[str, Any]:
        """Figures on held-out scenes; the greater "score", the better."""


@dataclass
class RunState:
    """Where a run is. `done` counts within the stage what the run is measured in: minutes or steps."""

    stage: int = 0
    step: int = 0
    stage_step: int = 0
    done: float = 0.0
    best: float = -math.inf


@dataclass(frozen=True)
class RunOptions:
    """How long and where.

    Args:
        folder: for checkpoints and the log.
        minutes, steps: length of the whole run; one of them.
        stop_after: steps after which to stop as if interrupted; the checkpoint is written.
        report: minutes between evaluations; every evaluation writes a checkpoint.
        seed: of batches, masks and noise.
        device: where to train.
        autocast: precision of convolutions.
    """

    folder: Path
    minutes: float | None = None
    steps: int | None = None
    stop_after: int | None = None
    report: float = 5.0
    seed: int = 256
    device: torch.device = CPU
    autocast: torch.dtype = torch.float32


Notice = Callable[[dict[str, Any]], None]


class Loop:
    """One training run of a task by a recipe."""

    def __init__(self, task: Task, recipe: Recipe, plan: RunOptions, notice: Notice = lambda _: None) -> None:
        self.task, self.recipe, self.plan, self.notice = task, recipe, plan, notice
        self.rank, self.ranks = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        self.at = RunState()
        self.average = {k: v.detach().clone().float() for k, v in task.model.state_dict().items()}
        self.optimizer: torch.optim.Adam | None = None
        self._pending: dict[str, Any] | None = None
        self._check_recipe()
        plan.folder.mkdir(parents=True, exist_ok=True)

    def _check_recipe(self) -> None:
        """What only the model can tell.

        Raises:
            InputError: a stage freezes what is not there, or its clips are too long.
        """
        names = [name for name, _ in self.task.model.named_parameters()]
        for stage in self.recipe.stages:
            where = f"recipe {self.recipe.name}, stage {stage.name}"
            for prefix in stage.frozen:
                if not any(name.startswith(prefix) for name in names):
                    known = ", ".join(sorted({name.split(".")[0] for name in names}))
                    raise InputError(f"{where}: frozen has {prefix!r}, but no parameter begins so; there are {known}")
            if stage.frames > self.task.max_frames:
                raise InputError(f"{where}: frames is {stage.frames}; this model takes {self.task.max_frames} at most")

    def run(self) -> bool:
        """Train to the end of the recipe, or to `stop_after`; True if the end was reached.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM; the steps done until then are saved.
        """
        try:
            while self.at.stage < len(self.recipe.stages):
                if not self._run_stage(self.recipe.stages[self.at.stage]):
                    self.save()
                    return False
                with defer_signals():
                    self.at = dataclasses.replace(
                        self.at, stage=self.at.stage + 1, stage_step=0, done=0.0, best=-math.inf
                    )
                    self.optimizer = None
                self.save()
        except KeyboardInterrupt:
            self.save()
            raise
        return True

    def _run_stage(self, stage: Stage) -> bool:
        with defer_signals():
            system = self._enter(stage)
        length = self._length(stage)
        seen: list[float] = []
        if self.at.stage_step == 0 and length:  # what the stage begins with is the first to beat
            self._report(stage, None)
        last = tick = time.monotonic()
        while self.at.done < length:
            if self.plan.stop_after is not None and self.at.step >= self.plan.stop_after:
                return False
            with defer_signals():
                seen.append(self._step(system, stage, self.at.done / length))
                now = time.monotonic()
                self.at.done += 1 if self.plan.minutes is None else self._agreed((now - tick) / 60)
            tick = now
            due = self._agreed(float(now - last > self.plan.report * 60)) > 0
            if self.rank == 0 and self.at.step % 20 == 0:
                part = self.at.done / length
                self.notice({"stage": stage.name, "step": self.at.step, "part": part, "cost": seen[-1]})
            if due or self.at.done >= length:
                self._report(stage, float(np.mean(seen)))
                seen, last = [], time.monotonic()
                tick = last  # judging is not training
        return True

    def _length(self, stage: Stage) -> float:
        """Of a stage, in minutes or steps; steps of all stages add up to those of the run."""
        if self.plan.minutes is not None:
            return self.plan.minutes * stage.share
        steps = self.plan.steps or 0
        before = sum(s.share for s in self.recipe.stages[: self.at.stage])
        return round(steps * (before + stage.share)) - round(steps * before)

    def _enter(self, stage: Stage) -> nn.Module:
        """Freeze, make or restore the optimizer, wrap for several processes."""
        model = self.task.model
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.startswith(stage.frozen) if stage.frozen else True)
        parameters = [p for p in self.task.system.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(parameters, lr=stage.learning_rate, betas=(0.9, 0.98), fused=True)
        if self._pending is not None:
            self.optimizer.load_state_dict(self._pending)
            self._pending = None
        if self.ranks == 1:
            return self.task.system
        devices = [self.plan.device.index] if self.plan.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(
            self.task.system, device_ids=devices, find_unused_parameters=True, broadcast_buffers=True
        )

    def _step(self, system: nn.Module, stage: Stage, part: float) -> float:
        assert self.optimizer is not None
        warm = min(1.0, (self.at.stage_step + 1) / WARM_UP)
        rate = stage.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(part, 1.0))))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rng = np.random.default_rng((self.plan.seed, self.at.step, self.rank))
        loss = system(**self.task.batch(stage, rng))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.recipe.clip_norm)
        if bool(torch.isfinite(norm)):  # one bad batch must not end a run of hours
            self.optimizer.step()
        self.at.step += 1
        self.at.stage_step += 1
        self._average()
        return float(self.task.system.cost)

    @torch.no_grad()
    def _average(self) -> None:
        if self.at.step % 4:  # the copy costs as much as the optimizer
            return
        decay = min(self.recipe.ema, (1 + self.at.step) / (10 + self.at.step))
        for name, value in self.task.model.state_dict().items():
            self.average[name].lerp_(value.float(), 1 - decay)

    def _agreed(self, value: float) -> float:
        """The first process's value in every process: they must all stop at the same step."""
        if self.ranks == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.plan.device)
        dist.broadcast(shared, 0)
        return float(shared)

    def _report(self, stage: Stage, cost: float | None) -> None:
        if self.rank == 0:
            with self.averaged():
                figures = self.task.evaluate(stage)
            row = {"stage": stage.name, "step": self.at.step, "cost": cost and round(cost, 4), **figures}
            with (self.plan.folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
            better = figures["score"] > self.at.best
            self.at.best = max(self.at.best, figures["score"])
            self.save()
            if better:
                _write(self.plan.folder / "best.pt", {"model": self.average, "log": row, "recipe": self.recipe.text})
            self.notice(row)
        if self.ranks > 1:
            dist.barrier()

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in the model's place."""
        model = self.task.model
        own = {k: v.clone() for k, v in model.state_dict().items()}
        model.load_state_dict({k: v.to(own[k].dtype) for k, v in self.average.items()})
        try:
            yield
        finally:
            model.load_state_dict(own)

    def save(self) -> None:
        """Write `last.pt`: everything the next step depends on."""
        if self.rank:
            return
        state = {
            "system": self.task.system.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict() if self.optimizer else self._pending,
            "progress": dataclasses.asdict(self.at),
            "recipe": self.recipe.name,
            "stages": [stage.name for stage in self.recipe.stages],
            "unit": self._unit,
            "seed": self.plan.seed,
        }
        _write(self.plan.folder / "last.pt", state)

    @property
    def _unit(self) -> str:
        return "steps" if self.plan.minutes is None else "minutes"

    def resume(self, path: Path, state: dict[str, Any]) -> None:
        """Go on from a checkpoint: in the middle of its run, or with a new run from the weights it ended with.

        Args:
            path: of it, for messages.
            state: what :func:`load_checkpoint` returned, for this recipe.

        Raises:
            InputError: the model has another configuration, or the run was interrupted and had other stages, another
                seed or unit of length, or has come farther than this one would.
        """
        try:
            self.task.system.load_state_dict(state["system"])
        except RuntimeError:  # names or shapes
            raise InputError(
                f"{path} holds a model of another configuration than recipe {self.recipe.name} has now: "
                "give the recipe it was made by, or --start with its weights"
            ) from None
        self.average = {k: v.to(self.plan.device) for k, v in state["average"].items()}
        self.at = RunState(**state["progress"])
        stages = [stage.name for stage in self.recipe.stages]
        if self.at.stage >= len(state["stages"]):
            self.at = RunState(step=self.at.step)
            return
        for what, option, was, now in (
            ("stages", "--stage", " and ".join(state["stages"]), " and ".join(stages)),
            ("a length", "--minutes or --steps", f"in {state['unit']}", f"in {self._unit}"),
            ("seed", "--seed", state["seed"], self.plan.seed),
        ):
            if was != now:
                raise InputError(f"{path} is of an interrupted run with {what} {was}, this one has {now}: see {option}")
        if self.at.done and self.at.done >= self._length(self.recipe.stages[self.at.stage]):
            name, unit = stages[self.at.stage], self._unit
            raise InputError(f"{path} has come {self.at.done:g} {unit} far in stage {name}: give a longer run")
        self._pending = state["optimizer"]


def load_checkpoint(path: Path, recipe: Recipe) -> dict[str, Any]:
    """Read a checkpoint of a recipe, tensors and plain values only.

    Raises:
        InputError: there is none, or it holds something else, or is of another recipe.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise InputError(f"no checkpoint {path}: --resume names a last.pt of an earlier run") from None
    except Exception as error:  # torch raises a dozen kinds for a broken zip
        raise InputError(f"{path} is no checkpoint of dfc train ({type(error).__name__})") from None
    keys = {"system", "average", "optimizer", "progress", "recipe", "stages", "unit", "seed"}
    if not isinstance(state, dict) or not keys <= set(state):
        raise InputError(f"{path} is no checkpoint of this dfc train: give the last.pt of a run")
    if state["recipe"] != recipe.name:
        raise InputError(f"{path} was made by recipe {state['recipe']}, not {recipe.name}: give --recipe")
    return state


def _write(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all: a killed run leaves the checkpoint before."""
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def noise_like(x: Tensor, seed: int) -> Tensor:
    """Uniform noise in [-½, ½), the same for the same seed on one kind of device."""
    generator = torch.Generator(device=x.device).manual_seed(seed)
    return torch.rand(x.shape, generator=generator, device=x.device) - 0.5
