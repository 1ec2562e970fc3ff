"""Devices and precisions by name."""

from __future__ import annotations

import pytest
import torch

from dfccodec.errors import UsageError
from dfccodec.runtime import device


def test_devices_and_precisions_by_name() -> None:
    cpu = torch.device("cpu")
    assert device.pick_device("cpu") == cpu
    assert device.pick_dtype("bfloat16", cpu) == torch.bfloat16
    assert device.pick_dtype("auto", torch.device("cuda")) == torch.bfloat16
    with pytest.raises(UsageError, match="device 'tpu' is unknown"):
        device.pick_device("tpu")
    with pytest.raises(UsageError, match="dtype 'half' is unknown"):
        device.pick_dtype("half", cpu)
