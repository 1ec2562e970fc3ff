"""Device and precision of a model, by name."""

from __future__ import annotations

import torch

from dfccodec.errors import UsageError
from dfccodec.runtime.forks import enable_forks


def pick_device(name: str) -> torch.device:
    """The device for `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        UsageError: the name is unknown, or this machine has no such device.
    """
    enable_forks()  # called here because every model needs a device before it runs
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(n for n in ("cuda", "mps", "cpu") if available[n])
    if name not in available:
        raise UsageError(f"device {name!r} is unknown; give one of: auto, cpu, cuda, mps")
    if not available[name]:
        raise UsageError(f"device {name} is not on this machine; use --device auto")
    return torch.device(name)


def pick_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision of convolutions for `auto`, `float32` or `bfloat16`; auto is bfloat16 if the device is fast at it.

    Raises:
        UsageError: the name is unknown.
    """
    if name == "auto":
        fast = device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_avx512_bf16_supported())
        return torch.bfloat16 if fast else torch.float32
    if name not in ("float32", "bfloat16"):
        raise UsageError(f"dtype {name!r} is unknown; give one of: auto, float32, bfloat16")
    return torch.float32 if name == "float32" else torch.bfloat16
