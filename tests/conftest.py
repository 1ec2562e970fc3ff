"""Fixtures of all tests."""

from __future__ import annotations

import pytest
import torch
from support import flat_model

from dfccodec.codec.api import load_model
from dfccodec.codec.loaded import Loaded

torch.set_num_threads(1)  # pictures are tiny: threads only cost


@pytest.fixture(scope="session")
def mini() -> Loaded:
    """The embedded model in float32."""
    return load_model("mini", device="cpu", dtype="float32")


@pytest.fixture
def flat() -> Loaded:
    """`FlatModel` for any size."""
    return flat_model()
