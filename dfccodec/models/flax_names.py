"""Names and axes of the published Flax networks (JAX), and their tensors in the form of this package.

Both forms have the same modules. Flax calls the weight of a normalization `scale` and all others `kernel`, and puts the
output channels of a kernel last:

    Flax, kernel                  here, weight                  layers
    (in, out)                     (out, in)                     linear
    (T, H, W, in, out)            (out, in, T, H, W)            convolution
    (T, H, W, in, out)            (in, out, T, H, W), flipped   transposed convolution: Flax correlates, torch convolves

Leaves are named by their path in the tree, joined by dots: `encoder.layers.0.SpatialMLP.linear1.kernel`. The rotary
tables in the tree are ignored: networks compute them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]

WRAPPERS = ("value", "raw_value")
"""Last part of the path of a leaf in checkpoints of `flax.nnx`: a field of its variable, not a name."""

COMPUTED = (".ROPE.cos_cached", ".ROPE.sin_cached")
"""Ends of the names of rotary tables."""


@dataclass(frozen=True)
class Leaf:
    """Place of a tensor in the Flax tree.

    Args:
        path: name of the leaf.
        axes: axis of the leaf for each axis of the tensor.
        flipped: axes of the tensor in reverse order.
    """

    path: str
    axes: tuple[int, ...]
    flipped: tuple[int, ...] = ()

    def shape(self, tensor: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the leaf of a tensor of shape `tensor`."""
        return tuple(tensor[self.axes.index(axis)] for axis in range(len(tensor)))

    def to_tensor(self, leaf: np.ndarray) -> Tensor:
        """The tensor of a leaf, in the precision of the leaf."""
        array = np.flip(leaf.transpose(self.axes), self.flipped)
        if array.dtype.name == "bfloat16":  # a type of ml_dtypes, which torch does not know
            return torch.from_numpy(np.ascontiguousarray(array).view(np.uint16)).view(torch.bfloat16)
        return torch.from_numpy(np.ascontiguousarray(array))


def leaf_of(name: str, dimensions: int) -> Leaf:
    """Return the place of the tensor `name` of a published network in the Flax tree."""
    module, _, kind = name.rpartition(".")
    same = tuple(range(dimensions))
    if kind != "weight":
        return Leaf(name, same)
    if dimensions == 1:
        return Leaf(f"{module}.scale", same)
    if dimensions == 2:
        return Leaf(f"{module}.kernel", (1, 0))
    if module.endswith(".upsample"):
        return Leaf(f"{module}.kernel", (3, 4, 0, 1, 2), flipped=(2, 3, 4))
    return Leaf(f"{module}.kernel", (4, 3, 0, 1, 2))


def leaves_of(tensors: Shapes) -> dict[str, Leaf]:
    """Places of all tensors of a published network, by name of the tensor."""
    return {name: leaf_of(name, len(shape)) for name, shape in tensors.items()}


def flatten(tree: object, path: str = "") -> dict[str, Any]:
    """Leaves of nested dicts and lists by name, without the rotary tables."""
    if isinstance(tree, list | tuple):
        tree = dict(enumerate(tree))
    if not isinstance(tree, Mapping):
        return {} if tree is None or path.endswith(COMPUTED) else {path: tree}
    found: dict[str, Any] = {}
    for key, branch in tree.items():
        wrapped = len(tree) == 1 and key in WRAPPERS and path
        found |= flatten(branch, path if wrapped else f"{path}.{key}" if path else str(key))
    return found
