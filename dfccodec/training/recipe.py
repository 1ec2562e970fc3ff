"""Recipes: what to train, in which stages, on what crops. TOML files beside this module, or a path."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfccodec.errors import InputError, UsageError

OLD_NAMES = {"mini-seen": "mini-perceptual"}
"""Names that recipes had at first."""

FOLDER = Path(__file__).with_name("recipes")


@dataclass(frozen=True)
class Stage:
    """One stretch of training with a cosine of its own.

    Args:
        name: what `--stage` and the log call it.
        share: of the minutes or steps of the whole run.
        frames: of a training clip.
        crop: pixels on a side of a training clip, a multiple of 16.
        batch: clips a step.
        learning_rate: at the top of the cosine.
        frozen: prefixes of parameter names that stay as they are.
        loss_kept_frames, loss_dropped_frames: frames of a clip that the loss is computed on in one step; only these go
            through the costly end of the decoder.
        refined_share: share of the steps in which the decoder learns from latents refined as by `dfc encode --refine`;
            in these the encoder is frozen.
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
    """A training run on paper.

    Args:
        name: of the file.
        task: `mini` or `published`, see `training.tasks`.
        stages: in order.
        options: what the task itself understands: the model's configuration, weights of its losses.
        ema: decay of the averaged weights.
        clip_norm: gradients are scaled down to this norm.
        text: the file, kept in every checkpoint.
    """

    name: str
    task: str
    stages: tuple[Stage, ...]
    options: Mapping[str, Any]
    ema: float = 0.998
    clip_norm: float = 1.0
    text: str = ""

    def only(self, name: str) -> Recipe:
        """The same recipe with one of its stages.

        Raises:
            UsageError: it has no such stage.
        """
        stages = tuple(dataclasses.replace(s, share=1.0) for s in self.stages if s.name == name)
        if not stages:
            known = ", ".join(s.name for s in self.stages)
            raise UsageError(f"recipe {self.name} has no stage {name!r}; it has {known}")
        return dataclasses.replace(self, stages=stages)


def names() -> list[str]:
    """Recipes in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """A recipe by name, or by the path of a .toml file.

    Raises:
        UsageError: there is no such recipe.
        InputError: it is not TOML, or has a key or value that means nothing here.
    """
    name = OLD_NAMES.get(name, name)
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.exists() or (path.parent == FOLDER and path.stem not in names()):
        raise UsageError(f"recipe {name!r} is unknown; give one of {', '.join(names())}, or the path of a .toml file")
    return parse_recipe(path.stem, path.read_text())


def parse_recipe(name: str, text: str) -> Recipe:
    """A recipe from the text of its file.

    Raises:
        InputError: as for :func:`load_recipe`.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"recipe {name}: not TOML ({error})") from None
    rows = values.pop("stage", [])
    options = _renamed(values.pop("options", {}))
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"recipe {name}: stage is no table; write [[stage]]")
    stages = tuple(_build(Stage, _renamed(row), f"recipe {name}, stage {n}") for n, row in enumerate(rows))
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
"""Names that keys had at first; recipes inside old checkpoints use them."""


def _renamed(row: Any) -> Any:
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
        raise InputError(f"recipe {name}: two stages have one name; --stage could not tell them apart")
    if abs(sum(stage.share for stage in stages) - 1) > 1e-6:
        raise InputError(f"recipe {name}: the shares of its stages add up to {sum(s.share for s in stages):g}, not 1")


_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "str": ("a text", (str,)),
    "int": ("a whole number", (int,)),
    "float": ("a number", (int, float)),
    "tuple[str, ...]": ("a list of texts", (list,)),
    "Mapping[str, Any]": ("a table", (Mapping,)),
}


def _check_type(where: str, key: str, value: object, kind: str) -> None:
    """By the annotation of a field; other fields come from here."""
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
