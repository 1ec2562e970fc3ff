"""Model registry: names to files, and files to networks.

A model has one of four forms of names:

    mini                              an entry of `models.entries`
    weights/mine.safetensors          a local file
    hf://owner/repo/file.pt           a file of a hub repository
    hf://owner/repo@3f2a9c1/file.pt   the same file at one revision

`resolve` finds the file without the network; `pull` downloads it. torch is imported only by functions that open a
file, so that listing models is fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfccodec.errors import ModelError, UsageError
from dfccodec.models import hub
from dfccodec.models.config import FAMILIES, ModelConfig, config_from_json, import_object, parse_family
from dfccodec.models.entries import ENTRIES, GENERATORS, Entry, find_entry, pull_command

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from dfccodec.models.dit import VideoDiT
    from dfccodec.models.interface import LatentModel
    from dfccodec.models.latent_dit import LatentDiT
    from dfccodec.models.look import Look
    from dfccodec.models.regen import Regen


@dataclass(frozen=True)
class ModelFile:
    """A model file on this machine, not opened.

    Args:
        name: the requested name; for a local file, the file name without suffix.
        path: the file.
        config: configuration from the registry; None if it must be in the file.
        fingerprint: expected fingerprint from the registry; None if there is none.
        local: whether the file was given by its path. Then a name in its metadata replaces `name`.
    """

    name: str
    path: Path
    config: ModelConfig | None = None
    fingerprint: bytes | None = None
    local: bool = False


@dataclass(frozen=True)
class ModelInfo:
    """Properties of a checked model file.

    Args:
        name, family, config_json: as stored in a .dfc file.
        fingerprint: 32 bytes, see `weights.fingerprint`.
        latent_space: 32 bytes, see `models.identity`; None if the model is no codec.
        parameters: number of parameters in all tensors.
        tensors: number of tensors.
        path: the file.
    """

    name: str
    family: str
    config_json: str
    fingerprint: bytes
    latent_space: bytes | None
    parameters: int
    tensors: int
    path: Path


@dataclass(frozen=True)
class CheckedModel:
    """Checked tensors of a model, and its `module`, which is still on the meta device."""

    info: ModelInfo
    tensors: dict[str, Tensor]
    module: nn.Module


def locate(entry: Entry) -> Path | None:
    """Return the path of the file of an entry on this machine, or None."""
    if entry.address is not None:
        return hub.cached_file(entry.address)
    import importlib.resources

    embedded = importlib.resources.files("dfccodec") / "weights" / f"{entry.name}.safetensors"
    return embedded if isinstance(embedded, Path) and embedded.is_file() else None


def resolve(spec: str) -> ModelFile:
    """Find the file of a model on this machine, without the network.

    Raises:
        ModelError: the name is unknown, or the file is missing. The message contains the command that downloads it.
        UsageError: the hub address is invalid.
    """
    entry = find_entry(spec)
    if entry is not None:
        path = locate(entry)
        if path is None:
            raise ModelError(f"model {spec!r} is not on this machine; get it with: {pull_command(spec)}")
        return ModelFile(spec, path, entry.config, entry.fingerprint)
    if spec.startswith(hub.SCHEME):
        address = hub.parse_address(spec)
        path = hub.cached_file(address)
        if path is None:
            raise ModelError(f"model {spec!r} is not on this machine; get it with: {pull_command(spec)}")
        return ModelFile(spec, path)
    path = Path(spec)
    if path.suffix in hub.SUFFIXES:
        if not path.is_file():
            raise ModelError(f"model file {spec!r} does not exist; check the path")
        return ModelFile(path.stem, path, local=True)
    known = ", ".join(entry.name for entry in ENTRIES)
    raise ModelError(f"no model {spec!r}; use {known}, a .pt or .safetensors file, or hf://owner/repo/file")


def open_checked(file: ModelFile, config: ModelConfig | None = None) -> CheckedModel:
    """Read a model file and check that its tensors are those of its configuration.

    Args:
        file: from `resolve`.
        config: for a file without configuration, such as a `.pt`. If None, it is taken from the file or the registry,
            or recognized from the tensors of a published network.

    Raises:
        ModelError: the file is invalid, or does not match configuration or fingerprint.
    """
    from dfccodec.models import weights

    read = weights.read_weights(file.path)
    what = f"model file {str(file.path)!r}"
    chosen = _choose_config(file, read.config_json, config) or _recognize_config(read.tensors)
    if chosen is None:
        raise ModelError(
            f"{what} has no configuration; convert it once with: dfc models convert FILE "
            "-o OUT.safetensors --config FILE.json"
        )
    name = read.name if file.local and read.name is not None else file.name
    checked = check_network(read.tensors, chosen, name, file.path, what)
    digest = checked.info.fingerprint
    if file.fingerprint not in (None, digest):
        raise ModelError(
            f"{what} is not the {file.name!r} this dfc knows (fingerprint {digest.hex()[:16]}…); "
            f"get it again with: {pull_command(file.name)}"
        )
    return checked


def open_orbax(folder: Path, config: ModelConfig | None = None) -> CheckedModel:
    """Read a network of the published code from a checkpoint of Orbax, and check it.

    Args:
        folder: folder of the checkpoint; its name becomes the name of the model.
        config: see `orbax_checkpoint.read_orbax`.

    Raises:
        UsageError, ModelError: as for `read_orbax`, or a value is NaN or infinite.
    """
    from dfccodec.models.orbax_checkpoint import read_orbax

    tensors, chosen = read_orbax(folder, config)
    return check_network(tensors, chosen, folder.resolve().name, folder, f"checkpoint {str(folder)!r}")


def check_network(tensors: dict[str, Tensor], config: ModelConfig, name: str, path: Path, what: str) -> CheckedModel:
    """Check that tensors are those of a configuration; `what` names their file in messages.

    Raises:
        ModelError: they are not.
    """
    import torch

    from dfccodec.models import weights

    family = parse_family(config.to_json())
    with torch.device("meta"):
        module: nn.Module = import_object(FAMILIES[family].module)(config)
    weights.check_tensors(tensors, weights.expected_shapes(module), what)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    parts = FAMILIES[family].latent_space
    space = weights.fingerprint({key: t for key, t in tensors.items() if key.startswith(parts)}) if parts else None
    digest = weights.fingerprint(tensors)
    info = ModelInfo(name, family, config.to_json(), digest, space, numbers, len(tensors), path)
    return CheckedModel(info, tensors, module)


def load(
    spec: str,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    *,
    config: ModelConfig | None = None,
) -> tuple[LatentModel, ModelInfo]:
    """Load a codec network.

    Args:
        spec: a name in any form that `resolve` accepts.
        device: device for the computation.
        dtype: precision of the computation; None for float32.
        config: see `open_checked`.

    Raises:
        ModelError: the model is missing or invalid, or is not a codec.
        UsageError: this machine does not have the device.
    """
    import torch

    with torch.inference_mode(False):  # latent refinement needs gradients
        checked = open_checked(resolve(spec), config)
        wrapper = FAMILIES[checked.info.family].codec
        if wrapper is None:
            raise ModelError(
                f"model {spec!r} is a generator ({checked.info.family}), not a codec; use mini or dfc-170m"
            )
        module = _load_module(checked, device, dtype)
    model: Any = import_object(wrapper)(module) if wrapper else module
    return model, checked.info


def load_dit(
    spec: str,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    *,
    config: ModelConfig | None = None,
) -> tuple[VideoDiT, ModelInfo]:
    """Load the published generator; arguments and errors as for `load`."""
    return _load_family(spec, ("dfc-dit",), "dfc-dit-504m", device, dtype, config)


def load_generator(
    spec: str,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    *,
    config: ModelConfig | None = None,
) -> tuple[VideoDiT | LatentDiT, ModelInfo]:
    """Load a generator of latents of any family; arguments and errors as for `load`."""
    return _load_family(spec, GENERATORS, "mini-dit", device, dtype, config)


def load_regen(
    spec: str = "mini-regen", device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> tuple[Regen, ModelInfo]:
    """Load a generator of dropped frames (fill policy `generate`); arguments and errors as for `load`."""
    return _load_family(spec, ("mini-regen",), "mini-regen", device, dtype)


def load_look(
    spec: str = "mini-sharp", device: str | torch.device = "cpu", dtype: torch.dtype | None = None
) -> tuple[Look, ModelInfo]:
    """Load a look, a filter of decoded pictures; arguments and errors as for `load`."""
    return _load_family(spec, ("mini-look",), "mini-sharp", device, dtype)


def _load_family(
    spec: str, families: tuple[str, ...], example: str, device: str | torch.device, dtype: torch.dtype | None,
    config: ModelConfig | None = None,
) -> tuple[Any, ModelInfo]:  # fmt: skip
    """Load a network that is no codec. If its family is another one, the error names `example`."""
    checked = open_checked(resolve(spec), config)
    family = checked.info.family
    if family not in families:
        what = "codec" if FAMILIES[family].codec is not None else "generator of another kind"
        raise ModelError(f"model {spec!r} is a {what} ({family}); use {example}")
    return _load_module(checked, device, dtype), checked.info


def family_of(spec: str) -> str:
    """Return the family of a model; its file is read.

    Raises:
        ModelError: the model is missing or invalid.
    """
    entry = find_entry(spec)
    return entry.family if entry is not None else open_checked(resolve(spec)).info.family


def pull(spec: str, revision: str | None = None) -> ModelInfo:
    """Download a model into the Hugging Face cache and check it.

    Args:
        spec: a name from the registry, or `hf://owner/repo[@revision]/file`.
        revision: replaces the revision of the spec or the registry. Then the name in the result is the `hf://`
            address.

    Raises:
        ModelError: the download failed, or the file is invalid.
        UsageError: the model cannot be downloaded.
    """
    entry = find_entry(spec)
    address = address_of(spec, revision)
    if entry is not None and address == entry.address:
        return open_checked(ModelFile(spec, hub.download(address), entry.config, entry.fingerprint)).info
    # Another revision may have other weights: use the configuration of the registry, but not its fingerprint.
    config = None if entry is None else entry.config
    return open_checked(ModelFile(str(address), hub.download(address), config)).info


def address_of(spec: str, revision: str | None = None) -> hub.HubAddress:
    """Return where a model is downloaded from; arguments as for `pull`.

    Raises:
        UsageError: the model cannot be downloaded.
    """
    entry = find_entry(spec)
    if entry is None and not spec.startswith(hub.SCHEME):
        raise UsageError(f"model {spec!r} cannot be pulled; use {_downloadable_names()} or hf://owner/repo/file")
    address = hub.parse_address(spec) if entry is None else entry.address
    if address is None:
        raise UsageError(f"model {spec!r} is part of the package; pull {_downloadable_names()} or hf://owner/repo/file")
    return hub.HubAddress(address.repo, address.file, revision or address.revision)


def _choose_config(file: ModelFile, in_file: str | None, given: ModelConfig | None) -> ModelConfig | None:
    if in_file is None:
        return given or file.config
    config = config_from_json(in_file)
    if given is not None and given.to_json() != config.to_json():
        raise ModelError(f"model file {str(file.path)!r} has its own configuration; leave out --config")
    return config


def _recognize_config(tensors: dict[str, Tensor]) -> ModelConfig | None:
    """Return the configuration of the published network with these names and shapes of tensors, or None."""
    import torch

    from dfccodec.models.weights import expected_shapes

    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for entry in ENTRIES:
        if entry.config is not None:
            with torch.device("meta"):
                module: nn.Module = import_object(FAMILIES[entry.family].module)(entry.config)
            if expected_shapes(module) == shapes:
                return entry.config
    return None


def _load_module(checked: CheckedModel, device: str | torch.device, dtype: torch.dtype | None) -> nn.Module:
    import torch

    from dfccodec.models.weights import assign_tensors

    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:  # torch asserts if it was built without support for the device
        raise UsageError(f"device {str(device)!r} cannot be used on this machine; use cpu") from error
    assign_tensors(checked.module, checked.tensors, target, dtype or torch.float32)
    return checked.module


def _downloadable_names() -> str:
    return ", ".join(entry.name for entry in ENTRIES if entry.address is not None)
