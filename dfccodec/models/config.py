"""What a network is built from: frozen dataclasses that travel as JSON.

The JSON form is one flat object: the fields of the dataclass and `"family"`, which says which network they
belong to. It is read strictly, because it comes from files: an unknown key is a network we would build wrong,
a missing one would be a guess.

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

MAX_JSON_CHARS = 64 * 1024  # a real configuration is under 1 kB; this one is read before anything is trusted
MAX_WIDTH = 1 << 16  # any width, count or side: far beyond real networks, and products of them stay sane
MAX_DEPTH = 256  # layers are Python objects, built before a tensor is checked: bound them


class ModelConfig(Protocol):
    """What every configuration can do: come from JSON and go back."""

    def to_json(self) -> str:
        """As it stands in a file's chunk MODL."""
        ...

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Undo `to_json`.

        Raises:
            ModelError: not such a text, or a value that no network has.
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
        """The canonical text: keys sorted, no spaces, so equal configurations give equal bytes."""
        return json.dumps({"family": self.family, **dataclasses.asdict(self)}, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ModelError: not JSON, another family, an unknown or missing key, a value of wrong type or range.
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
            raise ModelError(f"model config: key {missing[0]!r} is missing; add it ({_spell(hints[missing[0]])})")
        return cls(**{key: _convert(key, value, hints[key]) for key, value in values.items()})

    @classmethod
    def changed(cls, base: Self, values: Mapping[str, object]) -> Self:
        """A configuration with some values of another, by their names.

        Raises:
            ModelError: an unknown key, a value of wrong type or range.
        """
        return cls.from_json(json.dumps({"family": cls.family, **dataclasses.asdict(base), **values}, default=str))

    def require(self, condition: bool, key: str, fix: str) -> None:
        """Raise `ModelError` naming `key`, its value and `fix` unless `condition` holds."""
        if not condition:
            raise ModelError(f"model config: {key} is {_short(getattr(self, key))}; {fix}")

    def require_sizes(self, *depths: str) -> None:
        """Check that every integer field is in 1…`MAX_WIDTH`, those named in `depths` in 1…`MAX_DEPTH`."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int):
                limit = MAX_DEPTH if field.name in depths else MAX_WIDTH
                self.require(1 <= value <= limit, field.name, f"use 1 to {limit}")


def _require_heads(config: JsonConfig, features: int, heads: int) -> None:
    """Rotary positions turn pairs of numbers within a head, so a head must be of even width."""
    config.require(features % (2 * heads) == 0, "qkv_features", f"use a multiple of 2 × num_heads = {2 * heads}")


@dataclasses.dataclass(frozen=True)
class VAEConfig(JsonConfig):
    """The published VideoVAE: clip → one latent per token and an importance per frame → clip.

    Args:
        height, width: pixels; fixed, because one layer of the importance head has a weight per token.
        channels: of a pixel.
        patch_size: side of a token in pixels.
        encoder_depth, decoder_depth: factored-attention blocks.
        mlp_dim: hidden width of each MLP.
        num_heads, qkv_features: attention heads and their total width.
        max_temporal_len: most frames in a clip.
        spatial_compression_rate: width of a token over width of a latent.
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
        """Width of a token: the values in a patch."""
        return self.channels * self.patch_size**2

    @property
    def tokens(self) -> int:
        """Tokens per frame."""
        return (self.height // self.patch_size) * (self.width // self.patch_size)

    @property
    def latent_channels(self) -> int:
        """Numbers per latent."""
        return self.dim // self.spatial_compression_rate


@dataclasses.dataclass(frozen=True)
class DiTConfig(JsonConfig):
    """The published VideoDiT: noise → latents of kept frames and the gaps between them.

    Args:
        hw: tokens per frame.
        residual_dim: width of a token inside the network.
        compressed_channel_dim: numbers per latent.
        depth: factored-attention blocks.
        mlp_dim: hidden width of each MLP.
        num_heads, qkv_features: attention heads and their total width.
        max_temporal_len: most kept frames in a clip.
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
    """Where the code of a family is, as `module:Class`, so that naming it imports nothing.

    Args:
        config: a `ModelConfig`, most easily a `JsonConfig`.
        module: an `nn.Module` taking that config. It is built on the meta device and its state dict filled by
            assignment, so it must keep no buffer outside its state dict. Floating tensors are cast to the
            asked precision, except those whose names it lists in a class attribute `float32_tensors`.
        codec: what wraps the module to satisfy `contract.LatentModel`; "" if the module does so itself; None
            for a network that is no codec.
    """

    config: str
    module: str
    codec: str | None = None


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "dfc-vae": Family(
            config="dfccodec.models.config:VAEConfig",
            module="dfccodec.models.vae:VideoVAE",
            codec="dfccodec.models.video_vae_adapter:PublishedCodec",
        ),
        "dfc-dit": Family(config="dfccodec.models.config:DiTConfig", module="dfccodec.models.dit:VideoDiT"),
        "mini": Family(config="dfccodec.models.mini:MiniConfig", module="dfccodec.models.mini:Mini", codec=""),
    }
)


def import_object(path: str) -> Any:
    """The object at `package.module:name`.

    Raises:
        ModelError: this installation has no such thing.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"this dfc has no {path} ({error}); install a version that does") from error


def family_of(text: str) -> str:
    """The family a configuration's JSON names, without importing that family's code.

    Raises:
        ModelError: not a JSON object, or its family is missing or unknown.
    """
    values = _parse_object(text)
    if "family" not in values:
        raise ModelError(f"model config: key 'family' is missing; add one of {', '.join(FAMILIES)}")
    family = values["family"]
    if not isinstance(family, str) or family not in FAMILIES:
        raise ModelError(f"model config: family is {_short(family)}; this dfc knows {', '.join(FAMILIES)}")
    return family


def config_from_json(text: str) -> ModelConfig:
    """Read the configuration of any known family.

    Raises:
        ModelError: as `family_of` and the family's own `from_json`.
    """
    config_class: type[ModelConfig] = import_object(FAMILIES[family_of(text)].config)
    return config_class.from_json(text)


def _parse_object(text: str) -> dict[str, Any]:
    if len(text) > MAX_JSON_CHARS:
        raise ModelError(f"model config: {len(text)} characters; at most {MAX_JSON_CHARS} are read")
    try:
        values = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"model config: not JSON ({error}); write one object of keys and numbers") from error
    if not isinstance(values, dict):
        raise ModelError(f'model config: {_short(values)} is not a JSON object; write {{"family": …, …}}')
    return values


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key is given twice")
    return values


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _convert(key: str, value: object, hint: Any) -> object:
    """`value` as `hint`. JSON has one number type, so 1 may stand for 1.0; never True for 1."""
    item_hint = getattr(hint, "__args__", (None,))[0]
    if item_hint is not None and isinstance(value, list):
        return tuple(_convert(key, item, item_hint) for item in value)
    if hint is float and type(value) is int:
        value = float(value) if abs(value) < 2**53 else math.inf
    if type(value) is not hint or (isinstance(value, float) and not math.isfinite(value)):
        raise ModelError(f"model config: {key} is {_short(value)}; write {_spell(hint)}")
    return value


def _spell(hint: Any) -> str:
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
    return names.get(hint, "a list")


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
