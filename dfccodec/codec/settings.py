"""Settings of an encode, and their options on the command line and in the library."""

from __future__ import annotations

from dataclasses import dataclass

from dfccodec.codec import fill as fills
from dfccodec.codec.choose import frame_selection as selection
from dfccodec.codec.choose.budgets import Budget, check_seed, is_number, is_whole
from dfccodec.codec.choose.target import Target
from dfccodec.codec.clip.quantizer import DEFAULT_DEADZONE
from dfccodec.codec.look_strength import FAITHFUL, look_name, parse_look
from dfccodec.codec.motion.search import Effort
from dfccodec.codec.presets import DEFAULTS, PRESETS
from dfccodec.container.records import Coding, Fill
from dfccodec.entropy.latent_coding import parse_coding
from dfccodec.errors import UsageError
from dfccodec.limits import MAX_QP

DEFAULT_BUDGET = Budget("top", 8)
DEFAULT_QP = 24

MAX_REFINE = 10_000
"""Maximum iterations of latent refinement: far more than useful, so that a typing error does not take days."""


@dataclass(frozen=True)
class Settings:
    """Settings of an encode.

    Args:
        budget: rule that chooses the kept frames.
        qp: quantizer index, 0 (finest) … 63.
        fill: fill policy of dropped frames.
        seed: random seed of Bernoulli budgets.
        coding: coding of the kept frames: `PREDICTED` (from decoded pictures), or latents: `INTER` (rANS with
            motion-compensated prediction), `RANGE` (rANS, larger and faster), `ZSTD` (needs only zstd to read). None is
            `PREDICTED` with fill policy `BLEND` and a model whose latents are near those of the format's linear
            transform, such as `mini`; `INTER` for such a model and other fill policies; and `RANGE` for others.
        deadzone: 0…0.5 quantizer steps: a latent within 0.5 + `deadzone` of its prediction takes the predicted value.
        target: target of the whole video. It determines the QPs and, if `target_sets_budget`, the number of kept
            frames.
        frame_selection: how the kept frames are chosen: by the model's "importance", by "dp" or "greedy"
            (`codec.select`).
        target_sets_budget: whether a target chooses the number of kept frames too; False if `budget` was given.
        effort: effort of the motion search.
        refine: iterations of latent refinement, 0 for none. None is `codec.clip.refine.DEFAULT_ITERATIONS` for models
            that state their synthesis gain, such as `mini`, and 0 for others, where refinement takes minutes per clip.
        look: strength of the look that the file suggests to its readers, 0 (none) to 1. It changes nothing else.
    """

    budget: Budget = DEFAULT_BUDGET
    qp: int = DEFAULT_QP
    fill: Fill = Fill.BLEND
    seed: int = 256
    coding: Coding | None = None
    deadzone: float = DEFAULT_DEADZONE
    target: Target | None = None
    target_sets_budget: bool = True
    frame_selection: str = "importance"
    effort: Effort = Effort.NORMAL
    refine: int | None = None
    look: float = 0.0

    def __post_init__(self) -> None:
        if not is_whole(self.qp) or not 0 <= self.qp <= MAX_QP:
            raise UsageError(f"QP {self.qp!r} is out of range: give a whole number, 0 (finest) to {MAX_QP} (coarsest)")
        if not is_number(self.deadzone) or not 0 <= self.deadzone <= 0.5:
            raise UsageError(f"deadzone {self.deadzone!r} is out of range: give 0 (no dead zone) to 0.5")
        if self.refine is not None and not 0 <= self.refine <= MAX_REFINE:
            raise UsageError(f"refine {self.refine} is out of range: give 0 (none) to {MAX_REFINE} iterations")
        check_seed(self.seed)
        if self.target and not self.target_sets_budget and self.budget.kind not in ("top", "share", "all"):
            raise UsageError(
                f"--budget {self.budget} and {self.target.option} both choose how many frames to keep: leave out one, "
                "or fix the number as in --budget 8"
            )

    @property
    def fixed_budget(self) -> Budget | None:
        """The budget that a target must keep; None if it may choose."""
        return None if self.target_sets_budget else self.budget

    @property
    def resumable(self) -> bool:
        """Whether an interrupted encode can be resumed; see :mod:`dfccodec.codec.resume`."""
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
        look = f" --look {look_name(self.look)}" if self.look else ""
        select = "" if self.frame_selection == "importance" else f" --select {self.frame_selection}"
        return f"{budget}{rate} --fill {self.fill.name.lower()}{coding}{snap}{select}{effort}{refine}{seed}{look}"


def make_settings(
    *,
    preset: str | None = None,
    budget: str | float | Budget | None = None,
    qp: int | None = None,
    fill: str | None = None,
    seed: int = 256,
    coding: str | None = None,
    deadzone: float | None = None,
    target: Target | None = None,
    frame_selection: str | None = None,
    effort: str | None = None,
    refine: int | str | None = None,
    look: str | float = FAITHFUL,
) -> Settings:
    """Make settings from options. None means not given: the preset or the default decides.

    Raises:
        UsageError: a value is invalid, or two options contradict each other.
    """
    if preset is not None and not (isinstance(preset, str) and preset in PRESETS):
        raise UsageError(f"preset {preset!r} is unknown; give one of: {', '.join(PRESETS)}")
    if target is not None and qp is not None:
        raise UsageError(f"--qp {qp} and {target.option} are given: a target chooses the QPs; leave out one of them")
    named = {"fill": fill, "coding": coding, "frame_selection": frame_selection, "effort": effort, "refine": refine}
    given: dict[str, str | int] = {name: value for name, value in named.items() if value is not None}
    options = DEFAULTS | (PRESETS[preset] if preset else {}) | given
    chosen = None if budget is None else Budget.of(budget)
    return Settings(
        chosen or DEFAULT_BUDGET,
        DEFAULT_QP if qp is None else qp,
        fills.parse(str(options["fill"])),
        seed,
        parse_coding(str(options["coding"])) if "coding" in options else None,
        DEFAULT_DEADZONE if deadzone is None else deadzone,
        target,
        target_sets_budget=chosen is None,
        frame_selection=selection.parse(str(options["frame_selection"])),
        effort=Effort.parse(str(options["effort"])),
        refine=_iterations(options["refine"]) if "refine" in options else None,
        look=parse_look(look),
    )


def _iterations(value: str | int) -> int:
    if isinstance(value, int) or (isinstance(value, str) and value.removeprefix("-").isdecimal()):
        return int(value)
    raise UsageError(f"refine {value!r} is not a number of iterations: give a whole number, 0 or more")
