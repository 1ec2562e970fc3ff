"""Names to files, and files to networks.

A model is named in one of four ways:

    mini                              an entry below
    weights/mine.safetensors          a local file
    hf://owner/repo/file.pt           a file of a hub repository
    hf://owner/repo@3f2a9c1/file.pt   the same at one revision

`resolve` finds the file and never touches the network; `pull` does. torch is imported only by what opens a
file, so that listing models stays quick.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfccodec.errors import ModelError, UsageError
from dfccodec.models import hub
from dfccodec.models.config import (
    FAMILIES,
    PUBLISHED_DIT,
    PUBLISHED_VAE,
    ModelConfig,
    config_from_json,
    family_of,
    import_object,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from dfccodec.container.records import ModelId
    from dfccodec.models.dit import VideoDiT
    from dfccodec.models.interface import LatentModel


@dataclass(frozen=True)
class Entry:
    """A model dfc knows by name.

    Args:
        name: what users type.
        family: key of `config.FAMILIES`.
        summary: one line for `dfc models list`.
        address: where on the hub; None for the model inside the package.
        config: what the file was made with, where it does not say so itself.
        fingerprint: of its tensors, to be checked at every load; None where not known yet.
    """

    name: str
    family: str
    summary: str
    address: hub.HubAddress | None = None
    config: ModelConfig | None = None
    fingerprint: bytes | None = None


_PUBLISHED_REPO = "floatingtrees2/dynamic-frame-compression"

# Revision "main" is a moving branch, which is not what a codec wants. It stands here because this was written
# on a machine that cannot reach the hub, so no commit hash was known. To pin: `dfc models pull dfc-170m`, take
# the hash from the snapshot folder it lands in, and write it here as the address's `revision`, with the
# fingerprint that `dfc models info dfc-170m` prints as `fingerprint=bytes.fromhex("…")`. Files made meanwhile
# are safe all the same: each carries the fingerprint of its model, and `check_identity` refuses another.
ENTRIES: tuple[Entry, ...] = (
    Entry("mini", "mini", "the default: any size, real time on two cores; inside the package"),
    Entry(
        "dfc-170m",
        "dfc-vae",
        "the published VideoVAE, 170.6 M parameters, 256×256 tiles",
        hub.HubAddress(_PUBLISHED_REPO, "vae_pytorch.pt"),
        PUBLISHED_VAE,
    ),
    Entry(
        "dfc-dit-504m",
        "dfc-dit",
        "the published VideoDiT, 504.2 M parameters, generates latents",
        hub.HubAddress(_PUBLISHED_REPO, "dit_pytorch.pt"),
        PUBLISHED_DIT,
    ),
)


@dataclass(frozen=True)
class ModelFile:
    """A model found on this machine, not opened yet.

    Args:
        name: the name it was asked for by; for a local file, that of the file without its ending.
        path: the file.
        config: known from the registry; None where the file has to say.
        fingerprint: what the registry expects; None where it expects nothing.
        local: a file given by its path, whose own metadata may name it better.
    """

    name: str
    path: Path
    config: ModelConfig | None = None
    fingerprint: bytes | None = None
    local: bool = False


@dataclass(frozen=True)
class ModelInfo:
    """What a checked model file is.

    Args:
        name, family, config_json: as they go into a .dfc file.
        fingerprint: 32 bytes, see `weights.fingerprint`.
        parameters: numbers in all tensors.
        tensors: how many tensors.
        path: the file.
    """

    name: str
    family: str
    config_json: str
    fingerprint: bytes
    parameters: int
    tensors: int
    path: Path


@dataclass(frozen=True)
class CheckedModel:
    """Tensors that are exactly those of `module`, which is still on the meta device."""

    info: ModelInfo
    tensors: dict[str, Tensor]
    module: nn.Module


def entry_named(name: str) -> Entry | None:
    """The registry's entry, or None."""
    return next((entry for entry in ENTRIES if entry.name == name), None)


def locate(entry: Entry) -> Path | None:
    """Where the file of an entry is on this machine, or None."""
    if entry.address is not None:
        return hub.cached_file(entry.address)
    import importlib.resources

    embedded = importlib.resources.files("dfccodec") / "weights" / f"{entry.name}.safetensors"
    return embedded if isinstance(embedded, Path) and embedded.is_file() else None


