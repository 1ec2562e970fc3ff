"""Exports the best weights of a run as the safetensors file that dfc loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dfccodec.models.weights import save_safetensors
from dfccodec.training.trainer import Task


def export(checkpoint: Path, target: Path, task: Task, name: str) -> dict[str, Any]:
    """Save the averaged weights of a `best.pt`: in float16, but the PCA transform and what the model names in float32.

    Returns the row of the log of these weights; its cost is None if they are those that a stage started with.

    float16 halves the file size. The PCA transform keeps float32, because every error in it is an error in the pixels.
    """
    exact = getattr(task.model, "float32_tensors", ())
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    average = state["model"]
    tensors = {k: (v if k.startswith("linear.") or k in exact else v.half()).contiguous() for k, v in average.items()}
    save_safetensors(target, tensors, task.config_json, name)
    row: dict[str, Any] = state["log"]
    return row
