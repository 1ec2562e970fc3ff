"""What an encode may choose."""

from __future__ import annotations

from dataclasses import dataclass

from dfccodec.codec.choose.budgets import Budget, check_seed, is_number, is_whole
from dfccodec.codec.choose.target import Target
from dfccodec.codec.clip.quantizer import DEFAULT_DEADZONE
from dfccodec.codec.motion.search import Effort
from dfccodec.container.records import Coding, Fill
from dfccodec.errors import UsageError
from dfccodec.limits import MAX_QP

DEFAULT_BUDGET = Budget("top", 8)
DEFAULT_QP = 24

MAX_REFINE = 10_000
"""Steps: far beyond where anything changes, so that a slip of the finger does not take days."""


@dataclass(frozen=True)
class Settings:
    """What an encode may choose.

    Args:
        budget: which frames to keep.
        qp: quantizer index, 0 (finest) … 63.
        fill: fill policy of dropped frames.
        seed: of Bernoulli budgets.
        coding: how integers become bytes: `INTER` expects what has moved, `RANGE` is larger and faster, `ZSTD` needs
            nothing but zstd to read. None for `INTER` with a model whose latents are near the linear code's, such as
            `mini`, and `RANGE` with others.
        deadzone: slack in quantizer steps within which a latent repeats that of the kept frame before, 0…0.5.
        target: what the whole video is to reach; QPs follow from it, and the number of frames kept where that is free.
        frame_selection: how the kept frames are chosen: by the model's "importance", by "dp" or "greedy"
            (`codec.select`).
        target_sets_budget: with a target, whether it chooses how many frames to keep, too; `budget` says otherwise.
        effort: how long to search for motion.
        refine: steps of latent refinement, 0 for none; None for `codec.refine.STEPS` with a model that says its gain,
            such as `mini`, and none with others, whose steps would take minutes a clip.
    """

    budget: Budget = DEFAULT_BUDGET
    qp: int = DEFAULT_QP
    fill: Fill = Fill.MOTION
    seed: int = 256
    coding: Coding | None = None
    deadzone: float = DEFAULT_DEADZONE
    target: Target | None = None
    target_sets_budget: bool = True
    frame_selection: str = "importance"
    effort: Effort = Effort.NORMAL
    refine: int | None = None

    def __post_init__(self) -> None:
        if not is_whole(self.qp) or not 0 <= self.qp <= MAX_QP:
            raise UsageError(f"QP {self.qp!r} is out of range: give a whole number, 0 (finest) to {MAX_QP} (coarsest)")
        if not is_number(self.deadzone) or not 0 <= self.deadzone <= 0.5:
            raise UsageError(f"deadzone {self.deadzone!r} is out of range: give 0 (round every frame alone) to 0.5")
        if self.refine is not None and not 0 <= self.refine <= MAX_REFINE:
            raise UsageError(f"refine {self.refine} is out of range: give 0 (none) to {MAX_REFINE} steps")
        check_seed(self.seed)
        if self.target and not self.target_sets_budget and self.budget.kind not in ("top", "share", "all"):
            raise UsageError(
                f"--budget {self.budget} and {self.target.option} both choose how many frames to keep: leave out one, "
                "or fix the number as in --budget 8"
            )

    @property
    def fixed_budget(self) -> Budget | None:
        """The budget that a target has to keep to, if any."""
        return None if self.target_sets_budget else self.budget

    @property
    def resumable(self) -> bool:
        """Whether an interrupted encode leaves a part to go on with; see :mod:`dfccodec.codec.resume`."""
        return self.target is None and self.budget.kind != "auto"

    def describe(self) -> str:
        """The command-line options that give these settings, as files record them.

        `--snap` and `--select` are the first names of `--deadzone` and `--frame-selection`, which are still accepted:
        files with the same settings keep the same bytes.
        """
        seed = f" --seed {self.seed}" if self.budget.kind == "bernoulli" else ""
        snap = "" if self.deadzone == DEFAULT_DEADZONE else f" --snap {self.deadzone:g}"
        coding = "" if self.coding is None else f" --coding {self.coding.name.lower()}"
        effort = "" if self.effort == Effort.NORMAL else f" --effort {self.effort.name.lower()}"
        refine = "" if self.refine is None else f" --refine {self.refine}"
        budget = "" if self.target and self.target_sets_budget else f"--budget {self.budget} "
        rate = self.target or f"--qp {self.qp}"
        select = "" if self.frame_selection == "importance" else f" --select {self.frame_selection}"
        return f"{budget}{rate} --fill {self.fill.name.lower()}{coding}{snap}{select}{effort}{refine}{seed}"