def resolve(spec: str) -> ModelFile:
    """Find the file of a model on this machine, without network.

    Raises:
        ModelError: it is not here; says the command that gets it.
        UsageError: no such form of name.
    """
    entry = entry_named(spec)
    if entry is not None:
        path = locate(entry)
        if path is None:
            raise ModelError(f"model {spec!r} is not on this machine; get it with: {_command(spec)}")
        return ModelFile(spec, path, entry.config, entry.fingerprint)
    if spec.startswith(hub.SCHEME):
        address = hub.parse_address(spec)
        path = hub.cached_file(address)
        if path is None:
            raise ModelError(f"model {spec!r} is not on this machine; get it with: {_command(spec)}")
        return ModelFile(spec, path)
    path = Path(spec)
    if path.suffix in hub.SUFFIXES:
        if not path.is_file():
            raise ModelError(f"model file {spec!r} does not exist; check the path")
        return ModelFile(path.stem, path, local=True)
    known = ", ".join(entry.name for entry in ENTRIES)
    raise ModelError(f"no model {spec!r}; use {known}, a .pt or .safetensors file, or hf://owner/repo/file")


def open_checked(file: ModelFile, config: ModelConfig | None = None) -> CheckedModel:
    """Read a model file and check that it is exactly the network its configuration says.

    Args:
        file: from `resolve`.
        config: for a file that holds none, such as a `.pt`; None to take it from the file or the registry, or
            to recognise the published networks by their tensors.

    Raises:
        ModelError: anything about the file that is not as it must be.
    """
    import torch

    from dfccodec.models import weights

    read = weights.read_weights(file.path)
    what = f"model file {str(file.path)!r}"
    chosen = _choose_config(file, read.config_json, config) or _recognise(read.tensors)
    if chosen is None:
        raise ModelError(f"{what} says no configuration; give it with --config FILE.json")
    family = family_of(chosen.to_json())
    with torch.device("meta"):
        module: nn.Module = import_object(FAMILIES[family].module)(chosen)
    weights.check_tensors(read.tensors, weights.expected_shapes(module), what)
    digest = weights.fingerprint(read.tensors)
    if file.fingerprint not in (None, digest):
        raise ModelError(
            f"{what} is not the {file.name!r} this dfc knows (fingerprint {digest.hex()[:16]}…); "
            f"get it again with: {_command(file.name)}"
        )
    name = read.name if file.local and read.name is not None else file.name
    numbers = sum(tensor.numel() for tensor in read.tensors.values())
    info = ModelInfo(name, family, chosen.to_json(), digest, numbers, len(read.tensors), file.path)
    return CheckedModel(info, read.tensors, module)


def load(
    spec: str,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    *,
    config: ModelConfig | None = None,
) -> tuple[LatentModel, ModelInfo]:
    """Load a codec network.

    Args:
        spec: any name `resolve` takes.
        device: where to compute.
        dtype: precision to compute in; None for float32.
        config: see `open_checked`.

    Raises:
        ModelError: missing, faulty, or a network that is no codec.
        UsageError: a device this machine does not have.
    """
    import torch

    with torch.inference_mode(False):  # else nobody could ever take a gradient, as refinement does
        checked = open_checked(resolve(spec), config)
        wrapper = FAMILIES[checked.info.family].codec
        if wrapper is None:
            raise ModelError(f"model {spec!r} is a generator ({checked.info.family}), no codec; use mini or dfc-170m")
        module = _fill(checked, device, dtype)
    model: Any = import_object(wrapper)(module) if wrapper else module
    return model, checked.info


def load_dit(
    spec: str,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    *,
    config: ModelConfig | None = None,
) -> tuple[VideoDiT, ModelInfo]:
    """Load a generator; arguments and errors as for `load`."""
    checked = open_checked(resolve(spec), config)
    if checked.info.family != "dfc-dit":
        raise ModelError(f"model {spec!r} is a codec ({checked.info.family}), no generator; use dfc-dit-504m")
    module: Any = _fill(checked, device, dtype)
    return module, checked.info


