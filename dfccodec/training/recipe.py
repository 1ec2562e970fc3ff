"""Training recipes: task, stages, crops and options. A recipe is a TOML file in `recipes/`, or any path."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfccodec.errors import InputError, UsageError

OLD_NAMES = {"mini-seen": "mini-perceptual"}
"""Former names of recipes."""

RECIPES_FOLDER = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Stage:
    """A training stage with its own cosine learning-rate schedule.

    Args:
        name: name for `--stage` and the log.
        share: share of the run's minutes or steps, 0 to 1.
        frames: frames per clip.
        crop: width and height of a clip in pixels, a multiple of 16.
        batch: clips per step.
        learning_rate: maximum learning rate.
        frozen: prefixes of the names of parameters that are not trained.
        loss_kept_frames, loss_dropped_frames: number of kept and dropped frames per clip on which the loss is computed.
            Only these frames go through the expensive end of the decoder.
        refined_share: share of steps, 0 to 1, in which latents are refined as by `dfc encode --refine`. In these steps
            no gradient flows into the encoder.
    """

    name: str
    share: float
    frames: int
    crop: int
    batch: int
    learning_rate: float
    frozen: tuple[str, ...] = ()
    loss_kept_frames: int = 6
    loss_dropped_frames: int = 4
    refined_share: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Args:
        name: stem of the file name.
        task: `mini`, `published` or `sharp`, see `training.tasks`.
        stages: stages in order.
        options: options of the task, such as the model configuration and loss weights.
        ema: decay of the exponential moving average of the weights, 0 to less than 1.
        clip_norm: maximum gradient norm.
        text: content of the file; stored in checkpoints.
    """

    name: str
    task: str
    stages: tuple[Stage, ...]
    options: Mapping[str, Any]
    ema: float = 0.998
    clip_norm: float = 1.0
    text: str = ""

    def with_stage(self, name: str) -> Recipe:
        """Return the recipe with one stage only, which gets the whole run.

        Raises:
            UsageError: there is no such stage.
        """
        stages = tuple(dataclasses.replace(s, share=1.0) for s in self.stages if s.name == name)
        if not stages:
            known = ", ".join(s.name for s in self.stages)
            raise UsageError(f"recipe {self.name} has no stage {name!r}; give one of {known}")
        return dataclasses.replace(self, stages=stages)


def list_recipes() -> list[str]:
    """Return the names of the recipes in the package."""
    return sorted(path.stem for path in RECIPES_FOLDER.glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """Load a recipe by name, or by the path of a .toml file.

    Raises:
        UsageError: there is no such recipe.
        InputError: the file is not TOML, or has an unknown key or an invalid value.
    """
    name = OLD_NAMES.get(name, name)
    path = Path(name) if name.endswith(".toml") else RECIPES_FOLDER / f"{name}.toml"
    if not path.exists() or (path.parent == RECIPES_FOLDER and path.stem not in list_recipes()):
        raise UsageError(
            f"recipe {name!r} is unknown; give one of {', '.join(list_recipes())}, or the path of a .toml file"
        )
    return parse_recipe(path.stem, path.read_text())


def parse_recipe(name: str, text: str) -> Recipe:
    """Parse a recipe.

    Raises:
        InputError: the text is not TOML, or has an unknown key or an invalid value.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"recipe {name}: not TOML ({error})") from None
    rows = values.pop("stage", [])
    options = _rename_old_keys(values.pop("options", {}))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"recipe {name}: stage is not a list of tables; write [[stage]]")
    stages = tuple(_build(Stage, _rename_old_keys(row), f"recipe {name}, stage {n}") for n, row in enumerate(rows))
    if not stages:
        raise InputError(f"recipe {name}: no [[stage]]; add one")
    _check(name, stages)
    whole: Recipe = _build(
        Recipe, {"name": name, "stages": stages, "options": options, "text": text, **values}, f"recipe {name}"
    )
    if not 0 <= whole.ema < 1:
        raise InputError(f"recipe {name}: ema is {whole.ema}; give 0 to less than 1")
    if not whole.clip_norm > 0:
        raise InputError(f"recipe {name}: clip_norm is {whole.clip_norm}; give more than 0")
    return whole


_OLD_KEYS = {
    "kept_shown": "loss_kept_frames", "dropped_shown": "loss_dropped_frames", "refined": "refined_share",
    "moving": "inter", "fitted": "fit_pca", "pooled": "pooled_mse",
}  # fmt: skip
"""Former names of keys; recipes in old checkpoints use them."""


def _rename_old_keys(row: Any) -> Any:
    return {_OLD_KEYS.get(key, key): value for key, value in row.items()} if isinstance(row, Mapping) else row


def _check(name: str, stages: tuple[Stage, ...]) -> None:
    for stage in stages:
        for key in ("share", "frames", "crop", "batch", "learning_rate", "loss_kept_frames"):
            if not getattr(stage, key) > 0:
                raise InputError(f"recipe {name}, stage {stage.name}: {key} is {getattr(stage, key)}; give more than 0")
        if not 0 <= stage.refined_share <= 1:
            raise InputError(f"recipe {name}, stage {stage.name}: refined_share is {stage.refined_share}; give 0 to 1")
        if stage.crop % 16:
            raise InputError(f"recipe {name}, stage {stage.name}: crop is {stage.crop}; give a multiple of 16")
    if len({stage.name for stage in stages}) < len(stages):
        raise InputError(f"recipe {name}: two stages have the same name; rename one of them")
    if abs(sum(stage.share for stage in stages) - 1) > 1e-6:
        raise InputError(f"recipe {name}: the shares of its stages sum to {sum(s.share for s in stages):g}; make it 1")


_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "str": ("a text", (str,)),
    "int": ("a whole number", (int,)),
    "float": ("a number", (int, float)),
    "tuple[str, ...]": ("a list of texts", (list,)),
    "Mapping[str, Any]": ("a table", (Mapping,)),
}


def _check_type(where: str, key: str, value: object, kind: str) -> None:
    """Check a value from TOML against the annotation of its field; fields set by this module are not checked."""
    what, types = _TYPES.get(kind, ("", (object,)))
    good = isinstance(value, types) and (not isinstance(value, bool) or object in types)
    if isinstance(value, list):
        good = good and all(isinstance(item, str) for item in value)
    if not good:
        raise InputError(f"{where}: {key} is {value!r}; give {what}")


def _build(kind: type[Any], row: Mapping[str, Any], where: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = [key for key in row if key not in fields]
    if unknown:
        raise InputError(f"{where}: key {unknown[0]!r} is unknown; known are {', '.join(fields)}")
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in row]
    if missing:
        raise InputError(f"{where}: key {missing[0]!r} is missing")
    for key, value in row.items():
        _check_type(where, key, value, str(fields[key].type))
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})
