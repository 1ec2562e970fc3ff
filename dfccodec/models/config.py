"""Configurations of networks: frozen dataclasses, stored as JSON.

The JSON form is one flat object: the fields of the dataclass and `"family"`, which names the network. It is read
strictly, because it comes from files: unknown and missing keys are errors.

>>> text = PUBLISHED_DIT.to_json()
>>> config_from_json(text) == PUBLISHED_DIT
True

A new family is one row in `FAMILIES`; nothing else here changes.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, Self, get_type_hints

from dfccodec.errors import ModelError

MAX_JSON_CHARS = 64 * 1024  # a real configuration is under 1 kB
MAX_WIDTH = 1 << 16  # maximum of any width, count or side: far above real networks
MAX_DEPTH = 256  # maximum number of layers: they are Python objects, created before any tensor is checked


class ModelConfig(Protocol):
    """Interface of all configurations: conversion to JSON and back."""

    def to_json(self) -> str:
        """Return the JSON text, as in chunk MODL of a file."""
        ...

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`.

        Raises:
            ModelError: the text is invalid, or a value is out of range.
        """
        ...


@dataclasses.dataclass(frozen=True)
class JsonConfig:
    """Base of every configuration: strict JSON in both directions.

    Fields may be `int`, `float`, `bool`, `str`, or tuples of one of these (`tuple[int, ...]`). Subclasses set
    `family` and may check values in `__post_init__`, raising `ModelError`.
    """

    family: ClassVar[str]

    def to_json(self) -> str:
        """Return the canonical text, without spaces and with sorted keys: equal configurations give equal bytes."""
        return json.dumps({"family": self.family, **dataclasses.asdict(self)}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`.

        Raises:
            ModelError: the text is not JSON, the family differs, a key is unknown or missing, or a value is invalid.
        """
        values = _parse_object(text)
        family = values.pop("family", None)
        if family != cls.family:
            raise ModelError(f"model config: family is {family!r}; expected {cls.family!r}")
        hints = {field.name: get_type_hints(cls)[field.name] for field in dataclasses.fields(cls)}
        unknown = [key for key in values if key not in hints]
        if unknown:
            raise ModelError(
                f"model config: unknown key {_short(unknown[0])} with value {_short(values[unknown[0]])}; "
                f"{cls.family} has {', '.join(hints)}"
            )
        missing = [key for key in hints if key not in values]
        if missing:
            raise ModelError(
                f"model config: key {missing[0]!r} is missing; add it ({_describe_type(hints[missing[0]])})"
            )
        return cls(**{key: _convert(key, value, hints[key]) for key, value in values.items()})

    @classmethod
    def with_values(cls, base: Self, values: Mapping[str, object]) -> Self:
        """Return `base` with some values replaced, by field name.

        Raises:
            ModelError: a key is unknown, or a value has the wrong type or is out of range.
        """
        return cls.from_json(json.dumps({"family": cls.family, **dataclasses.asdict(base), **values}, default=str))

    def require(self, condition: bool, key: str, fix: str) -> None:
        """Raise a `ModelError` with `key`, its value and `fix` if `condition` is False."""
        if not condition:
            raise ModelError(f"model config: {key} is {_short(getattr(self, key))}; {fix}")

    def require_sizes(self, *depths: str) -> None:
        """Check that integer fields named in `depths` are in 1…`MAX_DEPTH` and all others in 1…`MAX_WIDTH`."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int):
                limit = MAX_DEPTH if field.name in depths else MAX_WIDTH
                self.require(1 <= value <= limit, field.name, f"use 1 to {limit}")


def _require_heads(config: JsonConfig, features: int, heads: int) -> None:
    """Check that the width of a head is even: rotary embeddings rotate pairs of numbers."""
    config.require(features % (2 * heads) == 0, "qkv_features", f"use a multiple of 2 × num_heads = {2 * heads}")


@dataclasses.dataclass(frozen=True)
class VAEConfig(JsonConfig):
    """Configuration of the published VideoVAE: clip → one latent per token and an importance per frame → clip.

    Args:
        height, width: pixels. The size is fixed, because one layer of the importance head has a weight per token.
        channels: colour channels of a pixel.
        patch_size: side of a token in pixels.
        encoder_depth, decoder_depth: numbers of factored-attention blocks.
        mlp_dim: hidden width of each MLP.
        num_heads, qkv_features: number of attention heads, and their total width.
        max_temporal_len: maximum number of frames in a clip.
        spatial_compression_rate: width of a token divided by the width of a latent.
        unembedding_upsample_rate: channels at full resolution per pixel channel, before the U-Net.
    """

    family: ClassVar[str] = "dfc-vae"

    height: int
    width: int
    channels: int
    patch_size: int
    encoder_depth: int
    decoder_depth: int
    mlp_dim: int
    num_heads: int
    qkv_features: int
    max_temporal_len: int
    spatial_compression_rate: int
    unembedding_upsample_rate: int

    def __post_init__(self) -> None:
        self.require_sizes("encoder_depth", "decoder_depth")
        for side in ("height", "width"):
            size = getattr(self, side)
            self.require(size % self.patch_size == 0, side, f"use a multiple of patch_size {self.patch_size}")
            self.require(size % 8 == 0, side, "use a multiple of 8: the U-Net halves it three times")
        _require_heads(self, self.qkv_features, self.num_heads)
        rate = self.spatial_compression_rate
        self.require(self.dim % rate == 0, "spatial_compression_rate", f"use a divisor of the token width {self.dim}")

    @property
    def dim(self) -> int:
        """Width of a token: number of values in a patch."""
        return self.channels * self.patch_size**2

    @property
    def tokens(self) -> int:
        """Number of tokens per frame."""
        return (self.height // self.patch_size) * (self.width // self.patch_size)

    @property
    def latent_channels(self) -> int:
        """Width of a latent."""
        return self.dim // self.spatial_compression_rate


@dataclasses.dataclass(frozen=True)
class DiTConfig(JsonConfig):
    """Configuration of the published VideoDiT: noise → latents of kept frames and the gaps between them.

    Args:
        hw: tokens per frame.
        residual_dim: width of a token inside the network.
        compressed_channel_dim: width of a latent.
        depth: number of factored-attention blocks.
        mlp_dim: hidden width of each MLP.
        num_heads, qkv_features: number of attention heads, and their total width.
        max_temporal_len: maximum number of kept frames in a clip.
    """

    family: ClassVar[str] = "dfc-dit"

    hw: int
    residual_dim: int
    compressed_channel_dim: int
    depth: int
    mlp_dim: int
    num_heads: int
    qkv_features: int
    max_temporal_len: int

    def __post_init__(self) -> None:
        self.require_sizes("depth")
        _require_heads(self, self.qkv_features, self.num_heads)


PUBLISHED_VAE = VAEConfig(
    height=256,
    width=256,
    channels=3,
    patch_size=16,
    encoder_depth=9,
    decoder_depth=12,
    mlp_dim=1536,
    num_heads=8,
    qkv_features=512,
    max_temporal_len=64,
    spatial_compression_rate=8,
    unembedding_upsample_rate=4,
)
PUBLISHED_DIT = DiTConfig(
    hw=256,
    residual_dim=1024,
    compressed_channel_dim=96,
    depth=30,
    mlp_dim=2048,
    num_heads=8,
    qkv_features=1024,
    max_temporal_len=64,
)


@dataclasses.dataclass(frozen=True)
class Family:
    """Import paths of the classes of a family, as `module:Class`, so that listing families imports nothing.

    Args:
        config: a `ModelConfig`, usually a `JsonConfig`.
        module: an `nn.Module` that takes this config. It is built on the meta device and its state dict is assigned,
            so all its buffers must be in the state dict. Floating-point tensors are cast to the requested precision,
            except the names listed in its class attribute `float32_tensors`.
        codec: adapter of the module to `interface.LatentModel`; "" if the module is a `LatentModel` itself; None if
            the network is not a codec.
        latent_space: how the names of the tensors begin that make latents of pictures; see `models.identity`.
    """

    config: str
    module: str
    codec: str | None = None
    latent_space: tuple[str, ...] = ()


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "dfc-vae": Family(
            config="dfccodec.models.config:VAEConfig",
            module="dfccodec.models.vae:VideoVAE",
            codec="dfccodec.models.video_vae_adapter:VideoVAEAdapter",
            latent_space=("encoder.",),
        ),
        "dfc-dit": Family(config="dfccodec.models.config:DiTConfig", module="dfccodec.models.dit:VideoDiT"),
        "mini": Family(
            config="dfccodec.models.mini:MiniConfig",
            module="dfccodec.models.mini:Mini",
            codec="",
            latent_space=("encoder.", "linear."),
        ),
        "mini-dit": Family(
            config="dfccodec.models.latent_dit:LatentDiTConfig", module="dfccodec.models.latent_dit:LatentDiT"
        ),
        "mini-look": Family(config="dfccodec.models.look:LookConfig", module="dfccodec.models.look:Look"),
        "mini-regen": Family(config="dfccodec.models.regen:RegenConfig", module="dfccodec.models.regen:Regen"),
    }
)


def import_object(path: str) -> Any:
    """Import the object at `package.module:name`.

    Raises:
        ModelError: the module or the name does not exist in this installation.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"this dfc has no {path} ({error}); install a version that does") from error


def parse_family(text: str) -> str:
    """Return the family of a configuration in JSON, without importing the code of the family.

    Raises:
        ModelError: the text is not a JSON object, or its family is missing or unknown.
    """
    values = _parse_object(text)
    if "family" not in values:
        raise ModelError(f"model config: key 'family' is missing; add one of {', '.join(FAMILIES)}")
    family = values["family"]
    if not isinstance(family, str) or family not in FAMILIES:
        raise ModelError(f"model config: family is {_short(family)}; this dfc knows {', '.join(FAMILIES)}")
    return family


def config_from_json(text: str) -> ModelConfig:
    """Parse a configuration of any known family.

    Raises:
        ModelError: as for `parse_family` and `from_json` of the family.
    """
    config_class: type[ModelConfig] = import_object(FAMILIES[parse_family(text)].config)
    return config_class.from_json(text)


def _parse_object(text: str) -> dict[str, Any]:
    if len(text) > MAX_JSON_CHARS:
        raise ModelError(f"model config: {len(text)} characters; the limit is {MAX_JSON_CHARS}")
    try:
        values = json.loads(text, object_pairs_hook=_reject_duplicates, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"model config: not JSON ({error}); write one object of keys and numbers") from error
    if not isinstance(values, dict):
        raise ModelError(f'model config: {_short(values)} is not a JSON object; write {{"family": …, …}}')
    return values


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("duplicate key")
    return values


def _reject_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _convert(key: str, value: object, hint: Any) -> object:
    """Convert `value` to the type `hint`. An integer is accepted for a float, a bool is not."""
    item_hint = getattr(hint, "__args__", (None,))[0]
    if item_hint is not None and isinstance(value, list):
        return tuple(_convert(key, item, item_hint) for item in value)
    if hint is float and type(value) is int:
        value = float(value) if abs(value) < 2**53 else math.inf
    if type(value) is not hint or (isinstance(value, float) and not math.isfinite(value)):
        raise ModelError(f"model config: {key} is {_short(value)}; write {_describe_type(hint)}")
    return value


def _describe_type(hint: Any) -> str:
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
    return names.get(hint, "a list")


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
