"""Which model decodes which file: fingerprints, and the latent space that several decoders share.

A model is a latent space and a decoder. The latent space is what makes latents of pictures: the encoder and the linear
transform. It is identified by the fingerprint of these tensors, so decoders that were trained with a frozen encoder
have the latent space of the model that they started from. Each of them decodes its files, except clips whose kept
frames are predicted from pictures of the decoder that made them (SPEC.md 5.3).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping

from dfccodec.container.records import ModelId
from dfccodec.errors import ModelError
from dfccodec.models import hub
from dfccodec.models.entries import find_entry, pull_command

KEY = "latent_space"
"""Key of the latent space, 64 hexadecimal digits, in the configuration that a file stores."""

LATENT_SPACES: Mapping[str, bytes] = {
    "mini-1": bytes.fromhex("bdb9300778d780627d9e809ffbfcb4bfba66bab65ff4df2f6a16957d25079b57"),
}
"""Latent spaces that a release contained, by name. They stay decodable: none is ever removed."""

DECODERS: Mapping[bytes, str] = {
    bytes.fromhex("ccb1493b1290842919211f66f9f93b81f8b017b9855b47a2589c912b3835bf4c"): "mini-1",
}
"""Fingerprints of the models that a release contained, with their latent space. None is ever removed either."""


def latent_space(model: ModelId) -> bytes | None:
    """Return the fingerprint of the latent space that a file names, or that its model is known to have; else None."""
    if model.fingerprint in DECODERS:
        return LATENT_SPACES[DECODERS[model.fingerprint]]
    try:
        found = json.loads(model.config).get(KEY)
        space = bytes.fromhex(found) if isinstance(found, str) else b""
    except (ValueError, RecursionError, AttributeError):
        return None
    return space if len(space) == 32 else None


def same_latents(a: ModelId, b: ModelId) -> bool:
    """Whether latents of both models are of one latent space."""
    return a.fingerprint == b.fingerprint or (latent_space(a) is not None and latent_space(a) == latent_space(b))


def space_name(space: bytes) -> str:
    """Name of a latent space of a release; of others, the beginning of the fingerprint."""
    return next((name for name, known in LATENT_SPACES.items() if known == space), space.hex()[:16] + "…")


def with_latent_space(config_json: str, space: bytes | None) -> str:
    """Return a configuration for a file, with the latent space of the model."""
    if space is None:
        return config_json
    return json.dumps({**json.loads(config_json), KEY: space.hex()}, sort_keys=True, separators=(",", ":"))


def check_identity(wanted: ModelId, loaded: ModelId) -> bool:
    """Check that a model decodes the latents of a file.

    Args:
        wanted: the model of the .dfc file, not trusted.
        loaded: the loaded model.

    Returns:
        whether the model is the one that made the file. If not, it has the same latent space.

    Raises:
        ModelError: the latent spaces differ or are unknown. The message names the needed model and the command that
            downloads it.
    """
    if wanted.fingerprint == loaded.fingerprint:
        return True
    if same_latents(wanted, loaded):
        return False
    own = f"{loaded.name!r} ({loaded.fingerprint.hex()[:16]}…)"
    raise ModelError(f"the file needs model {_label(wanted)}, but {own} is loaded; {_fix(wanted, loaded)}")


def exact_decoder_needed(wanted: ModelId) -> ModelError:
    """The error of a clip that only the decoder that made the file can decode."""
    return ModelError(
        f"kept frames of a clip are predicted from pictures that model {_label(wanted)} made: another decoder of the "
        f"same latent space cannot decode it; {_fix(wanted, None)}"
    )


def _label(model: ModelId) -> str:
    return f"{model.name[:200]!a} (fingerprint {model.fingerprint.hex()[:16]}…)"


def _fix(wanted: ModelId, loaded: ModelId | None) -> str:
    name, entry = wanted.name, find_entry(wanted.name)
    if loaded is not None and name == loaded.name:
        return "the weights differ although the name is the same: give those of the encoder with --model FILE"
    if entry is not None and entry.address is None:
        return f"use: --model {entry.name}"
    if entry is not None or hub.is_address(name):
        return f"get it with: {pull_command(name)} and use: --model {shlex.quote(name)}"
    return "get the weights from the author of the file and use: --model FILE"
