"""Reading of checkpoints of the published code: Flax trees that Orbax saved. Needs `pip install 'dfccodec[jax]'`.

`models.flax_names` defines names and axes. Names and shapes are compared before any array is read. The state of
the optimizer, which can be in a checkpoint too, is not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfccodec.errors import ModelError, UsageError
from dfccodec.models import weights
from dfccodec.models.config import FAMILIES, PUBLISHED_DIT, PUBLISHED_VAE, ModelConfig, import_object, parse_family
from dfccodec.models.flax_names import flatten, leaves_of

METADATA = "_METADATA"
"""File with names and shapes of all leaves of a checkpoint."""

NETWORK = "model"
"""Subtree of the network, if there is more in the checkpoint."""

PUBLISHED: dict[str, ModelConfig] = {"encoder.": PUBLISHED_VAE, "timestep_proj.": PUBLISHED_DIT}
"""Published configurations by the beginning of a name in their tree."""


def read_orbax(path: Path, config: ModelConfig | None = None) -> tuple[dict[str, Tensor], ModelConfig]:
    """Read the network in a checkpoint.

    Args:
        path: folder of the checkpoint; it contains a file `_METADATA`.
        config: configuration of the network; None for the one of the published VAE or DiT.

    Returns:
        tensors by name, in the precision of the checkpoint, and the configuration.

    Raises:
        UsageError: orbax is not installed.
        ModelError: the folder is no checkpoint, cannot be read, or contains another network.
    """
    what = f"checkpoint {str(path)!r}"
    ocp = _import_orbax(what)
    if not (path / METADATA).is_file():
        raise ModelError(f"{what} has no file {METADATA}; give the folder that contains it")
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = _network(_metadata(checkpointer, path))
            config = config or _recognize(tree, what)
            expected = _expected_shapes(config, what)
            places = leaves_of(expected)
            shapes = {place.path: place.shape(expected[name]) for name, place in places.items()}
            weights.check_shapes({name: _shape(leaf) for name, leaf in flatten(tree).items()}, shapes, what)
            arrays = flatten(_arrays(checkpointer, ocp, path))
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # orbax and tensorstore raise many types of exceptions
        raise ModelError(f"{what} cannot be read ({weights.first_line(error)}); get it again") from error
    return {name: place.to_tensor(arrays[place.path]) for name, place in places.items()}, config


def _import_orbax(what: str) -> Any:
    try:
        import orbax.checkpoint
    except ImportError as error:
        fix = "install it with: pip install 'dfccodec[jax]'"
        raise UsageError(f"{what} needs orbax-checkpoint to be read ({error}); {fix}") from error
    return orbax.checkpoint


def _metadata(checkpointer: Any, path: Path) -> Any:
    """Tree of shapes and types."""
    return checkpointer.metadata(path.resolve()).item_metadata.tree


def _arrays(checkpointer: Any, ocp: Any, path: Path) -> Any:
    """Tree of arrays of the network, on the CPU whatever devices they were saved from."""
    import jax

    tree = _metadata(checkpointer, path)
    item = {NETWORK: tree[NETWORK]} if NETWORK in tree else tree
    how = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), item)
    wanted = ocp.args.PyTreeRestore(item=item, restore_args=how, partial_restore=True)
    return _network(checkpointer.restore(path.resolve(), args=wanted))


def _network(tree: Any) -> Any:
    return tree.get(NETWORK, tree)


def _shape(leaf: Any) -> tuple[int, ...]:
    return tuple(getattr(leaf, "shape", None) or ())


def _recognize(tree: Any, what: str) -> ModelConfig:
    """The configuration of the published network that a tree looks like."""
    for name in flatten(tree):
        for beginning, config in PUBLISHED.items():
            if name.startswith(beginning):
                return config
    raise ModelError(f"{what} contains neither the published VAE nor the published DiT; give --config FILE.json")


def _expected_shapes(config: ModelConfig, what: str) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of a published network of any size."""
    family = parse_family(config.to_json())
    known = {parse_family(published.to_json()) for published in PUBLISHED.values()}
    if family not in known:
        raise ModelError(
            f"{what}: family {family} has no Flax form; use a configuration of {' or '.join(sorted(known))}"
        )
    with torch.device("meta"):
        return weights.expected_shapes(import_object(FAMILIES[family].module)(config))