def pull(spec: str, revision: str | None = None) -> ModelInfo:
    """Download a model into the Hugging Face cache and check it.

    Args:
        spec: a name from the registry, or `hf://owner/repo[@revision]/file`.
        revision: instead of the one in the spec or the registry. The model is then found again under the `hf://`
            name in the result.

    Raises:
        ModelError: it cannot be had, or is not what it should be.
        UsageError: a model that is nowhere to download.
    """
    entry = entry_named(spec)
    if entry is None and not spec.startswith(hub.SCHEME):
        raise UsageError(f"model {spec!r} cannot be pulled; use {_pullable()} or hf://owner/repo/file")
    address = hub.parse_address(spec) if entry is None else entry.address
    if address is None:
        raise UsageError(f"model {spec!r} comes inside the package; pull {_pullable()} or hf://owner/repo/file")
    if entry is not None and revision in (None, address.revision):
        return open_checked(ModelFile(spec, hub.download(address), entry.config, entry.fingerprint)).info
    address = hub.HubAddress(address.repo, address.file, revision or address.revision)
    # another revision may hold other weights: the registry's configuration still applies, its fingerprint does not
    config = None if entry is None else entry.config
    return open_checked(ModelFile(str(address), hub.download(address), config)).info


def check_identity(file_name: str, file_fingerprint: bytes, model_info: ModelInfo | ModelId) -> None:
    """Refuse to decode a .dfc file with a model other than the one that made it.

    Args:
        file_name: the model's name in the .dfc file, not trusted.
        file_fingerprint: the model's fingerprint there, 32 bytes.
        model_info: the model loaded; its name and fingerprint are asked for.

    Raises:
        ModelError: the fingerprints differ; says which model is needed and the command that gets it.
    """
    if file_fingerprint == model_info.fingerprint:
        return
    name = ascii(file_name[:200])
    needed = f"the file needs model {name} (fingerprint {file_fingerprint.hex()[:16]}…)"
    loaded = f"{model_info.name!r} ({model_info.fingerprint.hex()[:16]}…) is loaded"
    entry = entry_named(file_name)
    if file_name == model_info.name:
        fix = "these are other weights of the same name: use the ones the file was made with (--model FILE)"
    elif entry is not None and entry.address is None:
        fix = f"use: --model {entry.name}"
    elif entry is not None or _is_address(file_name):
        fix = f"get it with: {_command(file_name)} and use: --model {shlex.quote(file_name)}"
    else:
        fix = "ask whoever made the file for its weights and use: --model FILE"
    raise ModelError(f"{needed}, but {loaded}; {fix}")


def _choose_config(file: ModelFile, in_file: str | None, given: ModelConfig | None) -> ModelConfig | None:
    if in_file is None:
        return given or file.config
    config = config_from_json(in_file)
    if given is not None and given.to_json() != config.to_json():
        raise ModelError(f"model file {str(file.path)!r} has its own configuration; leave out --config")
    return config


def _recognise(tensors: dict[str, Tensor]) -> ModelConfig | None:
    """The published network these tensors belong to by name and shape, if any."""
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


def _fill(checked: CheckedModel, device: str | torch.device, dtype: torch.dtype | None) -> nn.Module:
    import torch

    from dfccodec.models.weights import fill_module

    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:  # torch asserts when built without the device asked for
        raise UsageError(f"device {str(device)!r} cannot be used on this machine; use cpu") from error
    fill_module(checked.module, checked.tensors, target, dtype or torch.float32)
    return checked.module


def _is_address(name: str) -> bool:
    try:
        return name.startswith(hub.SCHEME) and name.isascii() and hub.parse_address(name).repo != ""
    except UsageError:
        return False


def _command(spec: str) -> str:
    entry = entry_named(spec)
    if entry is not None and entry.address is None:
        return "pip install --force-reinstall dfccodec"
    return f"dfc models pull {shlex.quote(spec)}"  # a spec can come from a .dfc file: keep it one word


def _pullable() -> str:
    return ", ".join(entry.name for entry in ENTRIES if entry.address is not None)
