"""Flax trees of published networks, made from torch weights: the opposite of `dfccodec.models.flax_names`."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn


def flax_tree(module: nn.Module) -> dict[str, Any]:
    """Nested dicts of arrays with the names and axes of Flax, and a rotary table in every attention."""
    tree: dict[str, Any] = {}
    for name, tensor in module.state_dict().items():
        put(tree, *flax_leaf(name, tensor.float().numpy()))
        if name.endswith("q_norm.weight"):
            for table in ("cos_cached", "sin_cached"):
                put(tree, name.replace("q_norm.weight", f"ROPE.{table}"), np.ones((1, 9, 1, len(tensor)), np.float32))
    return tree


def flax_leaf(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """Name and array of one tensor in Flax, by the rules of the published converter."""
    if not name.endswith(".weight"):
        return name, array
    module = name.removesuffix(".weight")
    if array.ndim == 1:
        return f"{module}.scale", array
    if array.ndim == 2:
        return f"{module}.kernel", array.T
    if "decoders" in module and module.endswith("upsample"):  # (in, out, T, H, W)
        return f"{module}.kernel", array[:, :, ::-1, ::-1, ::-1].transpose(2, 3, 4, 0, 1)
    return f"{module}.kernel", array.transpose(2, 3, 4, 1, 0)  # (out, in, T, H, W)


def put(tree: dict[str, Any], path: str, leaf: Any) -> None:
    """Set a leaf of nested dicts by its path."""
    *parts, last = path.split(".")
    for part in parts:
        tree = tree.setdefault(part, {})
    tree[last] = leaf
