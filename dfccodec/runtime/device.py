"""Where a model runs and in which precision, by name."""

from __future__ import annotations

import torch

from dfccodec.errors import UsageError
from dfccodec.runtime.forks import survive_forks


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `mps` -> a device that is there.

    Raises:
        UsageError: it is not, or the name is none of these.
    """
    survive_forks()  # the first thing that is asked for before anything runs
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(n for n in ("cuda", "mps", "cpu") if there[n])
    if name not in there:
        raise UsageError(f"device {name!r} is unknown; give one of: auto, cpu, cuda, mps")
    if not there[name]:
        raise UsageError(f"device {name} is not on this machine; use --device auto")
    return torch.device(name)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto`, `float32` or `bfloat16` -> the precision of convolutions; auto is bfloat16 where it is fast.

    Raises:
        UsageError: the name is none of these.
    """
    if name == "auto":
        fast = device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_avx512_bf16_supported())
        return torch.bfloat16 if fast else torch.float32
    if name not in ("float32", "bfloat16"):
        raise UsageError(f"dtype {name!r} is unknown; give one of: auto, float32, bfloat16")
    return torch.float32 if name == "float32" else torch.bfloat16
