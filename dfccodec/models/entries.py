"""The models that dfc knows by name."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from dfccodec.models import hub
from dfccodec.models.config import PUBLISHED_DIT, PUBLISHED_VAE, ModelConfig


@dataclass(frozen=True)
class Entry:
    """A registered model.

    Args:
        name: name for users.
        family: key of `config.FAMILIES`.
        summary: one line for `dfc models list`.
        address: address on the hub; None for the model inside the package.
        config: configuration, if the file has none.
        fingerprint: fingerprint of its tensors, checked at each load; None if unknown.
    """

    name: str
    family: str
    summary: str
    address: hub.HubAddress | None = None
    config: ModelConfig | None = None
    fingerprint: bytes | None = None


GENERATORS = ("dfc-dit", "mini-dit")
"""Families of generators."""

_PUBLISHED_REPO = "floatingtrees2/dynamic-frame-compression"

# Revision "main" is a branch that can change; a codec should use a commit hash. No hash was known when this was
# written, on a machine without access to the hub. To pin the revision: run `dfc models pull dfc-170m`, take the hash
# from the name of the snapshot folder, and set it as `revision` of the address. Also set `fingerprint` to
# `bytes.fromhex("…")` of the value that `dfc models info dfc-170m` prints. Files made before that are safe: each file
# contains the fingerprint of its model, and `check_identity` rejects any other model.
ENTRIES: tuple[Entry, ...] = (
    Entry("mini", "mini", "the default: any size, real time on two cores; inside the package"),
    Entry("mini-dit", "mini-dit", "generates latents of mini, any size, 7.9 M parameters; inside the package"),
    Entry("mini-regen", "mini-regen", "generates dropped frames of mini, 1.8 M parameters; inside the package"),
    Entry(
        "mini-sharp", "mini-look", "filter of decoded pictures for the look sharp, 0.7 M parameters; inside the package"
    ),
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


def find_entry(name: str) -> Entry | None:
    """Return the registry entry of a name, or None."""
    return next((entry for entry in ENTRIES if entry.name == name), None)


def pull_command(spec: str) -> str:
    """Return the command that gets a model."""
    entry = find_entry(spec)
    if entry is not None and entry.address is None:
        return "pip install --force-reinstall dfccodec"
    return f"dfc models pull {shlex.quote(spec)}"  # a spec can come from a .dfc file, so it is quoted
