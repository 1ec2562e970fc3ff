"""Convert the options of an encode, from the command line or the library, to settings."""

from __future__ import annotations

from dfccodec.codec import fill as fills
from dfccodec.codec.choose import frame_selection as selection
from dfccodec.codec.choose.budgets import Budget
from dfccodec.codec.choose.target import Target
from dfccodec.codec.clip.quantizer import DEFAULT_DEADZONE
from dfccodec.codec.motion.search import Effort
from dfccodec.codec.presets import DEFAULTS, PRESETS
from dfccodec.codec.settings import DEFAULT_BUDGET, DEFAULT_QP, Settings
from dfccodec.entropy.latent_coding import parse_coding
from dfccodec.errors import UsageError


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
    )


def _iterations(value: str | int) -> int:
    if isinstance(value, int) or (isinstance(value, str) and value.removeprefix("-").isdecimal()):
        return int(value)
    raise UsageError(f"refine {value!r} is not a number of iterations: give a whole number, 0 or more")
